"""Blocks that see several kernel sizes at once: Inception and what came of it."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from timm.models._efficientnet_blocks import InvertedResidual, SqueezeExcite
from timm.models.inception_next import MetaNeXtBlock
from timm.models.res2net import Bottle2neck
from torch import nn
from torchvision.models.googlenet import Inception

from blockzoo.blocks.registry import register_block
from blockzoo.blocks.zoo.layers import (
    Concat,
    after_shape_change,
    conv_bn,
    overlapping_max_pool,
    patch_conv,
    projection,
    set_norm_constants,
)
from blockzoo.blocks.zoo.widths import inner_width, leaving_one, squeezed_channels
from blockzoo.core.position import Position

_EXPANSION = 6
# (activation, squeeze-excite ratio of the input), after MixNet-M's stages of like width.
_MIXNET_STAGE: dict[Position, tuple[type[nn.Module], float]] = {
    Position.EARLY: (nn.ReLU, 0.0),
    Position.MID: (nn.SiLU, 0.5),
    Position.LATE: (nn.SiLU, 0.25),
}
# (depthwise kernels, groups of the 1x1 convolutions) of the blocks there, by whether they stride.
_MIXNET_KERNELS: dict[tuple[Position, bool], tuple[list[int], int]] = {
    (Position.EARLY, False): ([3, 5, 7], 2),
    (Position.EARLY, True): ([3, 5, 7], 2),
    (Position.MID, False): ([3, 5], 2),
    (Position.MID, True): ([3, 5, 7, 9], 1),
    (Position.LATE, False): ([3, 5, 7, 9], 2),
    (Position.LATE, True): ([3, 5, 7], 1),
}


@register_block(
    "Res2NetBottleneck",
    family="multi-scale",
    year=2019,
    paper="1904.01169",
    source="timm.models.res2net.Bottle2neck",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = relu(P([k1, k2(x2 + k1), k3(x3 + k2), x4]) + shortcut(x)), [x1..x4] = relu(P(x))",
    aliases=("Res2Net",),
    notes=(
        "Four scales of base width 26, at least one channel each. Where the shape changes the "
        "scales do not feed each other and the last is pooled, as in the paper's code; shortcut "
        "option B."
    ),
    knob="base_width",
)
def res2net_bottleneck(
    in_channels: int, out_channels: int, stride: int, position: Position, *, base_width: float = 26
) -> nn.Module:
    """Return Res2Net's bottleneck (Gao et al., arXiv 1904.01169).

    Raises `ValueError` when out_channels is no multiple of 4.
    """
    _check_multiple(out_channels, 4)
    planes = out_channels // 4
    # timm takes the floor of planes x base_width / 64, which below 3 planes would be 0.
    scale_base_width: Any = max(base_width, math.ceil(64 / planes))
    block: nn.Module = Bottle2neck(
        in_channels,
        planes,
        stride,
        downsample=projection(in_channels, out_channels, stride),
        base_width=scale_base_width,
        scale=4,
        norm_layer=nn.BatchNorm2d,
    )
    return block


@register_block(
    "InceptionA",
    family="multi-scale",
    year=2015,
    paper="1512.00567",
    source="written from the paper",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = [C1(x), C5(C1(x)), C3(C3(C1(x))), C1(avgpool3x3(x))], Ck = relu bn convkxk",
    aliases=("InceptionV3",),
    notes=(
        "Inception-v3's first block (Mixed 5b) with widths x out/256. Where it strides: the "
        "paper's grid reduction (Mixed 6a) in its place, padded to halve any size; a fifth of the "
        "added channels comes from its deep branch, and where there is no room for the pooled "
        "input a 1x1 convolution narrows it to 3/8 of the output. BN with the authors' eps 1e-3."
    ),
    knob="width_ratio",
)
def inception_a(
    in_channels: int, out_channels: int, stride: int, position: Position, *, width_ratio: float = 1
) -> nn.Module:
    """Return Inception-v3's block of 35x35 grids (Szegedy et al., arXiv 1512.00567).

    Raises `ValueError` when out_channels is no multiple of 8.
    """
    _check_multiple(out_channels, 8)
    make = _grid_reduction if stride == 2 else _mixed_5b
    return set_norm_constants(make(in_channels, out_channels, width_ratio), eps=1e-3)


def _mixed_5b(in_channels: int, out_channels: int, width_ratio: float) -> nn.Module:
    # Mixed 5b: 64, 48 to 64, 64 to 96 to 96, and 32 pooled; 256 in all.
    single, reduced, double = (out_channels * width // 256 for width in (64, 48, 96))
    # The widths inside the branches; those at their ends make up the output.
    reduced, first, second = (inner_width(w, width_ratio) for w in (reduced, single, double))
    return Concat(
        [
            _conv(in_channels, single),
            nn.Sequential(_conv(in_channels, reduced), _conv(reduced, single, 5)),
            nn.Sequential(
                _conv(in_channels, first), _conv(first, second, 3), _conv(second, double, 3)
            ),
            nn.Sequential(
                # Zeros beyond the border would pull the means there down.
                nn.AvgPool2d(3, 1, padding=1, count_include_pad=False),
                _conv(in_channels, out_channels // 8),
            ),
        ]
    )


@register_block(
    "InceptionGoogLeNet",
    family="multi-scale",
    year=2014,
    paper="1409.4842",
    source="torchvision.models.googlenet.Inception",
    licence="BSD-3-Clause",
    evidence="counts",
    formula="y = [C1(x), C3(C1(x)), C3(C1(x)), C1(maxpool3x3(x))], Ck = relu bn convkxk",
    aliases=("GoogLeNet", "InceptionV1"),
    notes=(
        "The widths of block 3a as shares of the output: 1/4, 3/8 to 1/2, 1/16 to 1/8, 1/8. As in "
        "torchvision there is BN, and the paper's 5x5 convolution is a 3x3. Where it strides: "
        "GoogLeNet's 3x3 max pool before it. "
        "With 5x5 kernels block 3a has the 159K parameters of the paper's table."
    ),
    knob="width_ratio",
)
def inception_googlenet(
    in_channels: int, out_channels: int, stride: int, position: Position, *, width_ratio: float = 1
) -> nn.Module:
    """Return GoogLeNet's inception module (Szegedy et al., arXiv 1409.4842).

    Raises `ValueError` when out_channels is no multiple of 8.
    """
    _check_multiple(out_channels, 8)
    eighth = out_channels // 8
    # Block 3a: 64, 96 to 128, 16 to 32, and 32 pooled; 256 in all.
    reduced = inner_width(3 * eighth, width_ratio)
    narrow = inner_width(max(1, eighth // 2), width_ratio)
    widths = (2 * eighth, reduced, 4 * eighth, narrow, eighth, eighth)
    block: nn.Module = Inception(in_channels, *widths)
    return nn.Sequential(overlapping_max_pool(), block) if stride == 2 else block


@register_block(
    "MixConvMixNet",
    family="multi-scale",
    year=2019,
    paper="1907.09595",
    source="timm.models._efficientnet_blocks.InvertedResidual",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = x + P(se(act(bn([dwk_s(u_k) for k])))), [u_k] = act(P_6c(x)), P = bn [conv1x1 ..]",
    aliases=("MixConv", "MixNet"),
    notes=(
        "MixNet-M: expansion 6; x is added where the shape stays. Kernels 3, 5, 7 and ReLU early; "
        "SiLU, and kernels 3, 5 mid, 3, 5, 7, 9 late; where it strides 3, 5, 7, 9 mid, 3, 5, 7 "
        "late. The 1x1 convolutions are mixed too, one for each half of the channels, but where "
        "it strides mid and late. Squeeze-excite of 0.5 mid and 0.25 late of the input channels. "
        "BN with the authors' eps 1e-3 and momentum 0.01."
    ),
    knob="expansion",
)
def mixconv_mixnet(
    in_channels: int, out_channels: int, stride: int, position: Position, *, expansion: float = 6
) -> nn.Module:
    """Return MixNet's block of mixed depthwise kernels (Tan and Le, arXiv 1907.09595).

    Raises `ValueError` for a single channel, which has no halves.
    """
    if in_channels < 2 or out_channels < 2:
        raise ValueError("the input and output channels must be 2 or more")
    activation, se_ratio = _MIXNET_STAGE[position]
    kernels, pointwise_groups = _MIXNET_KERNELS[position, stride == 2]
    # Of the input channels, whatever the expansion.
    squeezed = squeezed_channels(in_channels, se_ratio, _EXPANSION)
    squeeze_excite: Any = partial(SqueezeExcite, rd_channels=squeezed)
    # timm makes one convolution for each kernel of a list, on its share of the channels.
    dw_kernel_size: Any = kernels
    pointwise: Any = [1] * pointwise_groups if pointwise_groups > 1 else 1
    block: nn.Module = InvertedResidual(
        in_channels,
        out_channels,
        dw_kernel_size,
        stride,
        exp_ratio=expansion,
        exp_kernel_size=pointwise,
        pw_kernel_size=pointwise,
        act_layer=activation,
        se_layer=squeeze_excite if se_ratio else None,
    )
    return set_norm_constants(block, eps=1e-3, momentum=0.01)


@register_block(
    "InceptionNeXtBlock",
    family="multi-scale",
    year=2023,
    paper="2303.16900",
    source="timm.models.inception_next.MetaNeXtBlock",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = x + g * conv1x1(gelu(conv1x1_4c(bn([x1, dw3x3(x2), dw1x11(x3), dw11x1(x4)]))))",
    aliases=("InceptionNeXt",),
    notes=(
        "An eighth of the channels in each depthwise branch, MLP ratio 4, layer scale g = 1e-6 at "
        "the start. Before a block that strides: BN and a 2x2 convolution."
    ),
    knob="mlp_ratio",
)
def inception_next_block(
    in_channels: int, out_channels: int, stride: int, position: Position, *, mlp_ratio: float = 4
) -> nn.Module:
    """Return InceptionNeXt's block (Yu et al., arXiv 2303.16900).

    Raises `ValueError` for fewer than 8 output channels, which leave its branches empty.
    """
    if out_channels < 8:
        raise ValueError("the output channels must be 8 or more")
    block = MetaNeXtBlock(
        out_channels, mlp_ratio=leaving_one(mlp_ratio, out_channels), ls_init_value=1e-6
    )
    return after_shape_change(block, in_channels, out_channels, stride, _bn_patch_conv)


def _grid_reduction(in_channels: int, out_channels: int, width_ratio: float) -> nn.Module:
    # The pooled input is a branch of its own, so the others share what it leaves of the output.
    room = out_channels - in_channels
    pool: nn.Module = nn.MaxPool2d(3, 2, padding=1)
    if room < 5:  # too little for them, so the pooled input is narrowed
        # The pooled input's share in Mixed 6a: 288 of 768 channels.
        kept = 3 * out_channels // 8
        room = out_channels - kept
        pool = nn.Sequential(pool, _conv(in_channels, kept))
    # Mixed 6a adds 384 channels by one 3x3 and 96 by two, the latter narrowed to 64 inside.
    single = 4 * (room // 5)
    double = room - single
    reduced = inner_width(max(1, 2 * double // 3), width_ratio)
    inside = inner_width(double, width_ratio)
    return Concat(
        [
            _conv(in_channels, single, 3, stride=2),
            nn.Sequential(
                _conv(in_channels, reduced),
                _conv(reduced, inside, 3),
                _conv(inside, double, 3, stride=2),
            ),
            pool,
        ]
    )


def _conv(
    in_channels: int, out_channels: int, kernel_size: int = 1, *, stride: int = 1
) -> nn.Module:
    return conv_bn(in_channels, out_channels, kernel_size, stride=stride, activation=nn.ReLU())


def _bn_patch_conv(in_channels: int, out_channels: int) -> nn.Module:
    return nn.Sequential(nn.BatchNorm2d(in_channels), *patch_conv(in_channels, out_channels))


def _check_multiple(out_channels: int, factor: int) -> None:
    if out_channels % factor:
        raise ValueError(f"the output channels must be a multiple of {factor}")
