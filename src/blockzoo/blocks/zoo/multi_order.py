"""MogaNet: gated aggregation of features of several orders (Li et al., arXiv 2211.03295)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from blockzoo.blocks.registry import register_block
from blockzoo.blocks.zoo.layers import ScaledResidual, after_shape_change, depthwise_conv
from blockzoo.blocks.zoo.widths import inner_width
from blockzoo.core.position import Position

# MogaNet has 8, 8, 4, 4 in its four stages; the positions here follow the first three.
_EXPANSION = {Position.EARLY: 8, Position.MID: 8, Position.LATE: 4}


class Decomposition(nn.Module):
    """y = x + s (x - common(x)): strengthens what sets features apart, s = 1e-5 at the start.

    `common(x)` must have a shape that can be subtracted from x. Maps (N, channels, H, W) to the
    same shape.
    """

    def __init__(self, channels: int, common: nn.Module) -> None:
        super().__init__()
        self.common = common
        self.strength = nn.Parameter(torch.full((channels, 1, 1), 1e-5))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        y: Tensor = x + self.strength * (x - self.common(x))
        return y


class MultiOrderContext(nn.Module):
    """y = P([u_l, dw5x5_d2(u_m), dw7x7_d3(u_h)]), [u_l, u_m, u_h] = dw5x5(x), split 1 : 3 : 4.

    Maps (N, channels, H, W) to the same shape. Raises `ValueError` for fewer than 3 channels,
    which cannot be split so.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        if channels < 3:
            raise ValueError("the output channels must be 3 or more")
        middle, high = channels * 3 // 8, channels * 4 // 8
        # The lowest order takes what rounding leaves, so that no channel is lost.
        self.widths = (channels - middle - high, middle, high)
        self.low_order = depthwise_conv(channels, 5)
        self.middle_order = depthwise_conv(middle, 5, dilation=2)
        self.high_order = depthwise_conv(high, 7, dilation=3)
        self.mix = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        # Each order starts from the 5x5 features and adds its reach to theirs.
        low, middle, high = self.low_order(x).split(self.widths, dim=1)
        orders = (low, self.middle_order(middle), self.high_order(high))
        y: Tensor = self.mix(torch.cat(orders, dim=1))
        return y


class MultiOrderGatedAggregation(nn.Module):
    """y = x + P(silu(P(u)) * silu(context(u))), u = silu(v + s (v - mean(v))), v = P(x).

    The mean is over the image, P a 1x1 convolution. Maps (N, channels, H, W) to the same shape.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.enter = nn.Sequential(
            nn.Conv2d(channels, channels, 1),
            Decomposition(channels, nn.AdaptiveAvgPool2d(1)),
            nn.SiLU(),
        )
        self.gate = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.SiLU())
        self.context = nn.Sequential(MultiOrderContext(channels), nn.SiLU())
        self.leave = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        entered = self.enter(x)
        y: Tensor = x + self.leave(self.gate(entered) * self.context(entered))
        return y


class MogaBlock(nn.Sequential):
    """z = x + g1 aggregation(bn(x)), y = z + g2 feed_forward(bn(z)), g1 = g2 = 1e-5 at the start.

    The feed-forward part is P(u + s (u - gelu(P_1(u)))), u = gelu(dw3x3(P_ec(x))): what is common
    to all channels is the one channel of P_1. Maps (N, channels, H, W) to the same shape.
    """

    def __init__(self, channels: int, expansion: float) -> None:
        hidden = inner_width(channels, expansion)
        aggregation = nn.Sequential(nn.BatchNorm2d(channels), MultiOrderGatedAggregation(channels))
        feed_forward = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.Conv2d(channels, hidden, 1),
            depthwise_conv(hidden, 3),
            nn.GELU(),
            # One channel, which is subtracted from every one of them.
            Decomposition(hidden, nn.Sequential(nn.Conv2d(hidden, 1, 1), nn.GELU())),
            nn.Conv2d(hidden, channels, 1),
        )
        super().__init__(
            ScaledResidual(aggregation, channels, 1e-5),
            ScaledResidual(feed_forward, channels, 1e-5),
        )


@register_block(
    "MogaNetBlock",
    family="gated",
    year=2022,
    paper="2211.03295",
    source="written from the paper",
    licence="Apache-2.0",
    evidence="official code",
    formula="z = x + g (v + P(silu(P(u)) silu(C(u)))), u = silu(D(Pv)), v = bn(x), y = z + g f(z)",
    aliases=("MogaNet",),
    notes=(
        "C: depthwise 5x5, then 5x5 of dilation 2 on 3/8 and 7x7 of dilation 3 on 4/8 of the "
        "channels; D strengthens the difference from the mean; f: feed-forward of expansion 8/8/4; "
        "layer scales g = 1e-5 at the start. Before a block that strides: a 3x3 convolution and "
        "BN; before one that only changes channels: a 1x1 convolution and BN."
    ),
    knob="expansion",
)
def moganet_block(
    in_channels: int,
    out_channels: int,
    stride: int,
    position: Position,
    *,
    expansion: float | None = None,
) -> nn.Module:
    """Return MogaNet's block (Li et al., arXiv 2211.03295)."""
    block = MogaBlock(out_channels, expansion or _EXPANSION[position])
    return after_shape_change(block, in_channels, out_channels, stride, _moganet_downsampling)


def _moganet_downsampling(in_channels: int, out_channels: int) -> nn.Module:
    conv = nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels))
