"""Blocks that shuffle channels between groups: ShuffleNet's two units."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torchvision.models.shufflenetv2 import InvertedResidual

from blockzoo.blocks.registry import register_block
from blockzoo.blocks.zoo.layers import after_downsampling, conv_bn, projection
from blockzoo.blocks.zoo.widths import inner_width, set_inner_width
from blockzoo.core.position import Position

_MOST_GROUPS = 4


class ShuffleUnit(nn.Module):
    """y = relu(x + F(x)), or relu([pool(x), F(x)]) with stride 2; F = G(dw3x3_s(shuffle(relu(G)))).

    G is a 1x1 convolution in 4 groups, or in the largest number below that divides its channels.
    BN follows each convolution; a quarter of the output channels is inside, or `width_ratio`. Maps
    (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride)). The number of
    channels may only grow with stride 2, where the pooled input (3x3 average) is concatenated;
    where it stays, the input, pooled with stride 2, is added.
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, *, width_ratio: float = 0.25
    ) -> None:
        super().__init__()
        self.grows = out_channels > in_channels
        # The pooled input makes up the rest of the output.
        branch = out_channels - in_channels if self.grows else out_channels
        # One number for both 1x1 convolutions, because the shuffle between them mixes those groups.
        groups = math.gcd(_MOST_GROUPS, in_channels, out_channels // 4, branch)
        inside = inner_width(out_channels, width_ratio, multiple=groups)
        self.branch = nn.Sequential(
            conv_bn(in_channels, inside, groups=groups, activation=nn.ReLU()),
            nn.ChannelShuffle(groups),
            # No ReLU after the depthwise convolution: the paper leaves it out.
            conv_bn(inside, inside, 3, stride=stride, groups=inside),
            conv_bn(inside, branch, groups=groups),
        )
        self.shortcut = nn.AvgPool2d(3, 2, 1) if stride == 2 else nn.Identity()
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride))."""
        branch, shortcut = self.branch(x), self.shortcut(x)
        y: Tensor = self.act(torch.cat([shortcut, branch], 1) if self.grows else shortcut + branch)
        return y


@register_block(
    "ShuffleNetV1Unit",
    family="mobile",
    year=2017,
    paper="1707.01083",
    source="written from the paper",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = relu(x + G(dw3x3(shuffle(relu(G(x)))))), s=2: relu([avgpool3x3_2(x), G(..)])",
    aliases=("ShuffleNetUnit", "ShuffleNetV1"),
    notes=(
        "Four groups (fewer where they do not divide the channels), a quarter of the output "
        "channels inside, BN after each convolution, ReLU after the first and at the end. Where "
        "the channels change otherwise than by growing with stride 2, a 1x1 convolution and BN "
        "stands before the unit; where they stay with stride 2, the pooled input is added."
    ),
    knob="width_ratio",
)
def shufflenet_v1_unit(
    in_channels: int,
    out_channels: int,
    stride: int,
    position: Position,
    *,
    width_ratio: float = 0.25,
) -> nn.Module:
    """Return ShuffleNet's unit (Zhang et al., arXiv 1707.01083).

    Raises `ValueError` when out_channels is no multiple of 4.
    """
    if out_channels % 4:
        raise ValueError("the output channels must be a multiple of 4")
    if stride == 2 and out_channels > in_channels:
        return ShuffleUnit(in_channels, out_channels, stride, width_ratio=width_ratio)
    unit = ShuffleUnit(out_channels, out_channels, stride, width_ratio=width_ratio)
    return after_downsampling(projection(in_channels, out_channels), unit)


@register_block(
    "ShuffleNetV2Unit",
    family="mobile",
    year=2018,
    paper="1807.11164",
    source="torchvision.models.shufflenetv2.InvertedResidual",
    licence="BSD-3-Clause",
    evidence="official code",
    formula="y = shuffle([x1, P(dw3x3(P(x2)))]), [x1, x2] = x; s=2: shuffle([P(dw_2(x)), P(..)])",
    aliases=("ShuffleNetV2",),
    notes=(
        "P = relu bn conv1x1, two groups in the shuffle. Where only the channels change, a 1x1 "
        "convolution and BN stands before the unit."
    ),
    knob="width_ratio",
)
def shufflenet_v2_unit(
    in_channels: int,
    out_channels: int,
    stride: int,
    position: Position,
    *,
    width_ratio: float = 0.5,
) -> nn.Module:
    """Return ShuffleNetV2's unit (Ma et al., arXiv 1807.11164).

    Raises `ValueError` for an odd number of output channels, which it makes in halves.
    """
    if out_channels % 2:
        raise ValueError("the output channels must be even")
    # Only this form sends the whole input through both branches, and so may change the channels.
    if stride == 2:
        unit: nn.Module = InvertedResidual(in_channels, out_channels, stride)
        downsampling = None
    else:
        unit = InvertedResidual(out_channels, out_channels, 1)
        downsampling = projection(in_channels, out_channels)
    set_inner_width(
        unit,
        inner_width(out_channels, width_ratio),
        enter=["branch2.0"],
        inside=["branch2.1", "branch2.3", "branch2.4"],
        leave=["branch2.5"],
    )
    return after_downsampling(downsampling, unit)
