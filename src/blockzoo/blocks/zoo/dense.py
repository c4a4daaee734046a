"""Blocks that concatenate the outputs of their layers: DenseNet and what followed it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from timm.layers.norm_act import BatchNormAct2d
from timm.models.cspnet import CrossStage, DarkBlock
from timm.models.cspnext import CspNextLayer
from timm.models.densenet import DenseBlock, DenseLayer, DenseTransition
from timm.models.hgnet import HighPerfGpuBlock
from timm.models.vovnet import OsaBlock
from torch import nn

from blockzoo.blocks.registry import register_block
from blockzoo.blocks.zoo.layers import (
    after_downsampling,
    conv_bn,
    overlapping_max_pool,
    set_norm_constants,
)
from blockzoo.blocks.zoo.widths import inner_width
from blockzoo.core.position import Position

# DenseNet-121's.
_DENSE_GROWTH = 32
# Channels inside over output channels; VoVNetV2-19-slim rounded to the scaffold's widths.
_OSA_INSIDE = {Position.EARLY: (1, 2), Position.MID: (1, 2), Position.LATE: (5, 16)}


class _HGStage(NamedTuple):
    divisor: int
    kernel_size: int
    light: bool


# After PP-HGNetV2-B0's stages of like width and resolution.
_HG_STAGE = {
    Position.EARLY: _HGStage(4, 3, False),
    Position.MID: _HGStage(8, 3, False),
    Position.LATE: _HGStage(8, 5, True),
}


@register_block(
    "DenseNetBC",
    family="dense",
    year=2016,
    paper="1608.06993",
    source="timm.models.densenet.DenseBlock and DenseTransition",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = pool_s(conv1x1(relu(bn(v)))), v = [x, L(x), L([x, L(x)]), ..] of 2o channels",
    aliases=("DenseNet", "DenseBlock"),
    notes=(
        "A whole dense block that grows to twice the output channels, and its transition, which "
        "halves them. L = conv3x3 relu bn conv1x1 relu bn with growth 32, or half the output "
        "channels where those are fewer than 64, or the next number below that divides what is "
        "missing. The transition pools only where the stride is 2."
    ),
    knob="growth",
)
def densenet_bc(
    in_channels: int,
    out_channels: int,
    stride: int,
    position: Position,
    *,
    growth: float | None = None,
) -> nn.Module:
    """Return DenseNet-BC's dense block and transition (Huang et al., arXiv 1608.06993).

    Raises `ValueError` where twice the output channels cannot be reached in steps of the growth.
    """
    if out_channels < 2:
        raise ValueError("the output channels must be 2 or more")
    published = _growth(in_channels, out_channels)
    # Exact: the growth is chosen so that it divides what is missing.
    layers = (2 * out_channels - in_channels) // published
    # With another growth the number of layers stays, and the block grows to another width.
    dense, width = _dense_block(in_channels, layers, growth or published)
    transition = DenseTransition(width, out_channels)
    # timm's transition always pools, and drops the last row of an odd size.
    transition.pool = (
        nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False)
        if stride == 2
        else nn.Identity()
    )
    return nn.Sequential(dense, transition)


@register_block(
    "OSAeSE",
    family="dense",
    year=2019,
    paper="1911.06667",
    source="timm.models.vovnet.OsaBlock",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = u * hardsigmoid(fc(mean(u))) [+ x], u = P([x, C(x), C(C(x)), C(C(C(x)))])",
    aliases=("VoVNet", "OSABlock"),
    notes=(
        "VoVNetV2-19-slim (one-shot aggregation is of arXiv 1904.09730): C = relu bn conv3x3 to "
        "1/2, 1/2, 5/16 of the output channels, P = relu bn conv1x1. x is added where the "
        "channels stay. Effective squeeze-excite in every block, in the paper in the last of a "
        "stage. Before a block that strides: a 3x3 max pool."
    ),
    knob="width_ratio",
)
def osa_ese(
    in_channels: int,
    out_channels: int,
    stride: int,
    position: Position,
    *,
    width_ratio: float | None = None,
) -> nn.Module:
    """Return VoVNetV2's one-shot aggregation block with effective squeeze-excite."""
    numerator, denominator = _OSA_INSIDE[position]
    inside = out_channels * numerator // denominator
    if width_ratio is not None:
        inside = inner_width(out_channels, width_ratio)
    block = OsaBlock(
        in_channels,
        # At least one channel, where the output has fewer than the fraction needs.
        max(1, inside),
        out_channels,
        layer_per_block=3,
        # The block strides nowhere, so x fits whenever the channels stay.
        residual=in_channels == out_channels,
        attn="ese",
    )
    return after_downsampling(overlapping_max_pool() if stride == 2 else None, block)


@register_block(
    "CSPDark",
    family="dense",
    year=2019,
    paper="1911.11929",
    source="timm.models.cspnet.CrossStage and DarkBlock",
    licence="Apache-2.0",
    evidence="counts",
    formula="y = P([u1, P(v + C(P(v)))]), [u1, v] = P(C_s(x)), C = lrelu bn conv3x3",
    aliases=("CSPDarkNet", "CSPBlock"),
    notes=(
        "CSPDarkNet53's stage with one dark block: half of the channels pass by it. P = leaky "
        "relu, BN, conv1x1. The strided 3x3 convolution C_s stands only where the stride is 2. "
        "Compared with csdarknet53.cfg of CrossStagePartialNetworks: equal, layer by layer."
    ),
    knob="width_ratio",
)
def csp_dark(
    in_channels: int,
    out_channels: int,
    stride: int,
    position: Position,
    *,
    width_ratio: float = 0.5,
) -> nn.Module:
    """Return CSPDarkNet's cross-stage block (Wang et al., arXiv 1911.11929).

    Raises `ValueError` for an odd number of output channels, which it splits in halves.
    """
    _refuse_odd(out_channels)
    width = inner_width(out_channels, width_ratio)
    block: nn.Module = CrossStage(
        in_channels,
        out_channels,
        stride,
        dilation=1,
        depth=1,
        # As in all stages of CSPDarkNet53 but the first, which widens and narrows instead.
        block_ratio=width / out_channels,
        bottle_ratio=1.0,
        expand_ratio=2 * width / out_channels,
        down_growth=True,
        block_fn=DarkBlock,
        act_layer=nn.LeakyReLU,
        norm_layer=nn.BatchNorm2d,
    )
    return block


@register_block(
    "CSPNeXt",
    family="dense",
    year=2022,
    paper="2212.07784",
    source="timm.models.cspnext.CspNextLayer",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = P(ese([v + P(D(C(v))), P(x)])), v = P(x), C = silu bn conv3x3, D = silu bn dw5x5",
    aliases=("CSPNeXtLayer",),
    notes=(
        "RTMDet's layer with one block, P = silu bn conv1x1, halves inside. Before a layer that "
        "strides: a strided 3x3 convolution, BN and SiLU. BN with the authors' eps 1e-3 and "
        "momentum 0.03."
    ),
    knob="width_ratio",
)
def cspnext(
    in_channels: int,
    out_channels: int,
    stride: int,
    position: Position,
    *,
    width_ratio: float = 0.5,
) -> nn.Module:
    """Return RTMDet's CSPNeXt layer (Lyu et al., arXiv 2212.07784).

    Raises `ValueError` for an odd number of output channels, which it splits in halves.
    """
    _refuse_odd(out_channels)
    layer: Callable[[int], nn.Module] = partial(
        CspNextLayer,
        out_channels=out_channels,
        # timm rounds down; half a channel more keeps the error of the product away.
        expand_ratio=(inner_width(out_channels, width_ratio) + 0.5) / out_channels,
        channel_attention=True,
    )
    if stride == 1:
        return _with_rtmdet_norms(layer(in_channels))
    conv = conv_bn(in_channels, out_channels, 3, stride=stride, activation=nn.SiLU(inplace=True))
    return _with_rtmdet_norms(nn.Sequential(conv, layer(out_channels)))


def _with_rtmdet_norms(block: nn.Module) -> nn.Module:
    return set_norm_constants(block, eps=1e-3, momentum=0.03)


@register_block(
    "HGNetV2Block",
    family="dense",
    year=2023,
    paper="2304.08069",
    source="timm.models.hgnet.HighPerfGpuBlock",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = P_o(P_o/2([x, C(x), C(C(x)), C(C(C(x)))])) [+ x], C and P: a relu(bn(conv)) + b",
    aliases=("PPHGNetV2Block", "HGBlock"),
    notes=(
        "PP-HGNetV2-B0, published with PaddleClas and used in RT-DETR (the paper named here): "
        "channels inside out/4, out/8, out/8; C = conv3x3 early and mid, conv1x1 then dw5x5 late. "
        "x is added where the channels stay. Before a block that strides: a strided depthwise 3x3 "
        "convolution and BN."
    ),
    knob="width_ratio",
)
def hgnetv2_block(
    in_channels: int,
    out_channels: int,
    stride: int,
    position: Position,
    *,
    width_ratio: float | None = None,
) -> nn.Module:
    """Return PP-HGNetV2's block; `ValueError` for a single output channel, which it halves."""
    if out_channels < 2:
        raise ValueError("the output channels must be 2 or more")
    stage = _HG_STAGE[position]
    inside = out_channels // stage.divisor
    if width_ratio is not None:
        inside = inner_width(out_channels, width_ratio)
    block = HighPerfGpuBlock(
        in_channels,
        max(1, inside),
        out_channels,
        layer_num=3,
        kernel_size=stage.kernel_size,
        residual=in_channels == out_channels,
        light_block=stage.light,
        use_lab=True,
        # No attention, for all of timm's name: 1x1 convolutions, to half the channels and to all.
        agg="se",
    )
    downsampling = conv_bn(in_channels, in_channels, 3, stride=2, groups=in_channels)
    return after_downsampling(downsampling if stride == 2 else None, block)


def _dense_block(in_channels: int, layers: int, growth: float) -> tuple[DenseBlock, int]:
    """Return a dense block and its width; of a growth between two numbers layers have either."""
    dense = DenseBlock(0, in_channels, bn_size=4, growth_rate=0)
    width = in_channels
    for number in range(1, layers + 1):
        grown = max(width + 1, in_channels + round(number * growth))
        layer = DenseLayer(width, grown - width, bn_size=4, norm_layer=BatchNormAct2d)
        dense.add_module(f"denselayer{number}", layer)
        width = grown
    return dense, width


def _refuse_odd(out_channels: int) -> None:
    if out_channels % 2:
        raise ValueError("the output channels must be even")


def _growth(in_channels: int, out_channels: int) -> int:
    """Return the largest growth, not below half of the wished one, that ends at 2 out_channels."""
    wished = min(_DENSE_GROWTH, out_channels // 2)
    missing = 2 * out_channels - in_channels
    for growth in range(wished, (wished - 1) // 2, -1):
        if missing > 0 and missing % growth == 0:
            return growth
    raise ValueError(
        f"twice the output channels must exceed the input channels by a multiple of a growth "
        f"from {(wished + 1) // 2} to {wished}"
    )
