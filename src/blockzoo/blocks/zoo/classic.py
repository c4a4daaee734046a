"""The ten blocks of the early version, kept as they were under `classic/NAME`.

They are not what their names say, which is why the plain names stand for faithful blocks. Records
of the early version can only be compared with these, in the scaffold whose context is
`classic/ResNetBasicBlock` and whose stem has a bias. They keep the initialisation that their
libraries give a lone block, as the early version did.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from timm.models import fastvit
from timm.models._efficientnet_blocks import (
    EdgeResidual,
    InvertedResidual,
    SqueezeExcite,
    UniversalInvertedResidual,
)
from timm.models.ghostnet import GhostBottleneckV3
from timm.models.resnet import BasicBlock, Bottleneck, downsample_avg
from timm.models.vitamin import MbConvLNBlock
from torch import nn

from blockzoo.blocks.registry import register_block
from blockzoo.blocks.zoo.inverted import set_fused_expansion
from blockzoo.blocks.zoo.residual import base_width, set_basic_width
from blockzoo.blocks.zoo.widths import inner_width, leaving_one, width_of
from blockzoo.core.position import Position

_EXPANSION = {Position.EARLY: 4, Position.MID: 4, Position.LATE: 6}
_GHOST_EXPANSION = {Position.EARLY: 3, Position.MID: 3, Position.LATE: 5}

# timm annotates these two more narrowly than it uses them.
_squeeze_excite: Any = partial(SqueezeExcite, rd_ratio=0.25)
_gelu: Any = nn.GELU

_register = partial(
    register_block, licence="Apache-2.0", evidence="network totals", initialisation="own"
)


@_register(
    "classic/ResNetBasicBlock",
    family="residual",
    year=2015,
    paper="1512.03385",
    source="timm.models.resnet.BasicBlock",
    formula="y = relu(bn(conv3x3(relu(bn(conv3x3_s(x))))) + bn(conv1x1(avgpool_s(x))))",
    notes="Projects its shortcut even where the shape does not change.",
    knob="width_ratio",
)
def basic_block(
    in_channels: int, out_channels: int, stride: int, position: Position, *, width_ratio: float = 1
) -> nn.Module:
    """Return the basic block with a pooled projection as shortcut, always."""
    # With stride 1 it does not pool, but still projects: the early version passed it always.
    shortcut = downsample_avg(in_channels, out_channels, 1, stride)
    block: nn.Module = BasicBlock(in_channels, out_channels, stride, downsample=shortcut)
    set_basic_width(block, width_ratio)
    return block


@_register(
    "classic/ResNetBottleneck",
    family="residual",
    year=2015,
    paper="1512.03385",
    source="timm.models.resnet.Bottleneck",
    formula="y = relu(P(relu(bn(conv3x3_s(relu(P(x)))))) + P(avgpool_s(x))), P = bn conv1x1",
    notes="Projects its shortcut even where the shape does not change.",
    knob="width_ratio",
)
def bottleneck(
    in_channels: int,
    out_channels: int,
    stride: int,
    position: Position,
    *,
    width_ratio: float = 0.25,
) -> nn.Module:
    """Return the bottleneck with a pooled projection as shortcut, always."""
    if out_channels % 4:
        raise ValueError("the output channels must be a multiple of 4")
    shortcut = downsample_avg(in_channels, out_channels, 1, stride)
    block: nn.Module = Bottleneck(
        in_channels,
        out_channels // 4,
        stride,
        downsample=shortcut,
        base_width=base_width(out_channels, width_ratio),
    )
    return block


@_register(
    "classic/InvertedResidual",
    family="mobile",
    year=2018,
    paper="1801.04381",
    source="timm.models._efficientnet_blocks.InvertedResidual",
    formula="y = x + P(act(bn(dw3x3_s(act(P_ec(x)))))), x where shape stays, P = bn conv1x1",
    notes="Expansion 4/4/6, ReLU early, hard swish mid and late: no network's inverted residual.",
    knob="expansion",
)
def inverted_residual(
    in_channels: int,
    out_channels: int,
    stride: int,
    position: Position,
    *,
    expansion: float | None = None,
) -> nn.Module:
    """Return the early version's inverted residual."""
    block: nn.Module = InvertedResidual(
        in_channels,
        out_channels,
        3,
        stride,
        exp_ratio=expansion or _EXPANSION[position],
        act_layer=nn.ReLU if position is Position.EARLY else nn.Hardswish,
    )
    return block


@_register(
    "classic/UniversalInvertedBottleneck",
    family="mobile",
    year=2024,
    paper="2404.10518",
    source="timm.models._efficientnet_blocks.UniversalInvertedResidual",
    formula="y = x + g P(relu(bn(dw3x3_s(relu(P_ec(x)))))), x where shape stays, P = bn conv1x1",
    notes=(
        "Expansion 4/4/6, no depthwise convolution at the start, layer scale g = 1e-5: where it "
        "strides there is no skip and the output starts near zero."
    ),
    knob="expansion",
)
def universal_inverted_bottleneck(
    in_channels: int,
    out_channels: int,
    stride: int,
    position: Position,
    *,
    expansion: float | None = None,
) -> nn.Module:
    """Return the early version's universal inverted bottleneck."""
    # All else is timm's default: no first depthwise convolution, layer scale 1e-5.
    block: nn.Module = UniversalInvertedResidual(
        in_channels, out_channels, stride=stride, exp_ratio=expansion or _EXPANSION[position]
    )
    return block


@_register(
    "classic/EdgeResidual",
    family="mobile",
    year=2020,
    paper="2003.02838",
    source="timm.models._efficientnet_blocks.EdgeResidual",
    formula="y = x + bn(conv1x1(se(relu(bn(conv3x3_s_ec(x)))))), x where shape stays",
    notes="Expansion 4/4/6; squeeze-excite with a quarter of the expanded channels late only.",
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
    """Return the early version's edge residual."""
    block: nn.Module = EdgeResidual(
        in_channels,
        out_channels,
        3,
        stride,
        exp_ratio=_EXPANSION[position],
        se_layer=_squeeze_excite if position is Position.LATE else None,
    )
    if expansion is not None and expansion != _EXPANSION[position]:
        set_fused_expansion(block, expansion / _EXPANSION[position])
        if position is Position.LATE:
            hidden = width_of(block, "conv_exp")
            squeezed = inner_width(hidden, 0.25)
            block.add_module("se", _squeeze_excite(hidden, rd_channels=squeezed))
    return block


@_register(
    "classic/MobileOneBlock",
    family="reparam",
    year=2022,
    paper="2206.04040",
    source="timm.models.fastvit.MobileOneBlock",
    formula="y = gelu(bn(conv3x3_s(x)) + bn(conv1x1_s(x)) + bn(x)), bn(x) where the shape stays",
    reparameterisable=True,
    notes="A dense RepVGG block with GELU, not MobileOne's depthwise and pointwise pair.",
)
def mobileone_block(
    in_channels: int, out_channels: int, stride: int, position: Position
) -> nn.Module:
    """Return the early version's MobileOne block."""
    # FastViT's class of this name; without a group size its convolutions are dense.
    block: nn.Module = fastvit.MobileOneBlock(in_channels, out_channels, 3, stride)
    return block


@_register(
    "classic/ReparamLargeKernelConv",
    family="large-kernel",
    year=2022,
    paper="2203.06717",
    source="timm.models.fastvit.ReparamLargeKernelConv",
    formula="y = gelu(bn(dw7x7_s(x)) + bn(dw3x3_s(x)))",
    reparameterisable=True,
    notes="Depthwise only: channels are never mixed, and nothing is added back.",
)
def reparam_large_kernel_conv(
    in_channels: int, out_channels: int, stride: int, position: Position
) -> nn.Module:
    """Return the early version's large-kernel convolution."""
    # One group for each input channel, and torch wants equally many outputs of every group.
    _need_multiple(in_channels, out_channels)
    block: nn.Module = fastvit.ReparamLargeKernelConv(
        in_channels, out_channels, 7, stride, group_size=1, small_kernel=3, act_layer=_gelu
    )
    return block


@_register(
    "classic/GhostBottleneckV3",
    family="reparam",
    year=2024,
    paper="2404.11202",
    source="timm.models.ghostnet.GhostBottleneckV3",
    formula="y = ghost(se(dw_s(ghost(x)))) + shortcut(x), ghost = [p, dw(p)]",
    reparameterisable=True,
    notes="Expansion 3/3/5, no attention branch; squeeze-excite 0.25 late only.",
    knob="expansion",
)
def ghost_bottleneck_v3(
    in_channels: int,
    out_channels: int,
    stride: int,
    position: Position,
    *,
    expansion: float | None = None,
) -> nn.Module:
    """Return the early version's ghost bottleneck."""
    if in_channels % 2 or out_channels % 2:
        raise ValueError("the input and output channels must be even")
    block: nn.Module = GhostBottleneckV3(
        in_channels,
        inner_width(in_channels, expansion or _GHOST_EXPANSION[position], multiple=2),
        out_channels,
        stride=stride,
        se_ratio=0.25 if position is Position.LATE else 0.0,
    )
    return block


@_register(
    "classic/MBConvLNBlock",
    family="modern",
    year=2024,
    paper="2404.02132",
    source="timm.models.vitamin.MbConvLNBlock",
    formula="y = conv1x1(gelu(dw3x3_s(gelu(conv1x1_4o(ln(x)))))) + shortcut(x)",
    notes="The same structure as MBConvLNBlock, with the library's initial weights.",
    knob="expansion",
)
def mbconv_ln_block(
    in_channels: int, out_channels: int, stride: int, position: Position, *, expansion: float = 4
) -> nn.Module:
    """Return the early version's MBConv-LN block."""
    block: nn.Module = MbConvLNBlock(in_channels, out_channels, stride, expand_ratio=expansion)
    return block


@_register(
    "classic/RepMixer",
    family="reparam",
    year=2023,
    paper="2303.14189",
    source="timm.models.fastvit.FastVitStage",
    formula="y = repmixer(embed7x7_s(x))",
    reparameterisable=True,
    notes="A whole FastViT stage of depth 1, so every block embeds patches; MLP ratio 4.",
    knob="mlp_ratio",
)
def repmixer(
    in_channels: int, out_channels: int, stride: int, position: Position, *, mlp_ratio: float = 4
) -> nn.Module:
    """Return the early version's RepMixer stage."""
    _need_multiple(in_channels, out_channels)
    block: nn.Module = fastvit.FastVitStage(
        in_channels,
        out_channels,
        depth=1,
        token_mixer_type="repmixer",
        down_stride=stride,
        mlp_ratio=leaving_one(mlp_ratio, out_channels),
        # A list, one rate for each block of the stage: timm indexes it.
        drop_path_rate=[0.0],
    )
    return block


def _need_multiple(in_channels: int, out_channels: int) -> None:
    if out_channels % in_channels:
        raise ValueError("the output channels must be a multiple of the input channels")
