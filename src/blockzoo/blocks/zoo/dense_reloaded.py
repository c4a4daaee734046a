"""RDNet: concatenation with ConvNeXt's layers (Kim et al., arXiv 2403.19588)."""

from __future__ import annotations

from timm.layers.norm import LayerNorm2d
from timm.models.rdnet import DenseStage
from torch import nn

from blockzoo.blocks.registry import register_block
from blockzoo.blocks.zoo.layers import patch_conv
from blockzoo.core.position import Position

_LAYERS = 3
# RDNet's first two stages have plain layers, the later ones gate what each of them adds.
_LAYER = {Position.EARLY: "Block", Position.MID: "Block", Position.LATE: "BlockESE"}
_LEAST_WIDTH = 4


@register_block(
    "RDNetBlock",
    family="dense",
    year=2024,
    paper="2403.19588",
    source="timm.models.rdnet.DenseStage, DenseBlock, Block and BlockESE",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = [v, L(v), L([v, L(v)]), ..], v = conv_s(ln(x)), L = g ese(P(gelu(P_4c(ln(dw7)))))",
    aliases=("RDNet",),
    notes=(
        "Three layers, each of which adds a quarter of the output channels to what entered; "
        "the gate ese late only; layer scales g = 1e-6 at the start. The transition v before "
        "them, a 1x1 convolution, 2x2 where it strides, leaves a quarter of the output channels, "
        "as RDNet's first stage has; RDNet's own stages mix two or three such blocks and a "
        "transition that halves the channels."
    ),
    knob="expansion",
)
def rdnet_block(
    in_channels: int, out_channels: int, stride: int, position: Position, *, expansion: float = 4
) -> nn.Module:
    """Return RDNet's dense stage and its transition (Kim et al., arXiv 2403.19588).

    Raises `ValueError` for fewer than 4 output channels, a quarter of which each layer adds.
    """
    if out_channels < _LEAST_WIDTH:
        raise ValueError("the output channels must be 4 or more")
    growth = out_channels // 4
    entering = out_channels - _LAYERS * growth
    conv = nn.Conv2d(in_channels, entering, 1) if stride == 1 else patch_conv(in_channels, entering)
    dense = DenseStage(
        _LAYERS,
        entering,
        [0.0] * _LAYERS,
        growth,
        # timm rounds widths down to a multiple of 8, which must not be none.
        bottleneck_width_ratio=max(expansion, 8 / entering),
        block_type=_LAYER[position],
        norm_layer=LayerNorm2d,
        act_layer=nn.GELU,
    )
    return nn.Sequential(LayerNorm2d(in_channels), conv, dense)
