"""MetaFormers: a token mixer, then an MLP, each with a shortcut; the mixers here have no attention.

The mixers are pooling (PoolFormer, EfficientFormer) and separable convolution (ConvFormer).
"""

from __future__ import annotations

from timm.layers.norm import GroupNorm1
from timm.models.efficientformer import Downsample, MetaBlock2d
from timm.models.metaformer import LayerNorm2dNoBias, MetaFormerBlock, Pooling, SepConv
from torch import nn

from blockzoo.blocks.registry import register_block
from blockzoo.blocks.zoo.layers import after_shape_change
from blockzoo.blocks.zoo.widths import inner_width, leaving_one, set_inner_width
from blockzoo.core.position import Position

# ConvFormer scales the shortcuts of its last two stages only.
_CONVFORMER_SHORTCUT_SCALE = {Position.EARLY: None, Position.MID: None, Position.LATE: 1.0}


@register_block(
    "PoolFormerBlock",
    family="metaformer",
    year=2021,
    paper="2111.11418",
    source="timm.models.metaformer.MetaFormerBlock with Pooling",
    licence="Apache-2.0",
    evidence="official code",
    formula="z = x + g1 (avgpool3x3(v) - v), v = gn(x), y = z + g2 P(gelu(P_4c(gn(z))))",
    aliases=("PoolFormer",),
    notes=(
        "Group normalisation of one group; layer scales g1 = g2 = 1e-5 at the start. Before a "
        "block that strides: a 3x3 convolution; before one that only changes channels: a 1x1 "
        "convolution and BN."
    ),
    knob="mlp_ratio",
)
def poolformer_block(
    in_channels: int, out_channels: int, stride: int, position: Position, *, mlp_ratio: float = 4
) -> nn.Module:
    """Return PoolFormer's block (Yu et al., arXiv 2111.11418); the position changes nothing."""
    block = MetaFormerBlock(
        out_channels,
        # timm's mixer subtracts its input from the mean, because the block has a shortcut anyway.
        Pooling,
        # timm's defaults are ConvFormer's: StarReLU, and no biases.
        mlp_act=nn.GELU,
        mlp_bias=True,
        norm_layer=GroupNorm1,
        layer_scale_init_value=1e-5,
    )
    _set_mlp_ratio(block, out_channels, mlp_ratio)
    return after_shape_change(block, in_channels, out_channels, stride, _strided_conv)


def _set_mlp_ratio(block: nn.Module, channels: int, mlp_ratio: float) -> None:
    # timm's block has a ratio of 4 always.
    width = inner_width(channels, mlp_ratio)
    set_inner_width(block, width, enter=["mlp.fc1"], leave=["mlp.fc2"])


def _strided_conv(in_channels: int, out_channels: int) -> nn.Module:
    return nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1)


@register_block(
    "ConvFormerBlock",
    family="metaformer",
    year=2022,
    paper="2210.13452",
    source="timm.models.metaformer.MetaFormerBlock with SepConv",
    licence="Apache-2.0",
    evidence="official code",
    formula="z = r1 x + P(dw7x7(starrelu(P_2c(ln(x))))), y = r2 z + P(starrelu(P_4c(ln(z))))",
    aliases=("ConvFormer",),
    notes=(
        "StarReLU is s relu(x)^2 + b with learned s and b; no other biases; learned scales r1, r2 "
        "of the shortcuts, 1 at the start, late only. Before a block that strides: layer "
        "normalisation and a 3x3 convolution; before one that only changes channels: a 1x1 "
        "convolution and BN."
    ),
    knob="mlp_ratio",
)
def convformer_block(
    in_channels: int, out_channels: int, stride: int, position: Position, *, mlp_ratio: float = 4
) -> nn.Module:
    """Return ConvFormer's block (Yu et al., arXiv 2210.13452)."""
    block = MetaFormerBlock(
        out_channels,
        SepConv,
        norm_layer=LayerNorm2dNoBias,
        res_scale_init_value=_CONVFORMER_SHORTCUT_SCALE[position],
    )
    _set_mlp_ratio(block, out_channels, mlp_ratio)
    return after_shape_change(block, in_channels, out_channels, stride, _convformer_downsampling)


def _convformer_downsampling(in_channels: int, out_channels: int) -> nn.Module:
    return nn.Sequential(LayerNorm2dNoBias(in_channels), _strided_conv(in_channels, out_channels))


@register_block(
    "EfficientFormerMB4D",
    family="metaformer",
    year=2022,
    paper="2206.01191",
    source="timm.models.efficientformer.MetaBlock2d",
    licence="Apache-2.0",
    evidence="official code",
    formula="z = x + g1 (avgpool3x3(x) - x), y = z + g2 bn(P(gelu(bn(P_4c(z)))))",
    aliases=("EfficientFormer",),
    notes=(
        "Layer scales g1 = g2 = 1e-5 at the start. Before a block that strides: a 3x3 convolution "
        "and BN; before one that only changes channels: a 1x1 convolution and BN."
    ),
    knob="mlp_ratio",
)
def efficientformer_mb4d(
    in_channels: int, out_channels: int, stride: int, position: Position, *, mlp_ratio: float = 4
) -> nn.Module:
    """Return EfficientFormer's MB4D (Li et al., arXiv 2206.01191); the position changes nothing."""
    block = MetaBlock2d(out_channels, pool_size=3, mlp_ratio=leaving_one(mlp_ratio, out_channels))
    return after_shape_change(
        block, in_channels, out_channels, stride, _efficientformer_downsampling
    )


def _efficientformer_downsampling(in_channels: int, out_channels: int) -> nn.Module:
    downsampling: nn.Module = Downsample(in_channels, out_channels)
    return downsampling
