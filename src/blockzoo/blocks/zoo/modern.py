"""Convolutional blocks of networks that mix convolution and attention: normalisation first."""

from __future__ import annotations

import math

from timm.models.maxxvit import MaxxVitConvCfg, MbConvBlock
from timm.models.nextvit import NextConvBlock
from timm.models.vitamin import MbConvLNBlock
from torch import nn
from torchvision.models.maxvit import MBConv

from blockzoo.blocks.registry import register_block
from blockzoo.blocks.zoo.inverted import set_google_norms
from blockzoo.blocks.zoo.layers import after_downsampling, projection
from blockzoo.blocks.zoo.widths import leaving_one
from blockzoo.core.position import Position

_GOOGLE_BN = "BN with the eps 1e-3 and momentum 0.01 of MaxViT's code."


@register_block(
    "MBConvLNBlock",
    family="modern",
    year=2024,
    paper="2404.02132",
    source="timm.models.vitamin.MbConvLNBlock",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = conv1x1(gelu(dw3x3_s(gelu(conv1x1_4o(ln(x)))))) + shortcut(x)",
    notes="ViTamin's; the strided shortcut is a 3x3 average pool and a 1x1 convolution.",
    knob="expansion",
)
def mbconv_ln_block(
    in_channels: int, out_channels: int, stride: int, position: Position, *, expansion: float = 4
) -> nn.Module:
    """Return ViTamin's MBConv-LN block (Chen et al., arXiv 2404.02132)."""
    block: nn.Module = MbConvLNBlock(
        in_channels, out_channels, stride=stride, expand_ratio=expansion
    )
    return block


@register_block(
    "MBConvCoAtNet",
    family="modern",
    year=2021,
    paper="2106.04803",
    source="timm.models.maxxvit.MbConvBlock",
    licence="Apache-2.0",
    evidence="counts",
    formula="y = conv1x1(se(gelu(bn(dw3x3_s(gelu(bn(conv1x1_4o(bn(x))))))))) + shortcut(x)",
    aliases=("CoAtNet",),
    notes=(
        "Squeeze-excite to a quarter of the output channels, SiLU inside. The strided shortcut is "
        "a 2x2 average pool and a 1x1 convolution. Before a block that only changes channels: a "
        f"1x1 convolution and BN. {_GOOGLE_BN} "
        "Layer by layer as MBConvBlock of google-research/maxvit, which builds on CoAtNet."
    ),
    knob="expansion",
)
def mbconv_coatnet(
    in_channels: int, out_channels: int, stride: int, position: Position, *, expansion: float = 4
) -> nn.Module:
    """Return CoAtNet's MBConv (Dai et al., arXiv 2106.04803); the position changes nothing."""
    widths = MaxxVitConvCfg(expand_ratio=expansion)
    if stride == 1:
        block = MbConvBlock(out_channels, out_channels, cfg=widths)
        # timm's shortcut of stride 1 is x itself, so the channels must change before the block.
        return set_google_norms(after_downsampling(projection(in_channels, out_channels), block))
    strided: nn.Module = MbConvBlock(in_channels, out_channels, stride, cfg=widths)
    # timm's own pool drops the last row of odd sizes, which the convolution beside it keeps.
    strided.get_submodule("shortcut").pool = nn.AvgPool2d(
        2, 2, ceil_mode=True, count_include_pad=False
    )
    return set_google_norms(strided)


@register_block(
    "MBConvMaxViT",
    family="modern",
    year=2022,
    paper="2204.01697",
    source="torchvision.models.maxvit.MBConv",
    licence="BSD-3-Clause",
    evidence="counts",
    formula="y = conv1x1(se(gelu(bn(dw3x3_s(gelu(bn(conv1x1_4o(bn(x))))))))) + shortcut(x)",
    aliases=("MaxViTMBConv",),
    notes=(
        "As CoAtNet's; where the shape changes the shortcut is a 1x1 convolution, after a 3x3 "
        f"average pool where it strides. {_GOOGLE_BN} "
        "Compared with MBConvBlock of google-research/maxvit: equal but for that pool, 2x2 there."
    ),
    knob="expansion",
)
def mbconv_maxvit(
    in_channels: int, out_channels: int, stride: int, position: Position, *, expansion: float = 4
) -> nn.Module:
    """Return MaxViT's MBConv (Tu et al., arXiv 2204.01697).

    Raises `ValueError` for fewer than 4 output channels, a quarter of which squeeze-excite needs.
    """
    if out_channels < 4:
        raise ValueError("the output channels must be 4 or more")
    block: nn.Module = MBConv(
        in_channels,
        out_channels,
        expansion_ratio=leaving_one(expansion, out_channels),
        squeeze_ratio=0.25,
        stride=stride,
        activation_layer=nn.GELU,
        norm_layer=nn.BatchNorm2d,
    )
    return set_google_norms(block)


@register_block(
    "NextViTNCB",
    family="modern",
    year=2022,
    paper="2207.05501",
    source="timm.models.nextvit.NextConvBlock",
    licence="Apache-2.0",
    evidence="official code",
    formula="z = u + conv1x1(relu(bn(gconv3x3(u)))), y = z + conv1x1(relu(conv1x1_3c(bn(z))))",
    reparameterisable=True,
    aliases=("NextViT", "NextConvBlock"),
    notes=(
        "Groups (heads) of 32 channels, or of the largest power of two below that divides them. u "
        "= x, or where the shape changes bn(conv1x1(x)), after a 2x2 average pool where it "
        "strides. The last BN is merged in deploy form."
    ),
    knob="mlp_ratio",
)
def nextvit_ncb(
    in_channels: int, out_channels: int, stride: int, position: Position, *, mlp_ratio: float = 3
) -> nn.Module:
    """Return Next-ViT's next convolution block (Li et al., arXiv 2207.05501)."""
    block: nn.Module = NextConvBlock(
        in_channels,
        out_channels,
        stride,
        head_dim=math.gcd(32, out_channels),
        mlp_ratio=leaving_one(mlp_ratio, out_channels),
    )
    return block
