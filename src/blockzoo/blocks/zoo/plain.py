"""The plain block without a shortcut: the control that every other block is compared with."""

from __future__ import annotations

from timm.models._efficientnet_blocks import ConvBnAct
from torch import nn

from blockzoo.blocks.registry import register_block
from blockzoo.core.position import Position


@register_block(
    "ConvBNAct",
    family="plain",
    year=2014,
    paper="1409.1556",
    source="timm.models._efficientnet_blocks.ConvBnAct",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = relu(bn(conv3x3_s(x)))",
    aliases=("ConvBNReLU", "VGGBlock"),
    notes="VGG's convolution with the batch normalisation of arXiv 1502.03167; no shortcut.",
)
def conv_bn_act(in_channels: int, out_channels: int, stride: int, position: Position) -> nn.Module:
    """Return one 3x3 convolution, BN and ReLU; the position changes nothing."""
    block: nn.Module = ConvBnAct(in_channels, out_channels, 3, stride, act_layer=nn.ReLU)
    return block
