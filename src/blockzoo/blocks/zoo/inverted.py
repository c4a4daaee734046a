"""Blocks of mobile networks that expand, filter and project: the inverted residual's family."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

from timm.models._efficientnet_blocks import EdgeResidual, InvertedResidual, SqueezeExcite
from timm.models.cpubone import FusedMBConv, ResidualBlock
from timm.models.rexnet import LinearBottleneck
from torch import nn
from torchvision.models.mnasnet import _InvertedResidual as MnasNetBlock

from blockzoo.blocks.registry import register_block
from blockzoo.blocks.zoo.layers import set_norm_constants
from blockzoo.blocks.zoo.widths import inner_width, set_inner_width, squeezed_channels, width_of
from blockzoo.core.position import Position


class _Stage(NamedTuple):
    kernel_size: int
    expansion: int
    activation: type[nn.Module]
    squeezes: bool


# After MobileNetV3-Large's stages of like width and resolution.
_MOBILENETV3_STAGE = {
    Position.EARLY: _Stage(3, 3, nn.ReLU, False),
    Position.MID: _Stage(5, 3, nn.ReLU, True),
    Position.LATE: _Stage(5, 6, nn.Hardswish, True),
}
# (depthwise kernel, expansion), after MnasNet-B1's stages.
_MNASNET_STAGE = {Position.EARLY: (3, 3), Position.MID: (5, 3), Position.LATE: (5, 6)}
_MBCONV_KERNEL = {Position.EARLY: 3, Position.MID: 5, Position.LATE: 5}
# EfficientNet-EdgeTPU's in its first three stages.
_EDGE_EXPANSION = {Position.EARLY: 4, Position.MID: 8, Position.LATE: 8}
# CPUBone-B1's in all that strides (B0 has 4); what keeps its shape has 4.
CPUBONE_STRIDED_EXPANSION = 6
_GOOGLE_BN = "BN with the authors' eps 1e-3 and momentum 0.01."
# ReXNet has no squeeze-excite in its first two stages.
_REXNET_SQUEEZE = {Position.EARLY: 0.0, Position.MID: 1 / 12, Position.LATE: 1 / 12}


@register_block(
    "InvertedResidual",
    family="mobile",
    year=2018,
    paper="1801.04381",
    source="timm.models._efficientnet_blocks.InvertedResidual",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = x + P(relu6(bn(dw3x3_s(relu6(P_6c(x)))))), x where shape stays, P = bn conv1x1",
    notes="MobileNetV2: expansion 6 everywhere, no squeeze-excite, linear projection.",
    knob="expansion",
)
def inverted_residual(
    in_channels: int, out_channels: int, stride: int, position: Position, *, expansion: float = 6
) -> nn.Module:
    """Return MobileNetV2's block (Sandler et al., arXiv 1801.04381)."""
    block: nn.Module = InvertedResidual(
        in_channels, out_channels, 3, stride, exp_ratio=expansion, act_layer=nn.ReLU6
    )
    return block


@register_block(
    "MobileNetV3Block",
    family="mobile",
    year=2019,
    paper="1905.02244",
    source="timm.models._efficientnet_blocks.InvertedResidual",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = x + P(se(a(bn(dw_s(a(P_ec(x))))))), x where shape stays, P = bn conv1x1",
    aliases=("MobileNetV3",),
    notes=(
        "MobileNetV3-Large: kernel 3/5/5, expansion 3/3/6, a = ReLU/ReLU/Hardswish; "
        "squeeze-excite mid and late, a quarter of the expanded channels, ReLU and hard sigmoid "
        f"inside. {_GOOGLE_BN}"
    ),
    knob="expansion",
)
def mobilenetv3_block(
    in_channels: int,
    out_channels: int,
    stride: int,
    position: Position,
    *,
    expansion: float | None = None,
) -> nn.Module:
    """Return MobileNetV3's block (Howard et al., arXiv 1905.02244)."""
    stage = _MOBILENETV3_STAGE[position]
    # Forced, because timm would hand down hard swish; the paper has ReLU inside everywhere.
    squeeze: Any = partial(SqueezeExcite, gate_layer=nn.Hardsigmoid, force_act_layer=nn.ReLU)
    block: nn.Module = InvertedResidual(
        in_channels,
        out_channels,
        stage.kernel_size,
        stride,
        exp_ratio=expansion or stage.expansion,
        act_layer=stage.activation,
        se_layer=squeeze if stage.squeezes else None,
    )
    return set_google_norms(block)


@register_block(
    "MBConvEfficientNet",
    family="mobile",
    year=2019,
    paper="1905.11946",
    source="timm.models._efficientnet_blocks.InvertedResidual",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = x + P(se(silu(bn(dw_s(silu(P_6c(x))))))), x where shape stays, P = bn conv1x1",
    aliases=("MBConv", "EfficientNetBlock"),
    notes=(
        "Kernel 3/5/5, expansion 6, squeeze-excite to a quarter of the input channels. "
        f"{_GOOGLE_BN}"
    ),
    knob="expansion",
)
def mbconv_efficientnet(
    in_channels: int, out_channels: int, stride: int, position: Position, *, expansion: float = 6
) -> nn.Module:
    """Return EfficientNet's MBConv (Tan and Le, arXiv 1905.11946).

    Raises `ValueError` for fewer than 4 input channels, a quarter of which squeeze-excite needs.
    """
    if in_channels < 4:
        raise ValueError("the input channels must be 4 or more")
    # Of the input channels, whatever the expansion.
    squeeze: Any = partial(SqueezeExcite, rd_channels=squeezed_channels(in_channels, 0.25, 6))
    block: nn.Module = InvertedResidual(
        in_channels,
        out_channels,
        _MBCONV_KERNEL[position],
        stride,
        exp_ratio=expansion,
        act_layer=nn.SiLU,
        se_layer=squeeze,
    )
    return set_google_norms(block)


@register_block(
    "MBConvMnasNet",
    family="mobile",
    year=2018,
    paper="1807.11626",
    source="torchvision.models.mnasnet._InvertedResidual",
    licence="BSD-3-Clause",
    evidence="official code",
    formula="y = x + P(relu(bn(dw_s(relu(P_ec(x)))))), x where shape stays, P = bn conv1x1",
    aliases=("MnasNetBlock",),
    notes=f"MnasNet-B1: kernel 3/5/5, expansion 3/3/6, no squeeze-excite. {_GOOGLE_BN}",
    knob="expansion",
)
def mbconv_mnasnet(
    in_channels: int,
    out_channels: int,
    stride: int,
    position: Position,
    *,
    expansion: float | None = None,
) -> nn.Module:
    """Return MnasNet's inverted residual (Tan et al., arXiv 1807.11626)."""
    kernel_size, published = _MNASNET_STAGE[position]
    block: nn.Module = MnasNetBlock(in_channels, out_channels, kernel_size, stride, published)
    # torchvision takes whole expansions alone.
    set_inner_width(
        block,
        inner_width(in_channels, expansion or published),
        enter=["layers.0"],
        inside=["layers.1", "layers.3", "layers.4"],
        leave=["layers.6"],
    )
    return set_google_norms(block)


@register_block(
    "ReXNetLinearBottleneck",
    family="mobile",
    year=2020,
    paper="2007.00992",
    source="timm.models.rexnet.LinearBottleneck",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = x + P(relu6(se(bn(dw3x3_s(silu(P_6c(x))))))), x only where s = 1, P = bn conv1x1",
    aliases=("ReXNet",),
    notes=(
        "Squeeze-excite (1/12 of the expanded channels, with BN inside) mid and late. With stride "
        "1 the input is added to the first channels also where the channels grow."
    ),
    knob="expansion",
)
def rexnet_linear_bottleneck(
    in_channels: int, out_channels: int, stride: int, position: Position, *, expansion: float = 6
) -> nn.Module:
    """Return ReXNet's linear bottleneck (Han et al., arXiv 2007.00992)."""
    block: nn.Module = LinearBottleneck(
        in_channels,
        out_channels,
        stride,
        # At 1 exactly timm leaves the first convolution out.
        exp_ratio=expansion + 1e-9 if expansion == 1 else expansion,
        se_ratio=_REXNET_SQUEEZE[position],
    )
    return block


@register_block(
    "EdgeResidual",
    family="mobile",
    year=2020,
    paper="2003.02838",
    source="timm.models._efficientnet_blocks.EdgeResidual, striding as the authors' code does",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = x + bn(conv1x1_s(relu(bn(conv3x3_ec(x))))), x where shape stays, e = 4/8/8",
    notes=(
        "EfficientNet-EdgeTPU: expansion 4 early, 8 mid and late. The authors' code strides by the "
        "1x1 projection, so the 3x3 sees every pixel; timm strides by the 3x3, see "
        f"EdgeResidualTimm. {_GOOGLE_BN}"
    ),
    knob="expansion",
)
def edge_residual(
    in_channels: int,
    out_channels: int,
    stride: int,
    position: Position,
    *,
    expansion: float | None = None,
) -> nn.Module:
    """Return EfficientNet-EdgeTPU's block (Gupta and Akin, arXiv 2003.02838)."""
    block = edge_residual_timm(in_channels, out_channels, stride, position, expansion=expansion)
    for name, step in (("conv_exp", 1), ("conv_pwl", stride)):
        conv = block.get_submodule(name)
        assert isinstance(conv, nn.Conv2d)
        conv.stride = (step, step)
    return set_google_norms(block)


@register_block(
    "EdgeResidualTimm",
    family="mobile",
    year=2020,
    paper="2003.02838",
    source="timm.models._efficientnet_blocks.EdgeResidual",
    licence="Apache-2.0",
    evidence="counts",
    formula="y = x + bn(conv1x1(relu(bn(conv3x3_s_ec(x))))), x where shape stays, e = 4/8/8",
    notes=(
        "timm's form of EdgeResidual: the 3x3 strides, so a strided block costs about a quarter. "
        "EdgeResidual was this form before. PyTorch's BN constants."
    ),
    knob="expansion",
)
def edge_residual_timm(
    in_channels: int,
    out_channels: int,
    stride: int,
    position: Position,
    *,
    expansion: float | None = None,
) -> nn.Module:
    """Return EfficientNet-EdgeTPU's block as timm strides it."""
    published = _EDGE_EXPANSION[position]
    block: nn.Module = EdgeResidual(
        in_channels,
        out_channels,
        3,
        stride,
        exp_ratio=published,
        act_layer=nn.ReLU,
    )
    set_fused_expansion(block, (expansion or published) / published)
    return block


@register_block(
    "FusedMBConvEfficientNetV2",
    family="mobile",
    year=2021,
    paper="2104.00298",
    source="timm.models._efficientnet_blocks.EdgeResidual",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = x + bn(conv1x1(silu(bn(conv3x3_s_4c(x))))), x where shape stays",
    aliases=("FusedMBConv",),
    notes="Expansion 4, no squeeze-excite. BN with the authors' eps 1e-3.",
    knob="expansion",
)
def fused_mbconv_efficientnetv2(
    in_channels: int, out_channels: int, stride: int, position: Position, *, expansion: float = 4
) -> nn.Module:
    """Return EfficientNetV2's fused MBConv (Tan and Le, arXiv 2104.00298)."""
    block: nn.Module = EdgeResidual(
        in_channels, out_channels, 3, stride, exp_ratio=4, act_layer=nn.SiLU
    )
    set_fused_expansion(block, expansion / 4)
    return set_norm_constants(block, eps=1e-3)


@register_block(
    "CPUBoneGrFusedMBConv",
    family="mobile",
    year=2026,
    paper="2603.26425",
    source="timm.models.cpubone.FusedMBConv and ResidualBlock",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = x + bn(conv1x1(hardswish(bn(gconv3x3_s_ec(x))))), x where shape stays",
    aliases=("GrFusedMBConv",),
    notes=(
        "CPUBone-B1's fused MBConv with two groups; expansion 4, where it strides 1.5 times that, "
        "6 as published (B0 has 4 everywhere)."
    ),
    knob="expansion",
)
def cpubone_grouped_fused_mbconv(
    in_channels: int, out_channels: int, stride: int, position: Position, *, expansion: float = 4
) -> nn.Module:
    """Return CPUBone's grouped fused MBConv; `ValueError` for an odd number of input channels."""
    if in_channels % 2:
        raise ValueError("the input channels must be even")
    if stride == 2:
        expansion *= CPUBONE_STRIDED_EXPANSION / 4
    # timm's residual block has no shortcut where None is passed.
    keeps_shape = stride == 1 and in_channels == out_channels
    block: nn.Module = ResidualBlock(
        FusedMBConv(
            in_channels,
            out_channels,
            3,
            stride,
            mid_channels=inner_width(in_channels, expansion, multiple=2),
            expand_groups=2,
            use_bias=(False, False),
            act_layer=(nn.Hardswish, None),
        ),
        nn.Identity() if keeps_shape else None,
    )
    return block


def set_google_norms(block: nn.Module) -> nn.Module:
    """Give every BN the constants of Google's mobile networks: eps 1e-3, momentum 0.01."""
    return set_norm_constants(block, eps=1e-3, momentum=0.01)


def set_fused_expansion(block: nn.Module, factor: float) -> None:
    """Multiply the width inside timm's edge residual, which it would round to a multiple of 8."""
    width = inner_width(width_of(block, "conv_exp"), factor)
    set_inner_width(block, width, enter=["conv_exp"], inside=["bn1"], leave=["conv_pwl"])
