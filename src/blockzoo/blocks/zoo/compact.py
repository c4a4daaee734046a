"""Compact blocks: SqueezeNet's fire module and SqueezeNext's two-stage bottleneck."""

from __future__ import annotations

from torch import nn
from torchvision.models.squeezenet import Fire

from blockzoo.blocks.registry import register_block
from blockzoo.blocks.zoo.layers import ResidualReLU, conv_bn, overlapping_max_pool
from blockzoo.blocks.zoo.widths import inner_width
from blockzoo.core.position import Position


@register_block(
    "SqueezeNetFire",
    family="compact",
    year=2016,
    paper="1602.07360",
    source="torchvision.models.squeezenet.Fire",
    licence="BSD-3-Clause",
    evidence="network totals",
    formula="y = [relu(conv1x1(u)), relu(conv3x3(u))], u = relu(conv1x1_o/8(x))",
    aliases=("Fire", "FireModule", "SqueezeNet"),
    notes=(
        "Convolutions with bias, no normalisation and no shortcut; fire2 to fire4 have the "
        "parameters of the paper's table. Where it strides: SqueezeNet's 3x3 max pool before it, "
        "windows starting at the first pixel."
    ),
    knob="width_ratio",
)
def squeezenet_fire(
    in_channels: int,
    out_channels: int,
    stride: int,
    position: Position,
    *,
    width_ratio: float = 0.125,
) -> nn.Module:
    """Return SqueezeNet's fire module (Iandola et al., arXiv 1602.07360).

    Raises `ValueError` when out_channels is no multiple of 8.
    """
    if out_channels % 8:
        raise ValueError("the output channels must be a multiple of 8")
    # An eighth squeezed, two halves expanded: fire2's 16, 64 and 64 of 128 channels.
    half = out_channels // 2
    fire: nn.Module = Fire(in_channels, inner_width(out_channels, width_ratio), half, half)
    return nn.Sequential(overlapping_max_pool(), fire) if stride == 2 else fire


@register_block(
    "SqueezeNext",
    family="compact",
    year=2018,
    paper="1803.10615",
    source="written from the paper",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = relu(x + P(conv1x3(conv3x1(P_c/4(P_c/2(x)))))), BN and ReLU after each of them",
    aliases=("SqNxt",),
    notes=(
        "3x1 before 1x3 in every block, as in the first of each stage of the paper's; there the "
        "two change places from block to block, but a block here has no number, and the cost is "
        "the same. Where the shape changes: a strided 1x1 convolution, BN and ReLU before it."
    ),
    knob="width_ratio",
)
def squeezenext(
    in_channels: int,
    out_channels: int,
    stride: int,
    position: Position,
    *,
    width_ratio: float = 0.5,
) -> nn.Module:
    """Return SqueezeNext's block (Gholami et al., arXiv 1803.10615).

    Raises `ValueError` when out_channels is no multiple of 4.
    """
    if out_channels % 4:
        raise ValueError("the output channels must be a multiple of 4")
    block = _squeezenext_block(out_channels, inner_width(out_channels, width_ratio))
    if stride == 1 and in_channels == out_channels:
        return block
    # The block itself has no projection: it adds x, whose shape must already be the output's.
    transition = conv_bn(in_channels, out_channels, stride=stride, activation=nn.ReLU())
    return nn.Sequential(transition, block)


def _squeezenext_block(channels: int, half: int) -> nn.Module:
    quarter = max(1, half // 2)
    return ResidualReLU(
        nn.Sequential(
            # Narrowed in two steps, so that the column kernel sees a quarter of the channels only.
            conv_bn(channels, half, activation=nn.ReLU()),
            conv_bn(half, quarter, activation=nn.ReLU()),
            conv_bn(quarter, half, (3, 1), activation=nn.ReLU()),
            conv_bn(half, half, (1, 3), activation=nn.ReLU()),
            conv_bn(half, channels, activation=nn.ReLU()),
        )
    )
