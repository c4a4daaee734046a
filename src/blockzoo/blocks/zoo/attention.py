"""Blocks that weigh channels, positions or branches by attention."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from timm.layers.cbam import CbamModule
from timm.layers.coord_attn import CoordAttn
from timm.layers.eca import EcaModule
from timm.layers.grn import GlobalResponseNorm
from timm.layers.squeeze_excite import SEModule
from timm.models._efficientnet_blocks import InvertedResidual
from timm.models.csatv2 import Block as CSATv2Block
from timm.models.regnet import Bottleneck as RegNetBottleneck
from timm.models.resnest import ResNestBottleneck
from timm.models.resnet import BasicBlock, downsample_avg
from timm.models.sknet import SelectiveKernelBottleneck
from torch import nn

from blockzoo.blocks.registry import register_block
from blockzoo.blocks.zoo.layers import (
    after_shape_change,
    convnext_downsampling,
    projection,
    set_norm_constants,
)
from blockzoo.blocks.zoo.residual import base_width, set_basic_width
from blockzoo.blocks.zoo.widths import inner_width
from blockzoo.core.position import Position

_RELU_RESIDUAL = "y = relu({attention}(bn(conv3x3(relu(bn(conv3x3_s(x)))))) + shortcut(x))"
_POOLED_BN = "It normalises pooled features by batch, so training needs batches of two or more."
# RegNetY-800MF's; a RegNet has one group width in all its stages.
_REGNET_GROUP_WIDTH = 16
_SK_GROUP_WIDTH = 4
_SK_LEAST_WIDTH = 32

# Divisor 1: timm would round the width to a multiple of 8, which the paper does not.
_se_module: Any = partial(SEModule, rd_ratio=1 / 16, rd_divisor=1)


@register_block(
    "SEBasicBlock",
    family="attention",
    year=2017,
    paper="1709.01507",
    source="timm.models.resnet.BasicBlock with timm.layers.SEModule",
    licence="Apache-2.0",
    evidence="official code",
    formula=_RELU_RESIDUAL.format(attention="se"),
    aliases=("SEBlock", "SqueezeExcitation"),
    notes="Squeeze-and-excitation with reduction 16, at least one channel; shortcut option B.",
    knob="width_ratio",
)
def se_basic_block(
    in_channels: int, out_channels: int, stride: int, position: Position, *, width_ratio: float = 1
) -> nn.Module:
    """Return ResNet's basic block with squeeze-and-excitation (Hu et al., arXiv 1709.01507)."""
    return _basic_block(in_channels, out_channels, stride, _se_module, width_ratio)


@register_block(
    "CBAMBasicBlock",
    family="attention",
    year=2018,
    paper="1807.06521",
    source="timm.models.resnet.BasicBlock with timm.layers.CbamModule",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = relu(spatial(channel(bn(conv3x3(relu(bn(conv3x3_s(x))))))) + shortcut(x))",
    aliases=("CBAM",),
    notes=(
        "Channel attention with reduction 16, its MLP with biases, then a 7x7 spatial attention "
        "whose BN has momentum 0.01, as in the authors' code; shortcut option B."
    ),
    knob="width_ratio",
)
def cbam_basic_block(
    in_channels: int, out_channels: int, stride: int, position: Position, *, width_ratio: float = 1
) -> nn.Module:
    """Return ResNet's basic block with CBAM (Woo et al., arXiv 1807.06521)."""
    attention = partial(CbamModule, mlp_bias=True)
    block = _basic_block(in_channels, out_channels, stride, attention, width_ratio)
    set_norm_constants(block.get_submodule("se.spatial"), eps=1e-5, momentum=0.01)
    return block


@register_block(
    "ECABasicBlock",
    family="attention",
    year=2019,
    paper="1910.03151",
    source="timm.models.resnet.BasicBlock with timm.layers.EcaModule",
    licence="Apache-2.0",
    evidence="official code",
    formula=_RELU_RESIDUAL.format(attention="eca"),
    aliases=("ECABlock", "ECANet"),
    notes="The kernel over channels grows with their number: 3 at 64, 5 at 128; option B.",
    knob="width_ratio",
)
def eca_basic_block(
    in_channels: int, out_channels: int, stride: int, position: Position, *, width_ratio: float = 1
) -> nn.Module:
    """Return ResNet's basic block with efficient channel attention (Wang et al., 1910.03151)."""
    return _basic_block(in_channels, out_channels, stride, EcaModule, width_ratio)


@register_block(
    "SKBottleneck",
    family="attention",
    year=2019,
    paper="1903.06586",
    source="timm.models.sknet.SelectiveKernelBottleneck",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = relu(P(sum_k a_k(u) * relu(bn(gconv_k_s(u)))) + shortcut(x)), u = relu(P(x))",
    aliases=("SKNet", "SelectiveKernel"),
    notes=(
        "SKNet's selective kernels 3x3 and dilated 3x3, half the output channels inside in groups "
        f"of four, attention width 32; shortcut option B. {_POOLED_BN}"
    ),
    knob="width_ratio",
)
def sk_bottleneck(
    in_channels: int,
    out_channels: int,
    stride: int,
    position: Position,
    *,
    width_ratio: float = 0.5,
) -> nn.Module:
    """Return SKNet's bottleneck (Li et al., arXiv 1903.06586).

    Raises `ValueError` when out_channels is no multiple of 8.
    """
    _check_multiple(out_channels, 8)
    planes = out_channels // 4
    # timm takes the floor of planes * base_width / 64; half a channel more keeps rounding away.
    width = inner_width(out_channels, width_ratio, _SK_GROUP_WIDTH)
    group_base_width: Any = 64 * (_SK_GROUP_WIDTH + 0.5) / planes
    block: nn.Module = SelectiveKernelBottleneck(
        in_channels,
        planes,
        stride,
        downsample=projection(in_channels, out_channels, stride),
        cardinality=width // _SK_GROUP_WIDTH,
        base_width=group_base_width,
        # The divisor is the paper's least attention width L. Without `split_input=False` each
        # kernel would see only its share of the channels; in the paper each sees all.
        sk_kwargs={
            "rd_ratio": 1 / 16,
            "rd_divisor": _SK_LEAST_WIDTH,
            # In steps of the divisor another width inside would miss a budget by up to 7%.
            "rd_channels": None if width == 2 * planes else max(_SK_LEAST_WIDTH, width // 16),
            "split_input": False,
        },
    )
    return block


@register_block(
    "ResNeStBottleneck",
    family="attention",
    year=2020,
    paper="2004.08955",
    source="timm.models.resnest.ResNestBottleneck",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = relu(P(avgpool_s(splat(relu(P(x))))) + P(avgpool_s(x))), P = bn conv1x1",
    aliases=("ResNeSt", "SplitAttention"),
    notes=(
        "Radix 2, cardinality 1; strides by a 3x3 average pool after the split attention. The "
        f"shortcut is x itself where the shape stays. {_POOLED_BN}"
    ),
    knob="width_ratio",
)
def resnest_bottleneck(
    in_channels: int,
    out_channels: int,
    stride: int,
    position: Position,
    *,
    width_ratio: float = 0.25,
) -> nn.Module:
    """Return ResNeSt's bottleneck (Zhang et al., arXiv 2004.08955).

    Raises `ValueError` when out_channels is no multiple of 8.
    """
    _check_multiple(out_channels, 8)
    keeps_shape = stride == 1 and in_channels == out_channels
    block: nn.Module = ResNestBottleneck(
        in_channels,
        out_channels // 4,
        stride,
        # Averaged before its 1x1 convolution, which by striding itself would skip pixels.
        downsample=None if keeps_shape else downsample_avg(in_channels, out_channels, 1, stride),
        radix=2,
        cardinality=1,
        base_width=base_width(out_channels, width_ratio, multiple=2),  # one half for each radix
        # ResNeSt's average-pooled downsampling: otherwise the split attention would stride.
        avd=True,
    )
    return block


@register_block(
    "RegNetYBlock",
    family="attention",
    year=2020,
    paper="2003.13678",
    source="timm.models.regnet.Bottleneck",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = relu(P(se(relu(bn(gconv3x3_s(relu(P(x))))))) + shortcut(x)), P = bn conv1x1",
    aliases=("RegNetY",),
    notes=(
        "As in RegNetY-800MF: no bottleneck, group width 16 or the largest divisor of 16 that "
        "divides the channels; squeeze-excite of a quarter of the input channels."
    ),
    knob="width_ratio",
)
def regnet_y_block(
    in_channels: int, out_channels: int, stride: int, position: Position, *, width_ratio: float = 1
) -> nn.Module:
    """Return RegNetY's block (Radosavovic et al., arXiv 2003.13678)."""
    # Must divide the channels, because timm rounds the number of groups down.
    group_size = math.gcd(_REGNET_GROUP_WIDTH, out_channels)
    block: nn.Module = RegNetBottleneck(
        in_channels,
        out_channels,
        stride,
        bottle_ratio=inner_width(out_channels, width_ratio, group_size) / out_channels,
        group_size=group_size,
        se_ratio=0.25,
    )
    return block


@register_block(
    "RegNetZBlock",
    family="attention",
    year=2021,
    paper="2103.06877",
    source="timm.models.regnet.Bottleneck",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = x + P(se(silu(bn(gconv3x3_s(silu(P_4o(x))))))), x if shape stays, P = bn conv1x1",
    aliases=("RegNetZ",),
    notes=(
        "An inverted bottleneck of ratio 4 with group width 16, linear output and no shortcut "
        "where the shape changes; squeeze-excite of a quarter of the input channels."
    ),
    knob="expansion",
)
def regnet_z_block(
    in_channels: int, out_channels: int, stride: int, position: Position, *, expansion: float = 4
) -> nn.Module:
    """Return RegNetZ's block (Dollar et al., arXiv 2103.06877)."""
    group_size = math.gcd(_REGNET_GROUP_WIDTH, 4 * out_channels)
    block: nn.Module = RegNetBottleneck(
        in_channels,
        out_channels,
        stride,
        # timm counts the width inside, and with it the groups, from the output channels.
        bottle_ratio=inner_width(out_channels, expansion, group_size) / out_channels,
        group_size=group_size,
        se_ratio=0.25,
        # Empty: no shortcut where the shape changes, but x itself where it stays.
        downsample="",
        linear_out=True,
        act_layer=nn.SiLU,
    )
    return block


@register_block(
    "CoordAttnMobileNetV2",
    family="attention",
    year=2021,
    paper="2103.02907",
    source="timm.models._efficientnet_blocks.InvertedResidual with timm.layers.CoordAttn",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = x + P(ca(relu6(bn(dw3x3_s(relu6(P_6c(x))))))), x if shape stays, P = bn conv1x1",
    aliases=("CoordAttn", "CoordinateAttention"),
    notes=(
        "MobileNetV2's block, expansion 6, with coordinate attention before the projection: its "
        "width a 32nd of the expanded channels and at least 8, hard swish inside."
    ),
    knob="expansion",
)
def coord_attn_mobilenet_v2(
    in_channels: int, out_channels: int, stride: int, position: Position, *, expansion: float = 6
) -> nn.Module:
    """Return MobileNetV2's block with coordinate attention (Hou et al., arXiv 2103.02907)."""
    attention: Any = _coordinate_attention
    block: nn.Module = InvertedResidual(
        in_channels,
        out_channels,
        3,
        stride,
        exp_ratio=expansion,
        act_layer=nn.ReLU6,
        se_layer=attention,
    )
    return block


@register_block(
    "CSATv2Block",
    family="attention",
    year=2025,
    paper="none (timm)",
    source="timm.models.csatv2.Block",
    licence="Apache-2.0",
    evidence="network totals",
    formula="y = x + up(sa(u)) * u, u = conv1x1(grn(gelu(conv1x1_4c(ln(dw7x7(x))))))",
    aliases=("CSATv2",),
    notes=(
        "No paper names it; it comes with timm. Its spatial attention works on a 7x7 grid whatever "
        "the size; its layer norms span one channel, so what follows them sees only their bias, "
        "zero at the start. Before a block that strides: layer normalisation and a 2x2 "
        "convolution. The network made of it has the 11.1 million parameters of its authors' card."
    ),
    knob="mlp_ratio",
)
def csatv2_block(
    in_channels: int, out_channels: int, stride: int, position: Position, *, mlp_ratio: float = 4
) -> nn.Module:
    """Return CSATv2's convolutional block with its spatial attention."""
    block = CSATv2Block(out_channels)
    hidden = inner_width(out_channels, mlp_ratio)
    if hidden != block.pwconv1.out_features:  # timm's ratio is 4 always
        block.add_module("pwconv1", nn.Linear(out_channels, hidden))
        block.add_module("grn", GlobalResponseNorm(hidden, channels_last=True))
        block.add_module("pwconv2", nn.Linear(hidden, out_channels))
    return after_shape_change(block, in_channels, out_channels, stride, convnext_downsampling)


def _basic_block(
    in_channels: int, out_channels: int, stride: int, attention: Any, width_ratio: float
) -> nn.Module:
    shortcut = projection(in_channels, out_channels, stride)
    block: nn.Module = BasicBlock(
        in_channels, out_channels, stride, downsample=shortcut, attn_layer=attention
    )
    set_basic_width(block, width_ratio)
    return block


def _coordinate_attention(channels: int, **_: object) -> nn.Module:
    # timm would hand down the ReLU6 around the attention, whose own hard swish stays here.
    attention: nn.Module = CoordAttn(channels, rd_channels=max(8, channels // 32), bias=True)
    return attention


def _check_multiple(out_channels: int, factor: int) -> None:
    if out_channels % factor:
        raise ValueError(f"the output channels must be a multiple of {factor}")
