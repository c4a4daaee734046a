"""Blocks that train with several branches and run with one: structural re-parameterisation."""

from __future__ import annotations

from functools import partial

from timm.models.byobnet import MobileOneBlock, RepVggBlock
from timm.models.fastvit import PatchEmbed, RepMixerBlock
from timm.models.ghostnet import GhostBottleneckV3
from timm.models.lcnetv2 import RepDepthwiseSeparable
from timm.models.repghost import RepGhostBottleneck
from timm.models.repvit import RepViTBlock, RepVitDownsample
from torch import nn

from blockzoo.blocks.registry import register_block
from blockzoo.blocks.zoo.ghost import GHOST_STAGE
from blockzoo.blocks.zoo.layers import after_downsampling, after_shape_change, conv_bn
from blockzoo.blocks.zoo.widths import inner_width, leaving_one, set_inner_width
from blockzoo.core.position import Position

# (expansion, depthwise kernel, squeeze-excite ratio), after RepGhostNet's stages likewise.
_REPGHOST_STAGE = {
    Position.EARLY: (1.5, 3, 0.0),
    Position.MID: (1.5, 5, 0.25),
    Position.LATE: (3, 5, 0.25),
}
_REPVIT_EXPANSION = 2


@register_block(
    "RepVGGBlock",
    family="reparam",
    year=2021,
    paper="2101.03697",
    source="timm.models.byobnet.RepVggBlock",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = relu(bn(conv3x3_s(x)) + bn(conv1x1_s(x)) + bn(x)), bn(x) where the shape stays",
    reparameterisable=True,
    aliases=("RepVGG",),
    notes="One 3x3 convolution in deploy form.",
)
def repvgg_block(in_channels: int, out_channels: int, stride: int, position: Position) -> nn.Module:
    """Return RepVGG's block (Ding et al., arXiv 2101.03697); the position changes nothing."""
    block: nn.Module = RepVggBlock(in_channels, out_channels, stride=stride)
    return block


@register_block(
    "MobileOneBlock",
    family="reparam",
    year=2022,
    paper="2206.04040",
    source="timm.models.byobnet.MobileOneBlock, twice",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = relu(P(relu(D(x)))), D = 4 dw3x3_s + dw1x1_s + id, P = 4 conv1x1 + id, BN in each",
    reparameterisable=True,
    aliases=("MobileOne",),
    notes="MobileOne-S0: four branches of each convolution in training, one in deploy form.",
)
def mobileone_block(
    in_channels: int, out_channels: int, stride: int, position: Position
) -> nn.Module:
    """Return MobileOne's depthwise and pointwise pair (Vasu et al., arXiv 2206.04040)."""
    # With group_size=1 each channel is a group of its own, that is, depthwise.
    depthwise = MobileOneBlock(
        in_channels, in_channels, 3, stride, group_size=1, num_conv_branches=4
    )
    # Four branches here too: S0 trains so many copies, timm's default is one.
    pointwise = MobileOneBlock(in_channels, out_channels, 1, num_conv_branches=4)
    return nn.Sequential(depthwise, pointwise)


@register_block(
    "GhostBottleneckV3",
    family="reparam",
    year=2024,
    paper="2404.11202",
    source="timm.models.ghostnet.GhostBottleneckV3",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = G(se(dw_s(G(x) * sigmoid(up(dfc(pool(x))))))) + shortcut(x), G = [p, dw(p)]",
    reparameterisable=True,
    aliases=("GhostNetV3",),
    notes=(
        "Expansion 3/3/6, depthwise kernel 3/5/5, squeeze-excite 0.25 mid and late. "
        "Its gate pools by 2, so the input must be 2x2 or larger."
    ),
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
    """Return GhostNetV3's bottleneck (Liu et al., arXiv 2404.11202).

    Raises `ValueError` for an odd number of output channels: a ghost module makes them in halves.
    """
    if out_channels % 2:
        raise ValueError("the output channels must be even")
    published, kernel_size, se_ratio = GHOST_STAGE[position]
    block: nn.Module = GhostBottleneckV3(
        in_channels,
        inner_width(in_channels, expansion or published),
        out_channels,
        kernel_size,
        stride,
        se_ratio=se_ratio,
        # timm's word for GhostNetV3's gate; its default has none.
        mode="shortcut",
    )
    return block


@register_block(
    "RepGhostBottleneck",
    family="reparam",
    year=2022,
    paper="2211.06088",
    source="timm.models.repghost.RepGhostBottleneck",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = G(se(bn(dw_s(relu(G(x)))))) + shortcut(x), G = bn(dw3x3(v)) + bn(v), v = bn(P(x))",
    reparameterisable=True,
    aliases=("RepGhost",),
    notes=(
        "Hidden channels 1.5/1.5/3 times those of the input, depthwise kernel 3/5/5 only where the "
        "block strides, squeeze-excite 0.25 mid and late. The ReLU of the first G is also inside "
        "it, after P."
    ),
    knob="expansion",
)
def repghost_bottleneck(
    in_channels: int,
    out_channels: int,
    stride: int,
    position: Position,
    *,
    expansion: float | None = None,
) -> nn.Module:
    """Return RepGhostNet's bottleneck (Chen et al., arXiv 2211.06088)."""
    published, kernel_size, se_ratio = _REPGHOST_STAGE[position]
    hidden = int(in_channels * leaving_one(expansion or published, in_channels))
    block: nn.Module = RepGhostBottleneck(
        in_channels, hidden, out_channels, kernel_size, stride, se_ratio=se_ratio
    )
    return block


@register_block(
    "PPLCNetV2RepDepthSep",
    family="reparam",
    year=2022,
    paper="none (PaddleClas)",
    source="timm.models.lcnetv2.RepDepthwiseSeparable",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = relu(P(relu(dw3_s(x)))), late y = relu(P(relu(P_o/2(se(relu(sum of dwk_s(x)))))))",
    reparameterisable=True,
    aliases=("PPLCNetV2",),
    notes=(
        "As in PP-LCNetV2, only the late form has branches to merge: depthwise 5x5, 3x3 and, where "
        "it does not stride, 1x1, each with BN; squeeze-excite 0.25; and two 1x1 convolutions that "
        "squeeze to half the output channels between them. Early and mid are a depthwise 3x3 and "
        "a 1x1 convolution, the same in both forms. No shortcut."
    ),
)
def pplcnetv2_rep_depth_sep(
    in_channels: int, out_channels: int, stride: int, position: Position
) -> nn.Module:
    """Return PP-LCNetV2's depthwise separable block (PaddleClas, 2022).

    Raises `ValueError` where the late form has no channels to squeeze to.
    """
    late = position is Position.LATE
    if late and (in_channels < 4 or out_channels < 2):
        raise ValueError("the late form needs 4 input and 2 output channels or more")
    block: nn.Module = RepDepthwiseSeparable(
        in_channels,
        out_channels,
        stride,
        # After PP-LCNetV2's stage of 256 channels, the only one with squeeze-excite and the split.
        dw_kernel_size=5 if late else 3,
        split_pw=late,
        use_rep=late,
        use_se=late,
    )
    return block


@register_block(
    "RepViTBlock",
    family="reparam",
    year=2023,
    paper="2307.09283",
    source="timm.models.repvit.RepViTBlock",
    licence="Apache-2.0",
    evidence="official code",
    formula="z = se(bn(bn(dw3x3(x)) + dw1x1(x) + x)), y = z + bn(P(gelu(bn(P_2c(z)))))",
    reparameterisable=True,
    aliases=("RepViT",),
    notes=(
        "RepViT has squeeze-excite (0.25) in every other block; a block here has no number, so "
        "all have it. Before a block that strides: RepViT's downsampling, which is a block without "
        "squeeze-excite, a strided depthwise 3x3, a 1x1 convolution and an MLP; before one that "
        "only changes channels: a 1x1 convolution and BN."
    ),
    knob="mlp_ratio",
)
def repvit_block(
    in_channels: int, out_channels: int, stride: int, position: Position, *, mlp_ratio: float = 2
) -> nn.Module:
    """Return RepViT's block (Wang et al., arXiv 2307.09283); the position changes nothing."""
    block = RepViTBlock(out_channels, _REPVIT_EXPANSION, 3, use_se=True, act_layer=nn.GELU)
    _set_repvit_mlp(block.channel_mixer, inner_width(out_channels, mlp_ratio))
    downsampling = partial(_repvit_downsampling, mlp_ratio=mlp_ratio)
    return after_shape_change(block, in_channels, out_channels, stride, downsampling)


def _repvit_downsampling(in_channels: int, out_channels: int, mlp_ratio: float) -> nn.Module:
    downsampling: nn.Module = RepVitDownsample(
        in_channels, _REPVIT_EXPANSION, out_channels, 3, act_layer=nn.GELU
    )
    before = downsampling.get_submodule("pre_block.channel_mixer")
    _set_repvit_mlp(before, inner_width(in_channels, mlp_ratio))
    after = downsampling.get_submodule("ffn")
    _set_repvit_mlp(after, inner_width(out_channels, mlp_ratio))
    return downsampling


def _set_repvit_mlp(layers: nn.Module, width: int) -> None:
    # timm takes whole ratios alone.
    set_inner_width(layers, width, enter=["conv1.c"], inside=["conv1.bn"], leave=["conv2.c"])


@register_block(
    "RepMixer",
    family="reparam",
    year=2023,
    paper="2303.14189",
    source="timm.models.fastvit.RepMixerBlock",
    licence="Apache-2.0",
    evidence="official code",
    formula="z = x + g1(rep(x) - bn(x)), y = z + g2(conv1x1(gelu(conv1x1_3c(bn(dw7x7(z))))))",
    reparameterisable=True,
    aliases=("FastViT",),
    notes=(
        "FastViT-T12: MLP ratio 3, layer scales g1 = g2 = 1e-5 at the start. Before a block that "
        "strides: FastViT's 7x7 patch embedding, which needs out a multiple of in; before one that "
        "only changes channels: a 1x1 convolution and BN."
    ),
    knob="mlp_ratio",
)
def repmixer(
    in_channels: int, out_channels: int, stride: int, position: Position, *, mlp_ratio: float = 3
) -> nn.Module:
    """Return FastViT's RepMixer block (Vasu et al., arXiv 2303.14189)."""
    # FastViT-T12's ratio; the S models have 4.
    block = RepMixerBlock(
        out_channels, kernel_size=3, mlp_ratio=leaving_one(mlp_ratio, out_channels)
    )
    return after_downsampling(_patch_embedding(in_channels, out_channels, stride), block)


def _patch_embedding(in_channels: int, out_channels: int, stride: int) -> nn.Module | None:
    if stride == 1:
        return None if in_channels == out_channels else conv_bn(in_channels, out_channels)
    # Its 7x7 has a group for each input channel, and groups have equally many outputs.
    if out_channels % in_channels:
        raise ValueError("the output channels must be a multiple of the input channels")
    embedding: nn.Module = PatchEmbed(7, stride, in_channels, out_channels)
    return embedding
