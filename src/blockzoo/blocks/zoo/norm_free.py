"""Blocks without normalisation layers: NFNet (Brock et al., arXiv 2102.06171)."""

from __future__ import annotations

from functools import partial

from timm.layers.squeeze_excite import SEModule
from timm.models.nfnet import NormFreeBlock, act_with_gamma
from torch import nn

from blockzoo.blocks.registry import register_block
from blockzoo.core.position import Position

# What makes GELU keep the variance of a normal input.
_GELU_GAIN = 1.7015043497085571


@register_block(
    "NFNetBlock",
    family="norm-free",
    year=2021,
    paper="2102.06171",
    source="timm.models.nfnet.NormFreeBlock",
    licence="Apache-2.0",
    evidence="counts",
    formula="y = shortcut + 0.2 g 2se(W1(a(W3(a(W3_s(a(W1(a(x))))))))), a = 1.7 gelu, W = ws conv",
    aliases=("NFNet",),
    notes=(
        "Scaled weight standardisation instead of normalisation; half the output channels inside, "
        "no groups, squeeze-excite 0.5, skip gain g = 0 at the start, so a block that keeps its "
        "shape begins as the identity. Where the shape changes the shortcut is a 1x1 convolution "
        "of a(x), after a 2x2 average pool where it strides. The paper's beta, which divides by "
        "the expected deviation and depends on the block's index, is 1 here. "
        "Compared with NFBlock of deepmind-research: equal at 256 channels; its groups are 128 "
        "wide, so below there would be none."
    ),
    knob="width_ratio",
)
def nfnet_block(
    in_channels: int,
    out_channels: int,
    stride: int,
    position: Position,
    *,
    width_ratio: float = 0.5,
) -> nn.Module:
    """Return NFNet's block.

    Raises `ValueError` for an odd number of output channels, or 2 of them: weights with a single
    input cannot be standardised.
    """
    if out_channels % 2 or out_channels < 4:
        raise ValueError("the output channels must be even, and 4 or more")
    block: nn.Module = NormFreeBlock(
        in_channels,
        out_channels,
        stride,
        alpha=0.2,
        beta=1.0,
        # At least two channels: the weights of one input cannot be standardised.
        bottle_ratio=max(width_ratio, 2 / out_channels),
        # NFNet's second 3x3, which ResNet's bottleneck lacks.
        extra_conv=True,
        skipinit=True,
        # Else, as in RegNet, the width inside would be of the input and squeeze-excite inside too.
        reg=False,
        attn_layer=partial(SEModule, rd_ratio=0.5),
        act_layer=act_with_gamma("gelu", gamma=_GELU_GAIN),
    )
    return block
