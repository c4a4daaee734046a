"""Residual blocks: ResNet's two (He et al., arXiv 1512.03385)."""

from __future__ import annotations

from timm.models.resnet import BasicBlock, Bottleneck, downsample_conv
from torch import nn

from blockzoo.blocks.registry import register_block
from blockzoo.position import Position


@register_block(
    "ResNetBasicBlock",
    family="residual",
    year=2015,
    paper="1512.03385",
    source="timm.models.resnet.BasicBlock",
    licence="Apache-2.0",
    formula="y = relu(bn(conv3x3(relu(bn(conv3x3_s(x))))) + shortcut(x))",
    notes="Option B: a strided 1x1 convolution and BN as shortcut, only where the shape changes.",
)
def resnet_basic_block(
    in_channels: int, out_channels: int, stride: int, position: Position
) -> nn.Module:
    """Return ResNet's basic block; the position changes nothing."""
    shortcut = _shortcut(in_channels, out_channels, stride)
    block: nn.Module = BasicBlock(in_channels, out_channels, stride, downsample=shortcut)
    return block


@register_block(
    "ResNetBottleneck",
    family="residual",
    year=2015,
    paper="1512.03385",
    source="timm.models.resnet.Bottleneck",
    licence="Apache-2.0",
    formula="y = relu(bn(conv1x1(relu(bn(conv3x3_s(relu(bn(conv1x1(x)))))))) + shortcut(x))",
    notes="A quarter of the output channels inside; the stride is on the 3x3 convolution.",
)
def resnet_bottleneck(
    in_channels: int, out_channels: int, stride: int, position: Position
) -> nn.Module:
    """Return ResNet's bottleneck; `ValueError` when out_channels is no multiple of 4."""
    if out_channels % 4:
        raise ValueError("the output channels must be a multiple of 4")
    shortcut = _shortcut(in_channels, out_channels, stride)
    block: nn.Module = Bottleneck(in_channels, out_channels // 4, stride, downsample=shortcut)
    return block


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Module | None:
    if stride == 1 and in_channels == out_channels:
        return None
    projection: nn.Module = downsample_conv(in_channels, out_channels, 1, stride)
    return projection
