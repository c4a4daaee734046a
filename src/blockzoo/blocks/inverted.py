"""Blocks of mobile networks that expand, filter and project: the inverted residual's family."""

from __future__ import annotations

from timm.models._efficientnet_blocks import (
    EdgeResidual,
    InvertedResidual,
    UniversalInvertedResidual,
)
from torch import nn

from blockzoo.blocks.registry import register_block
from blockzoo.position import Position

_EDGE_EXPANSION = {Position.EARLY: 4, Position.MID: 8, Position.LATE: 8}


@register_block(
    "InvertedResidual",
    family="mobile",
    year=2018,
    paper="1801.04381",
    source="timm.models._efficientnet_blocks.InvertedResidual",
    licence="Apache-2.0",
    formula="y = x + P(relu6(bn(dw3x3_s(relu6(P_6c(x)))))), x where shape stays, P = bn conv1x1",
    notes="MobileNetV2: expansion 6 everywhere, no squeeze-excite, linear projection.",
)
def inverted_residual(
    in_channels: int, out_channels: int, stride: int, position: Position
) -> nn.Module:
    """Return MobileNetV2's block (Sandler et al., arXiv 1801.04381)."""
    block: nn.Module = InvertedResidual(
        in_channels, out_channels, 3, stride, exp_ratio=6, act_layer=nn.ReLU6
    )
    return block


@register_block(
    "UniversalInvertedBottleneck",
    family="mobile",
    year=2024,
    paper="2404.10518",
    source="timm.models._efficientnet_blocks.UniversalInvertedResidual",
    licence="Apache-2.0",
    formula="y = x + P(relu(bn(dw_s(relu(P_4c(bn(dw(x)))))))), x if shape stays, P = bn conv1x1",
    notes="The ExtraDW form: 5x5 inside where it strides, 3x3 elsewhere; no layer scale.",
)
def universal_inverted_bottleneck(
    in_channels: int, out_channels: int, stride: int, position: Position
) -> nn.Module:
    """Return MobileNetV4's UIB with both depthwise convolutions (Qin et al., arXiv 2404.10518)."""
    block: nn.Module = UniversalInvertedResidual(
        in_channels,
        out_channels,
        dw_kernel_size_start=3,
        dw_kernel_size_mid=5 if stride == 2 else 3,
        stride=stride,
        exp_ratio=4,
        act_layer=nn.ReLU,
        layer_scale_init_value=None,
    )
    return block


@register_block(
    "EdgeResidual",
    family="mobile",
    year=2019,
    paper="2003.02838",
    source="timm.models._efficientnet_blocks.EdgeResidual",
    licence="Apache-2.0",
    formula="y = x + bn(conv1x1(relu(bn(conv3x3_s_ec(x))))), x where shape stays, e = 4/8/8",
    notes="EfficientNet-EdgeTPU, also called fused MBConv; expansion 4 early, 8 mid and late.",
)
def edge_residual(
    in_channels: int, out_channels: int, stride: int, position: Position
) -> nn.Module:
    """Return EfficientNet-EdgeTPU's block (Gupta and Akin, arXiv 2003.02838)."""
    block: nn.Module = EdgeResidual(
        in_channels,
        out_channels,
        3,
        stride,
        exp_ratio=_EDGE_EXPANSION[position],
        act_layer=nn.ReLU,
    )
    return block
