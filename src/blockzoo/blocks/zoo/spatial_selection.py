"""VAN's block with other weights on its features: selected kernels (LSK) and strips (Strip)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from blockzoo.blocks.registry import register_block
from blockzoo.blocks.zoo.large_kernel_attention import Gate
from blockzoo.blocks.zoo.layers import (
    Residual,
    ScaledResidual,
    after_shape_change,
    depthwise_conv,
)
from blockzoo.blocks.zoo.widths import inner_width
from blockzoo.core.position import Position

# Both networks have 8, 8, 4, 4 in their four stages; the positions here follow the first three.
_EXPANSION = {Position.EARLY: 8, Position.MID: 8, Position.LATE: 4}
_STRIP = 19


class LargeSelectiveKernel(nn.Module):
    """w = P(s_1 * P_c/2(u) + s_2 * P_c/2(v)), v = dw7x7_d3(u), u = dw5x5(x), P a 1x1 convolution.

    s = sigmoid(conv7x7([mean, max])) of both halves over the channels: how much of the near and of
    the far kernel each pixel takes. Maps (N, channels, H, W) to the same shape.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = max(1, channels // 2)
        self.near = depthwise_conv(channels, 5)
        # Applied to the near one's output, so it sees 23x23 pixels.
        self.far = depthwise_conv(channels, 7, dilation=3)
        self.near_half = nn.Conv2d(channels, half, 1)
        self.far_half = nn.Conv2d(channels, half, 1)
        self.select = nn.Conv2d(2, 2, 7, padding=3)
        self.leave = nn.Conv2d(half, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        near = self.near(x)
        halves = self.near_half(near), self.far_half(self.far(near))
        both = torch.cat(halves, dim=1)
        pooled = torch.cat([both.mean(1, keepdim=True), both.amax(1, keepdim=True)], dim=1)
        shares = torch.sigmoid(self.select(pooled))
        mixed: Tensor = self.leave(halves[0] * shares[:, :1] + halves[1] * shares[:, 1:])
        return mixed


def strip_kernels(channels: int, length: int) -> nn.Sequential:
    """Return P(dwLx1(dw1xL(dw5x5(x)))), L = `length`: a large kernel for long, thin things.

    Maps (N, channels, H, W) to the same shape.
    """
    return nn.Sequential(
        depthwise_conv(channels, 5),
        depthwise_conv(channels, (1, length)),
        depthwise_conv(channels, (length, 1)),
        nn.Conv2d(channels, channels, 1),
    )


class SpatialSelectionBlock(nn.Sequential):
    """z = x + g1 a(bn(x)), y = z + g2 P(gelu(dw3x3(P_ec(bn(z))))), g1 = g2 = 0.01 at first.

    a(v) = v + P(u * weights(u)), u = gelu(P(v)), P a 1x1 convolution. Maps (N, channels, H, W) to
    the same shape, as `weights` must.
    """

    def __init__(self, channels: int, weights: nn.Module, expansion: float) -> None:
        hidden = inner_width(channels, expansion)
        attention = Residual(
            nn.Conv2d(channels, channels, 1),
            nn.GELU(),
            Gate(weights),
            nn.Conv2d(channels, channels, 1),
        )
        feed_forward = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.Conv2d(channels, hidden, 1),
            depthwise_conv(hidden, 3),
            nn.GELU(),
            nn.Conv2d(hidden, channels, 1),
        )
        mix = nn.Sequential(nn.BatchNorm2d(channels), attention)
        super().__init__(
            ScaledResidual(mix, channels, 1e-2),
            ScaledResidual(feed_forward, channels, 1e-2),
        )


@register_block(
    "LSKBlock",
    family="large-kernel",
    year=2023,
    paper="2303.09030",
    source="written from the paper",
    licence="Apache-2.0",
    evidence="network totals",
    formula="z = x + g (v + P(u * lsk(u))), u = gelu(P(v)), v = bn(x), y = z + g ffn(bn(z))",
    aliases=("LSKNet", "LargeSelectiveKernel"),
    notes=(
        "lsk: depthwise 5x5 and, after it, 7x7 dilated by 3, half of the channels of each, summed "
        "with shares that each pixel chooses. Feed-forward expansion 8/8/4 with a depthwise 3x3 "
        "inside, without its dropout of 0.1; layer scales g = 0.01 at the start. Before a block "
        "that strides: a 3x3 convolution and BN; before one that only changes channels: a 1x1 "
        "convolution and BN. Written without the authors' code, whose licence is not free; "
        "LSKNet-T and -S, with a classifier of 1000 classes, have the paper's 4.3 and 14.4 million "
        "parameters."
    ),
    knob="expansion",
)
def lsk_block(
    in_channels: int,
    out_channels: int,
    stride: int,
    position: Position,
    *,
    expansion: float | None = None,
) -> nn.Module:
    """Return LSKNet's block (Li et al., arXiv 2303.09030)."""
    weights = LargeSelectiveKernel(out_channels)
    block = SpatialSelectionBlock(out_channels, weights, expansion or _EXPANSION[position])
    return after_shape_change(block, in_channels, out_channels, stride, _downsampling)


@register_block(
    "StripBlock",
    family="large-kernel",
    year=2025,
    paper="2501.03775",
    source="written from the paper",
    licence="Apache-2.0",
    evidence="network totals",
    formula="z = x + g (v + P(u * P(dw19x1(dw1x19(dw5(u)))))), u = gelu(P(v)), v = bn(x), y = ..",
    aliases=("StripNet", "StripRCNN"),
    notes=(
        "y = z + g ffn(bn(z)). Strips of 19; feed-forward expansion 8/8/4 with a depthwise 3x3 "
        "inside, without its dropout; layer scales g = 0.01 at the start. Before a block that "
        "strides: a 3x3 convolution and BN; before one that only changes channels: a 1x1 "
        "convolution and BN. Written without the authors' code, whose licence is not free; "
        "the backbones StripNet-T and -S have the paper's 3.8 and 13.3 million parameters."
    ),
    knob="expansion",
)
def strip_block(
    in_channels: int,
    out_channels: int,
    stride: int,
    position: Position,
    *,
    expansion: float | None = None,
) -> nn.Module:
    """Return Strip R-CNN's block (Yuan et al., arXiv 2501.03775)."""
    weights = strip_kernels(out_channels, _STRIP)
    block = SpatialSelectionBlock(out_channels, weights, expansion or _EXPANSION[position])
    return after_shape_change(block, in_channels, out_channels, stride, _downsampling)


def _downsampling(in_channels: int, out_channels: int) -> nn.Module:
    conv = nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels))
