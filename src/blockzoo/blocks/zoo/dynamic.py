"""Blocks whose weights depend on the input: MicroNet (Li et al., arXiv 2108.05894)."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce

import torch
import torch.nn.functional as F
from timm.layers.helpers import make_divisible
from torch import Tensor, nn

from blockzoo.blocks.registry import register_block
from blockzoo.blocks.zoo.layers import conv_bn
from blockzoo.blocks.zoo.widths import inner_width
from blockzoo.core.position import Position

_rounded: Callable[[int, int], int] = make_divisible

_EXPANSION = 6
_REDUCTION = 8
# (depthwise kernel, factor on the reduction), after MicroNet-M2's stages of like resolution.
_STAGE = {Position.EARLY: (5, 1), Position.MID: (3, 2), Position.LATE: (3, 2)}


class DynamicShiftMax(nn.Module):
    """y = max over k of a_k(x) * x + b_k(x) * shifted(x), with coefficients from the pooled input.

    `shifted` takes, for channel c of group g, channel c + 1 of group g + 1, both cyclic. The
    coefficients lie within 2 of their initial values a = 1 and b = 0, so that without training the
    module is the identity. Maps (N, channels, H, W) to the same shape; `channels` must be a
    multiple of `groups`.
    """

    shift: Tensor

    def __init__(self, channels: int, *, groups: int, branches: int, reduction: int) -> None:
        super().__init__()
        self.groups, self.branches = groups, branches
        # A multiple of 4, and so never none, however few the channels are.
        squeezed = _rounded(channels // reduction, 4)
        self.coefficients = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(channels, squeezed),
            nn.ReLU(),
            nn.Linear(squeezed, 2 * channels * branches),
        )
        order = torch.arange(channels).view(groups, channels // groups).roll((-1, -1), (0, 1))
        # The order follows from the arguments, so it is no part of a state dict.
        self.register_buffer("shift", order.flatten(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        # Within -2 and 2, and 0 where the coefficients are 0.
        offsets = 4 * (F.hardsigmoid(self.coefficients(x)) - 0.5)
        per_branch = offsets.view(-1, self.branches, 2, x.shape[1], 1, 1)
        shifted = x.index_select(1, self.shift)
        mixtures = [
            (1 + per_branch[:, k, 0]) * x + per_branch[:, k, 1] * shifted
            for k in range(self.branches)
        ]
        return reduce(torch.maximum, mixtures)


class DYMicroBlock(nn.Module):
    """y = shiftmax1(P(shiftmax2(dw1xk(dwkx1(shiftmax2(P(x))))))) [+ x], P = grouped conv1x1 and BN.

    Micro-Block-C: it widens to 6 x in_channels, and after every shift-max a channel shuffle carries
    information between groups. Apart from the shift-maxes there is no activation. Maps
    (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride)). Raises
    `ValueError` for odd numbers of channels, which its shuffles cannot divide.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        *,
        kernel_size: int,
        ratio: int,
        expansion: float = _EXPANSION,
    ) -> None:
        super().__init__()
        if in_channels % 2 or out_channels % 2:
            raise ValueError("the input and output channels must be even")
        published = _EXPANSION * in_channels
        reduction = _REDUCTION * ratio
        groups_in = _groups(8 if in_channels <= 64 else 16, in_channels, published)
        groups_out = _groups(8 if out_channels <= 128 else 16, published, out_channels)
        # Whole groups, as many as published whatever the expansion, and four for the shuffle.
        multiple = math.lcm(groups_in, groups_out, 4)
        hidden = inner_width(in_channels, expansion, multiple)
        self.has_skip = stride == 1 and in_channels == out_channels
        self.layers = nn.Sequential(
            conv_bn(in_channels, hidden, groups=groups_in),
            DynamicShiftMax(hidden, groups=groups_in, branches=2, reduction=reduction),
            # Without it what a group of the 1x1 convolution made would stay in that group.
            nn.ChannelShuffle(groups_in),
            # A column and a row kernel for a square one; each takes the stride in its direction.
            conv_bn(hidden, hidden, (kernel_size, 1), stride=(stride, 1), groups=hidden),
            conv_bn(hidden, hidden, (1, kernel_size), stride=(1, stride), groups=hidden),
            DynamicShiftMax(hidden, groups=hidden // groups_in, branches=2, reduction=reduction),
            nn.ChannelShuffle(hidden // 4),
            conv_bn(hidden, out_channels, groups=groups_out),
            DynamicShiftMax(
                out_channels,
                groups=groups_out,
                # One branch takes no maximum, as a bottleneck ends without an activation.
                branches=1,
                reduction=reduction // 2 if out_channels < hidden else reduction,
            ),
            nn.ChannelShuffle(groups_out),
            nn.ChannelShuffle(out_channels // 2),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride))."""
        y: Tensor = self.layers(x)
        return x + y if self.has_skip else y


@register_block(
    "DYMicroBlock",
    family="dynamic",
    year=2021,
    paper="2108.05894",
    source="written from the paper",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = x + sm1(P(sm2(dw1xk(dwkx1(sm2(P_6c(x))))))), x where shape stays, sm = shift-max",
    notes=(
        "Micro-Block-C with M2's settings: shift-max branches 2/2/1, kernel 5/3/3, reduction "
        "8/16/16. Groups: 8 up to 64 input channels and 128 output channels, else 16, or the "
        "largest number below that divides the channels."
    ),
    knob="expansion",
)
def dymicro_block(
    in_channels: int, out_channels: int, stride: int, position: Position, *, expansion: float = 6
) -> nn.Module:
    """Return MicroNet's Micro-Block-C with the settings of that position."""
    kernel_size, ratio = _STAGE[position]
    return DYMicroBlock(
        in_channels, out_channels, stride, kernel_size=kernel_size, ratio=ratio, expansion=expansion
    )


def _groups(most: int, *channels: int) -> int:
    """Return the largest number of groups, at most `most`, that divides all those channels."""
    common = math.gcd(*channels)
    return next(groups for groups in range(most, 0, -1) if common % groups == 0)
