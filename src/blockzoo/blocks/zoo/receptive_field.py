"""UniConvNet: ever larger kernels on ever more channels (Wang and Xi, arXiv 2508.09000)."""

from __future__ import annotations

import torch
from timm.layers.norm import LayerNorm2d
from torch import Tensor, nn

from blockzoo.blocks.registry import register_block
from blockzoo.blocks.zoo.deformable import DCNv3
from blockzoo.blocks.zoo.layers import (
    ChannelsLast,
    ScaledResidual,
    after_shape_change,
    depthwise_conv,
)
from blockzoo.blocks.zoo.widths import inner_width
from blockzoo.core.position import Position

_QUARTERS = 4
_KERNEL_SIZES = (7, 9, 11)
_GROUP_WIDTH = 8


class LayerOperator(nn.Module):
    """[w, y] = [dw3x3(P(x2)) + R(a), P(a * P(v))], a = dwkxk(gelu(P(v))), v = ln(x1).

    P is a 1x1 convolution that keeps the channels, R one to as many as x2 has, or none where x1 has
    as many. Maps (N, channels, H, W) and (N, added, H, W) to (N, channels + added, H, W).
    """

    def __init__(self, channels: int, added: int, kernel_size: int) -> None:
        super().__init__()
        self.amplifier = nn.Sequential(
            nn.Conv2d(channels, channels, 1), nn.GELU(), depthwise_conv(channels, kernel_size)
        )
        self.values = nn.Conv2d(channels, channels, 1)
        self.leave = nn.Conv2d(channels, channels, 1)
        self.reduce = nn.Identity() if channels == added else nn.Conv2d(channels, added, 1)
        self.discriminator = nn.Sequential(nn.Conv2d(added, added, 1), depthwise_conv(added, 3))

    def forward(self, x: Tensor, added: Tensor) -> Tensor:
        """Map (N, channels, H, W) and (N, added, H, W) to (N, channels + added, H, W)."""
        amplifier = self.amplifier(x)
        product = self.leave(amplifier * self.values(x))
        other = self.discriminator(added) + self.reduce(amplifier)
        return torch.cat([other, product], dim=1)


class ReceptiveFieldAggregator(nn.Module):
    """Three layer operators, of kernels 7, 9, 11, each on a quarter of the channels more.

    The first one sees the first quarter of ln(x); each later one what is there, normalised. Maps
    (N, channels, H, W) to the same shape; `channels` must be a multiple of 4.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        quarter = channels // _QUARTERS
        seen = [quarter * number for number in range(1, _QUARTERS)]
        self.norm = LayerNorm2d(channels)
        self.norms = nn.ModuleList([nn.Identity(), *map(LayerNorm2d, seen[1:])])
        self.operators = nn.ModuleList(
            LayerOperator(width, quarter, size)
            for width, size in zip(seen, _KERNEL_SIZES, strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        seen, *others = self.norm(x).chunk(_QUARTERS, dim=1)
        for norm, operator, added in zip(self.norms, self.operators, others, strict=True):
            seen = operator(norm(seen), added)
        y: Tensor = seen
        return y


class UniConvBlock(nn.Sequential):
    """v = x + g rfa(x), z = v + g dcn(ln(v)), y = z + g P(gelu(P_ec(ln(z)))), each g 1e-6 at first.

    Maps (N, channels, H, W) to the same shape.
    """

    def __init__(self, channels: int, mlp_ratio: float = 4) -> None:
        hidden = inner_width(channels, mlp_ratio)
        deformable = DCNv3(channels, channels // _GROUP_WIDTH)
        mlp = [nn.Linear(channels, hidden), nn.GELU(), nn.Linear(hidden, channels)]
        branches = (
            ReceptiveFieldAggregator(channels),
            ChannelsLast(nn.Sequential(nn.LayerNorm(channels, eps=1e-6), deformable)),
            ChannelsLast(nn.Sequential(nn.LayerNorm(channels, eps=1e-6), *mlp)),
        )
        super().__init__(*(ScaledResidual(branch, channels, 1e-6) for branch in branches))


@register_block(
    "UniConvNetBlock",
    family="large-kernel",
    year=2025,
    paper="2508.09000",
    source="written from the paper",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = z + g P(gelu(P_4c(ln(z)))), z = v + g dcn3(ln(v)), v = x + g rfa(ln(x)), g = 1e-6",
    aliases=("UniConvNet", "ReceptiveFieldAggregator"),
    notes=(
        "rfa: kernels of 7, 9, 11 on one, two, three quarters of the channels, each beside a 3x3 "
        "on the next quarter; then deformable convolution in groups of 8 channels, as in the "
        "models A to P2. No counter sees the deformable sampling: 9 x channels x H x W points. "
        "Before a block that strides: layer normalisation and a 3x3 convolution; before one that "
        "only changes channels: a 1x1 convolution and BN."
    ),
    knob="mlp_ratio",
)
def uniconvnet_block(
    in_channels: int, out_channels: int, stride: int, position: Position, *, mlp_ratio: float = 4
) -> nn.Module:
    """Return UniConvNet's block (Wang and Xi, arXiv 2508.09000); the position changes nothing.

    Raises `ValueError` when out_channels is no multiple of 8, the width of a group.
    """
    if out_channels % _GROUP_WIDTH:
        raise ValueError("the output channels must be a multiple of 8")
    block = UniConvBlock(out_channels, mlp_ratio)
    return after_shape_change(block, in_channels, out_channels, stride, uniconvnet_downsampling)


def uniconvnet_downsampling(in_channels: int, out_channels: int) -> nn.Module:
    """Return layer normalisation and a strided 3x3 convolution."""
    conv = nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1)
    return nn.Sequential(LayerNorm2d(in_channels), conv)
