"""Blocks that weight features by what convolutions see: EfficientMod, SMT, and TransNeXt's GLU."""

from __future__ import annotations

import torch
from timm.layers.norm import LayerNorm2d
from torch import Tensor, nn

from blockzoo.blocks.registry import register_block
from blockzoo.blocks.zoo.layers import ScaledResidual, after_shape_change, depthwise_conv
from blockzoo.blocks.zoo.widths import inner_width
from blockzoo.core.position import Position

_CONTEXT_KERNEL_SIZE = 7
_SMT_HEADS = 4
# TransNeXt has 8, 8, 4, 4 in its four stages; the positions here follow the first three.
_GLU_RATIO = {Position.EARLY: 8, Position.MID: 8, Position.LATE: 4}


class EfficientModulation(nn.Module):
    """y = P(gelu(P_ec(x)) * tiled(P(gelu(dw7x7(P(x)))))), P a 1x1 convolution.

    The context has as many channels as x and is laid side by side until it has as many as what it
    weights. Without expansion (e = 1) what it weights has no activation. Maps (N, channels, H, W)
    to the same shape.
    """

    def __init__(self, channels: int, expansion: float) -> None:
        super().__init__()
        hidden = inner_width(channels, expansion)
        activation = nn.GELU() if hidden != channels else nn.Identity()
        self.values = nn.Sequential(nn.Conv2d(channels, hidden, 1), activation)
        self.context = nn.Sequential(
            nn.Conv2d(channels, channels, 1),
            depthwise_conv(channels, _CONTEXT_KERNEL_SIZE),
            nn.GELU(),
            nn.Conv2d(channels, channels, 1),
        )
        self.leave = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        values, context = self.values(x), self.context(x)
        hidden = values.shape[1]
        # Whole copies, the last one cut where the expansion is no whole number.
        copies = -(-hidden // context.shape[1])
        tiled = context.repeat(1, copies, 1, 1)[:, :hidden]
        y: Tensor = self.leave(values * tiled)
        return y


class EfficientModBlock(ScaledResidual):
    """y = x + gamma * modulation(ln(x)), gamma 1e-4 at the start.

    Maps (N, channels, H, W) to the same shape.
    """

    def __init__(self, channels: int, expansion: float) -> None:
        norm = LayerNorm2d(channels, eps=1e-5)
        super().__init__(
            nn.Sequential(norm, EfficientModulation(channels, expansion)), channels, 1e-4
        )


@register_block(
    "EfficientModBlock",
    family="gated",
    year=2024,
    paper="2403.19963",
    source="written from the paper",
    licence="Apache-2.0",
    evidence="official code",
    formula="z = x + g P(P(u) P(gelu(dw7(P(u))))), u = ln(x), y = z + g P(gelu(P_6c(v)) ctx(v))",
    aliases=("EfficientMod", "EfficientModulation"),
    notes=(
        "A pair, as they alternate in EfficientMod-S: expansion 1, then 6, with the context ctx "
        "laid side by side six times, v = ln(z); layer scales g = 1e-4 at the start. Without the "
        "attention blocks that end the network's last two stages; EfficientMod-S-Conv has none. "
        "Before a block that strides: a 3x3 convolution and layer normalisation; before one that "
        "only changes channels: a 1x1 convolution and BN."
    ),
    knob="expansion",
)
def efficientmod_block(
    in_channels: int, out_channels: int, stride: int, position: Position, *, expansion: float = 6
) -> nn.Module:
    """Return EfficientMod's pair of blocks (Ma et al., arXiv 2403.19963)."""
    pair = nn.Sequential(
        EfficientModBlock(out_channels, 1), EfficientModBlock(out_channels, expansion)
    )
    return after_shape_change(pair, in_channels, out_channels, stride, overlapping_embedding)


def overlapping_embedding(in_channels: int, out_channels: int) -> nn.Module:
    """Return a strided 3x3 convolution and layer normalisation with torch's eps of 1e-5."""
    conv = nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1)
    return nn.Sequential(conv, LayerNorm2d(out_channels, eps=1e-5))


class ScaleAwareModulation(nn.Module):
    """y = P(m * P(x)), m = P(gelu(bn(gconv1x1_2c(s)))), s = depthwise 3, 5, 7, 9 of quarters of P(x).

    The kernels' outputs are interleaved, so that each group of the grouped convolution has one
    channel of each kernel. Maps (N, channels, H, W) to the same shape; `channels` must be a
    multiple of 4.
    """  # noqa: E501 - a formula

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.leave = nn.Conv2d(channels, channels, 1)
        self.values = nn.Conv2d(channels, channels, 1)
        self.scales = nn.Conv2d(channels, channels, 1)
        share = channels // _SMT_HEADS
        self.kernels = nn.ModuleList(
            depthwise_conv(share, 3 + 2 * head) for head in range(_SMT_HEADS)
        )
        self.aggregate = nn.Sequential(
            nn.ChannelShuffle(_SMT_HEADS),
            nn.Conv2d(channels, 2 * channels, 1, groups=share),
            nn.BatchNorm2d(2 * channels),
            nn.GELU(),
            nn.Conv2d(2 * channels, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        parts = self.scales(x).chunk(_SMT_HEADS, dim=1)
        seen = [kernel(part) for kernel, part in zip(self.kernels, parts, strict=True)]
        y: Tensor = self.leave(self.aggregate(torch.cat(seen, dim=1)) * self.values(x))
        return y


class PositionedMLP(nn.Module):
    """y = P(gelu(u + dw3x3(u))), u = P_ec(x), P a 1x1 convolution.

    Maps (N, channels, H, W) to the same shape.
    """

    def __init__(self, channels: int, expansion: float) -> None:
        super().__init__()
        hidden = inner_width(channels, expansion)
        self.widen = nn.Conv2d(channels, hidden, 1)
        self.positions = depthwise_conv(hidden, 3)
        self.act = nn.GELU()
        self.narrow = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        wide = self.widen(x)
        y: Tensor = self.narrow(self.act(wide + self.positions(wide)))
        return y


class SMTBlock(nn.Module):
    """z = x + modulation(ln(x)), y = z + mlp(ln(z)); maps (N, channels, H, W) to the same shape."""

    def __init__(self, channels: int, expansion: float) -> None:
        super().__init__()
        self.norm = LayerNorm2d(channels)
        self.modulation = ScaleAwareModulation(channels)
        self.mlp_norm = LayerNorm2d(channels)
        self.mlp = PositionedMLP(channels, expansion)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        z = x + self.modulation(self.norm(x))
        y: Tensor = z + self.mlp(self.mlp_norm(z))
        return y


@register_block(
    "SMTModulation",
    family="gated",
    year=2023,
    paper="2307.08579",
    source="written from the paper",
    licence="Apache-2.0",
    evidence="official code",
    formula="z = x + P(P(v) P(gelu(bn(gconv_2c([dw3, .., dw9](P(v))))))), v = ln(x), y = z + f(z)",
    aliases=("SMT", "ScaleAwareModulation"),
    notes=(
        "SMT-T's scale-aware modulation; its third stage alternates it with attention and its "
        "fourth has attention alone. f: layer normalisation and an MLP of expansion 4 with a "
        "depthwise 3x3 inside. Layer norms of eps 1e-6. Before a block that strides: a 3x3 "
        "convolution and layer normalisation (eps 1e-5); before one that only changes channels: a "
        "1x1 convolution and BN."
    ),
    knob="expansion",
)
def smt_modulation(
    in_channels: int, out_channels: int, stride: int, position: Position, *, expansion: float = 4
) -> nn.Module:
    """Return SMT's block (Lin et al., arXiv 2307.08579); the position changes nothing.

    Raises `ValueError` when out_channels is no multiple of 4, the number of kernels.
    """
    if out_channels % _SMT_HEADS:
        raise ValueError("the output channels must be a multiple of 4")
    block = SMTBlock(out_channels, expansion)
    return after_shape_change(block, in_channels, out_channels, stride, overlapping_embedding)


class ConvolutionalGLU(nn.Module):
    """y = P(gelu(dw3x3(a)) * b), [a, b] = P(x), P a 1x1 convolution, a and b of `hidden` channels.

    Maps (N, channels, H, W) to the same shape.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(channels, 2 * hidden, 1)
        self.positions = depthwise_conv(hidden, 3)
        self.act = nn.GELU()
        self.leave = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        gate, values = self.enter(x).chunk(2, dim=1)
        # Each value is weighted by what is around it, not by itself alone as in an SE block.
        y: Tensor = self.leave(self.act(self.positions(gate)) * values)
        return y


class ConvGLUBlock(nn.Module):
    """y = x + glu(ln(x)); maps (N, channels, H, W) to the same shape."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.norm = LayerNorm2d(channels)
        self.glu = ConvolutionalGLU(channels, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        y: Tensor = x + self.glu(self.norm(x))
        return y


@register_block(
    "ConvGLU",
    family="gated",
    year=2023,
    paper="2311.17132",
    source="written from the paper",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = x + P(gelu(dw3x3(a)) * b), [a, b] = P(ln(x)), each of 2ec/3 channels, e = 8/8/4",
    aliases=("ConvolutionalGLU", "TransNeXtGLU"),
    notes=(
        "The channel mixer of TransNeXt alone, without the attention before it. Hidden channels "
        "are rounded down. Before a block that strides: a 3x3 convolution and layer normalisation "
        "(eps 1e-5); before one that only changes channels: a 1x1 convolution and BN."
    ),
    knob="mlp_ratio",
)
def conv_glu(
    in_channels: int,
    out_channels: int,
    stride: int,
    position: Position,
    *,
    mlp_ratio: float | None = None,
) -> nn.Module:
    """Return TransNeXt's convolutional GLU with its shortcut (Shi, arXiv 2311.17132)."""
    ratio = mlp_ratio or _GLU_RATIO[position]
    # Two thirds, so that the two halves cost what a plain MLP of this ratio costs.
    hidden = max(1, int(2 * inner_width(out_channels, ratio) / 3))
    block = ConvGLUBlock(out_channels, hidden)
    return after_shape_change(block, in_channels, out_channels, stride, overlapping_embedding)
