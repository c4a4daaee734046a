"""PKINet: features filtered by kernels of many sizes at once (Cai et al., arXiv 2403.06258)."""

from __future__ import annotations

import torch
from timm.layers.norm import LayerNorm2d
from torch import Tensor, nn

from blockzoo.blocks.registry import register_block
from blockzoo.blocks.zoo.layers import ScaledResidual, after_shape_change, depthwise_conv
from blockzoo.blocks.zoo.widths import inner_width
from blockzoo.core.position import Position

_KERNEL_SIZES = (3, 5, 7, 9, 11)
_STRIP = 11


def pkinet_conv(
    in_channels: int, out_channels: int, kernel_size: int = 1, *, stride: int = 1
) -> nn.Sequential:
    """Return convolution without bias, PKINet's BN (momentum 0.03, eps 1e-3) and SiLU.

    Maps (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride)).
    """
    conv = nn.Conv2d(
        in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, bias=False
    )
    return nn.Sequential(conv, _pkinet_norm(out_channels), nn.SiLU())


def _pkinet_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.03)


class PolyKernelMixer(nn.Module):
    """y = C(w + a * w), w = C(sum of dwkxk(u)), a = strips(u), u = C(x).

    C is a 1x1 convolution, BN and SiLU; the first depthwise kernel filters u and the others filter
    its output, to which they are added. `strips` is PKINet's context anchor attention: a 7x7
    average, a 1x1 convolution, a row and a column kernel of length `strip`, a 1x1 convolution, a
    sigmoid. Maps (N, channels, H, W) to the same shape.
    """

    def __init__(self, channels: int, kernel_sizes: tuple[int, ...], strip: int) -> None:
        super().__init__()
        self.enter = pkinet_conv(channels, channels)
        self.first = depthwise_conv(channels, kernel_sizes[0])
        self.others = nn.ModuleList(depthwise_conv(channels, size) for size in kernel_sizes[1:])
        self.mix = pkinet_conv(channels, channels)
        self.attention = nn.Sequential(
            nn.AvgPool2d(7, stride=1, padding=3),
            nn.Conv2d(channels, channels, 1),
            # A row and a column kernel reach as far as a strip x strip one, at 2/strip of its cost.
            depthwise_conv(channels, (1, strip)),
            depthwise_conv(channels, (strip, 1)),
            nn.Conv2d(channels, channels, 1),
            nn.Sigmoid(),
        )
        self.leave = pkinet_conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        entered = self.enter(x)
        filtered = self.first(entered)
        several = filtered
        for conv in self.others:
            # Side by side, not one after the other: each larger kernel filters the 3x3's output.
            several = several + conv(filtered)
        mixed = self.mix(several)
        # The attention sees what entered, not what it weights, and adds to it instead of replacing.
        y: Tensor = self.leave(mixed + self.attention(entered) * mixed)
        return y


class GlobalSiLU(nn.Module):
    """y = x * sigmoid(mean of x over the image); maps (N, channels, H, W) to the same shape."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        return x * torch.sigmoid(x.mean((2, 3), keepdim=True))


def pkinet_feed_forward(channels: int, expansion: float, kernel_size: int) -> nn.Sequential:
    """Return P(global_silu(dwkxk(P_ec(ln(x))))); maps (N, channels, H, W) to the same shape."""
    hidden = inner_width(channels, expansion)
    return nn.Sequential(
        LayerNorm2d(channels, eps=1e-5),
        nn.Conv2d(channels, hidden, 1),
        depthwise_conv(hidden, kernel_size),
        GlobalSiLU(),
        nn.Conv2d(hidden, channels, 1),
    )


class PKIBlock(nn.Sequential):
    """z = x + g1 mixer(bn(x)), y = z + g2 feed_forward(bn(z)), g1 = g2 = 1 at first.

    `strip` is the length of the attention's row and column kernels. Maps (N, channels, H, W) to
    the same shape.
    """

    def __init__(self, channels: int, strip: int, expansion: float = 4) -> None:
        mixer = PolyKernelMixer(channels, _KERNEL_SIZES, strip)
        feed_forward = pkinet_feed_forward(channels, expansion, 3)
        super().__init__(
            ScaledResidual(nn.Sequential(_pkinet_norm(channels), mixer), channels, 1.0),
            ScaledResidual(nn.Sequential(_pkinet_norm(channels), feed_forward), channels, 1.0),
        )


@register_block(
    "PKIBlock",
    family="large-kernel",
    year=2024,
    paper="2403.06258",
    source="written from the paper",
    licence="Apache-2.0",
    evidence="official code",
    formula="z = x + g C((1 + a(u)) C(v + sum dwk(v))), v = dw3(u), u = C(bn(x)), y = z + g f(z)",
    aliases=("PKINet",),
    notes=(
        "Kernels 3, 5, 7, 9, 11 on all channels; in PKINet the blocks of a stage see half of its "
        "channels, another layer the other half. Strips a of 11 (PKINet lengthens them by 2 from "
        "block to block, but a block here has no number); feed-forward f with BN, expansion 4, "
        "without its dropout of 0.1; layer scales g = 1 at the start. Before a block that "
        "strides: a 3x3 convolution, BN, SiLU; before one that only changes channels: a 1x1 "
        "convolution and BN."
    ),
    knob="expansion",
)
def pki_block(
    in_channels: int, out_channels: int, stride: int, position: Position, *, expansion: float = 4
) -> nn.Module:
    """Return PKINet's block (Cai et al., arXiv 2403.06258); the position changes nothing."""
    block = PKIBlock(out_channels, _STRIP, expansion)
    return after_shape_change(block, in_channels, out_channels, stride, _pkinet_downsampling)


def _pkinet_downsampling(in_channels: int, out_channels: int) -> nn.Module:
    return pkinet_conv(in_channels, out_channels, 3, stride=2)
