"""Convolutional blocks in the style of transformers: layer normalisation first, GELU inside."""

from __future__ import annotations

from timm.models.vitamin import MbConvLNBlock
from torch import nn

from blockzoo.blocks.registry import register_block
from blockzoo.position import Position


@register_block(
    "MBConvLNBlock",
    family="modern",
    year=2024,
    paper="2404.02132",
    source="timm.models.vitamin.MbConvLNBlock",
    licence="Apache-2.0",
    formula="y = conv1x1(gelu(dw3x3_s(gelu(conv1x1_4o(ln(x)))))) + shortcut(x)",
    notes="ViTamin's; the strided shortcut is a 3x3 average pool and a 1x1 convolution.",
)
def mbconv_ln_block(
    in_channels: int, out_channels: int, stride: int, position: Position
) -> nn.Module:
    """Return ViTamin's MBConv-LN block (Chen et al., arXiv 2404.02132)."""
    block: nn.Module = MbConvLNBlock(in_channels, out_channels, stride=stride)
    return block
