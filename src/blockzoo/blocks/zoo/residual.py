"""Residual blocks: ResNet's two (He et al., arXiv 1512.03385) and their relatives."""

from __future__ import annotations

import math
from typing import Any

from timm.layers.create_conv2d import create_conv2d
from timm.layers.norm_act import BatchNormAct2d
from timm.models import regnet
from timm.models.resnet import BasicBlock, Bottleneck, downsample_conv
from timm.models.resnetv2 import DownsampleConv, PreActBasic
from torch import nn

from blockzoo.blocks.registry import register_block
from blockzoo.blocks.zoo.widths import inner_width, set_inner_width, width_of
from blockzoo.core.position import Position

_RESNEXT_GROUP_WIDTH = 4
_REGNET_GROUP_WIDTH = 16


@register_block(
    "ResNetBasicBlock",
    family="residual",
    year=2015,
    paper="1512.03385",
    source="timm.models.resnet.BasicBlock",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = relu(bn(conv3x3(relu(bn(conv3x3_s(x))))) + shortcut(x))",
    notes="Option B: a strided 1x1 convolution and BN as shortcut, only where the shape changes.",
    knob="width_ratio",
)
def resnet_basic_block(
    in_channels: int, out_channels: int, stride: int, position: Position, *, width_ratio: float = 1
) -> nn.Module:
    """Return ResNet's basic block; the position changes nothing."""
    shortcut = _shortcut(in_channels, out_channels, stride)
    block: nn.Module = BasicBlock(in_channels, out_channels, stride, downsample=shortcut)
    set_basic_width(block, width_ratio)
    return block


@register_block(
    "ResNetBottleneck",
    family="residual",
    year=2015,
    paper="1512.03385",
    source="timm.models.resnet.Bottleneck",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = relu(bn(conv1x1(relu(bn(conv3x3_s(relu(bn(conv1x1(x)))))))) + shortcut(x))",
    notes="A quarter of the output channels inside; the stride is on the 3x3 convolution.",
    knob="width_ratio",
)
def resnet_bottleneck(
    in_channels: int,
    out_channels: int,
    stride: int,
    position: Position,
    *,
    width_ratio: float = 0.25,
) -> nn.Module:
    """Return ResNet's bottleneck; `ValueError` when out_channels is no multiple of 4."""
    if out_channels % 4:
        raise ValueError("the output channels must be a multiple of 4")
    shortcut = _shortcut(in_channels, out_channels, stride)
    block: nn.Module = Bottleneck(
        in_channels,
        out_channels // 4,
        stride,
        downsample=shortcut,
        base_width=base_width(out_channels, width_ratio),
    )
    return block


@register_block(
    "PreActBasicBlock",
    family="residual",
    year=2016,
    paper="1603.05027",
    source="timm.models.resnetv2.PreActBasic",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = conv3x3(relu(bn(conv3x3_s(u)))) + shortcut, u = relu(bn(x))",
    aliases=("PreActBlock",),
    notes="The shortcut is x or, where the shape changes, a strided 1x1 convolution of u.",
    knob="width_ratio",
)
def preact_basic_block(
    in_channels: int, out_channels: int, stride: int, position: Position, *, width_ratio: float = 1
) -> nn.Module:
    """Return the pre-activation basic block (He et al., arXiv 1603.05027)."""
    block: nn.Module = PreActBasic(
        in_channels,
        out_channels,
        stride=stride,
        # timm's defaults are its BiT models': standardised weights and group normalisation.
        conv_layer=create_conv2d,
        norm_layer=BatchNormAct2d,
        proj_layer=DownsampleConv,
    )
    width = inner_width(width_of(block, "conv1"), width_ratio)
    set_inner_width(block, width, enter=["conv1"], inside=["norm2"], leave=["conv2"])
    return block


@register_block(
    "ResNeXtBottleneck",
    family="residual",
    year=2016,
    paper="1611.05431",
    source="timm.models.resnet.Bottleneck",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = relu(bn(conv1x1(relu(bn(gconv3x3_s(relu(bn(conv1x1(x)))))))) + shortcut(x))",
    aliases=("ResNeXt",),
    notes=(
        "Half the output channels inside, in groups of 4: out/8 groups, which is 32x4d at 256 "
        "output channels."
    ),
    knob="width_ratio",
)
def resnext_bottleneck(
    in_channels: int,
    out_channels: int,
    stride: int,
    position: Position,
    *,
    width_ratio: float = 0.5,
) -> nn.Module:
    """Return ResNeXt's bottleneck; `ValueError` when out_channels is no multiple of 8."""
    if out_channels % 8:
        raise ValueError("the output channels must be a multiple of 8")
    # timm rounds out/4 x base_width/64 down; a hair above the exact quotient gives 4.
    base_width: Any = (256 * _RESNEXT_GROUP_WIDTH + 1) / out_channels
    block: nn.Module = Bottleneck(
        in_channels,
        out_channels // 4,
        stride,
        downsample=_shortcut(in_channels, out_channels, stride),
        cardinality=inner_width(out_channels, width_ratio, _RESNEXT_GROUP_WIDTH)
        // _RESNEXT_GROUP_WIDTH,
        base_width=base_width,
    )
    return block


@register_block(
    "RegNetXBlock",
    family="residual",
    year=2020,
    paper="2003.13678",
    source="timm.models.regnet.Bottleneck",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = relu(bn(conv1x1(relu(bn(gconv3x3_s(relu(bn(conv1x1(x)))))))) + shortcut(x))",
    aliases=("RegNetX",),
    notes=(
        "Bottleneck ratio 1, groups of 16 channels, or of the largest number below that divides "
        "the output channels and 16; no squeeze-excite."
    ),
    knob="width_ratio",
)
def regnetx_block(
    in_channels: int, out_channels: int, stride: int, position: Position, *, width_ratio: float = 1
) -> nn.Module:
    """Return RegNetX's block (Radosavovic et al., arXiv 2003.13678)."""
    group_size = math.gcd(_REGNET_GROUP_WIDTH, out_channels)
    block: nn.Module = regnet.Bottleneck(
        in_channels,
        out_channels,
        stride,
        bottle_ratio=inner_width(out_channels, width_ratio, group_size) / out_channels,
        group_size=group_size,
        se_ratio=0,
    )
    return block


def set_basic_width(block: nn.Module, width_ratio: float) -> None:
    """Set the width between the convolutions of timm's basic block over that of its output."""
    width = inner_width(width_of(block, "conv2"), width_ratio)
    set_inner_width(block, width, enter=["conv1"], inside=["bn1"], leave=["conv2"])


def base_width(out_channels: int, width_ratio: float, multiple: int = 1) -> Any:
    """Return what timm's bottlenecks take for `width_ratio` times the output channels inside."""
    # They round a quarter of the channels x base_width / 64 down; half a channel more keeps it.
    return 64 * (inner_width(out_channels, width_ratio, multiple) + 0.5) / (out_channels // 4)


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Module | None:
    if stride == 1 and in_channels == out_channels:
        return None
    projection: nn.Module = downsample_conv(in_channels, out_channels, 1, stride)
    return projection
