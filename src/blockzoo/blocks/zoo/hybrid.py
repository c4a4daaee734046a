"""Blocks of convolution and attention whose attention sees the whole map."""

from __future__ import annotations

import math
from functools import partial

from timm.models import cpubone, lowformer
from timm.models._efficientnet_blocks import MobileAttention
from timm.models.edgenext import SplitTransposeBlock
from timm.models.efficientvit_mit import EfficientVitBlock, MBConv
from timm.models.swiftformer import Block
from torch import nn

from blockzoo.blocks.registry import register_block
from blockzoo.blocks.zoo.convnext import swiftformer_downsampling
from blockzoo.blocks.zoo.inverted import CPUBONE_STRIDED_EXPANSION
from blockzoo.blocks.zoo.layers import after_shape_change, convnext_downsampling
from blockzoo.blocks.zoo.universal_inverted import universal_inverted_bottleneck
from blockzoo.blocks.zoo.widths import inner_width, leaving_one, set_inner_width
from blockzoo.core.position import Position

# After EdgeNeXt-S's stages of like width (48, 96 and 304 channels).
_SDTA_SCALES = {Position.EARLY: 2, Position.MID: 2, Position.LATE: 4}
# EdgeNeXt-S and -B have eight heads, the narrower networks four.
_SDTA_HEADS = 8
# LowFormer halves the attention's width above this many channels only.
_LOWFORMER_FULL_WIDTH = 80
_ATTENTION_STRIDE = {Position.EARLY: 2, Position.MID: 2, Position.LATE: 1}
_HEADS = 4


@register_block(
    "SwiftFormerEAA",
    family="hybrid",
    year=2023,
    paper="2303.15446",
    source="timm.models.swiftformer.Block",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = v + g P(gelu(P_4c(bn(v)))), v = u + g eaa(u), u = x + g P(gelu(P(bn(dw3x3(x)))))",
    aliases=("SwiftFormer",),
    notes=(
        "Efficient additive attention: query and key only, linear in the pixels. Layer scales g "
        "start at 1 after the depthwise convolution, else at 1e-5. Before a block that strides: a "
        "strided 3x3 convolution and BN; before one that only changes channels: a 1x1 convolution "
        "and BN."
    ),
    knob="mlp_ratio",
)
def swiftformer_eaa(
    in_channels: int, out_channels: int, stride: int, position: Position, *, mlp_ratio: float = 4
) -> nn.Module:
    """Return SwiftFormer's encoder with additive attention (Shaker et al., arXiv 2303.15446)."""
    block = Block(out_channels, mlp_ratio=leaving_one(mlp_ratio, out_channels))
    return after_shape_change(block, in_channels, out_channels, stride, swiftformer_downsampling)


@register_block(
    "EfficientViTLiteMLA",
    family="hybrid",
    year=2022,
    paper="2205.14756",
    source="timm.models.efficientvit_mit.EfficientVitBlock and MBConv",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = z + mbconv_4(z), z = x + P(attn([w, gconv1x1(dw5x5(w))])), w = conv1x1(x)",
    aliases=("EfficientViT", "LiteMLA"),
    notes=(
        "ReLU linear attention with w as queries, keys and values, and w aggregated as a second "
        "scale; divided by their sum plus 1e-15, as the authors do. Heads of 16 channels, or of "
        "the largest power of two below that divides them. "
        "Before a block that strides: an MBConv with expansion 4 and BN at its end only; before "
        "one that only changes channels: a 1x1 convolution and BN."
    ),
    knob="expansion",
)
def efficientvit_lite_mla(
    in_channels: int, out_channels: int, stride: int, position: Position, *, expansion: float = 4
) -> nn.Module:
    """Return EfficientViT's block with multi-scale linear attention (Cai et al., 2205.14756)."""
    # Must divide the channels, because timm rounds the number of heads down.
    block = EfficientVitBlock(
        out_channels,
        head_dim=math.gcd(16, out_channels),
        expand_ratio=leaving_one(expansion, out_channels),
    )
    # timm's default is 1e-5.
    block.get_submodule("context_module.main").eps = 1e-15  # type: ignore[assignment]
    downsampling = partial(_efficientvit_downsampling, expansion=expansion)
    return after_shape_change(block, in_channels, out_channels, stride, downsampling)


def _efficientvit_downsampling(in_channels: int, out_channels: int, expansion: float) -> nn.Module:
    downsampling: nn.Module = MBConv(
        in_channels,
        out_channels,
        stride=2,
        expand_ratio=leaving_one(expansion, in_channels),
        # A bias just where no normalisation follows.
        use_bias=(True, True, False),
        norm_layer=(None, None, nn.BatchNorm2d),
        act_layer=(nn.Hardswish, nn.Hardswish, None),
    )
    return downsampling


@register_block(
    "LowFormerBlock",
    family="hybrid",
    year=2024,
    paper="2409.03460",
    source="timm.models.lowformer.LowFormerBlock",
    licence="Apache-2.0",
    evidence="official code",
    formula="z = x + up(attn(conv1x1(dw_a(gn(x))))), u = z + mlp_4(gn(z)), y = u + mbconv_4(u)",
    aliases=("LowFormer",),
    notes=(
        "Attention on half of the channels, or on all of 80 and fewer, on a map lowered by a = "
        "2/2/1 and raised by a transposed convolution; fused MBConv below 256 channels. Before a "
        "block that strides: a fused MBConv with expansion 4, as in LowFormer-B0 (the larger have "
        "6); before one that only changes channels: a 1x1 convolution and BN."
    ),
    knob="expansion",
)
def lowformer_block(
    in_channels: int, out_channels: int, stride: int, position: Position, *, expansion: float = 4
) -> nn.Module:
    """Return LowFormer's block (Nottebaum et al., arXiv 2409.03460).

    Raises `ValueError` for a single output channel, half of which attention would see.
    """
    # timm would round the half down to no channels.
    _refuse_single(out_channels)
    block = lowformer.LowFormerBlock(
        out_channels,
        expand_ratio=leaving_one(expansion, out_channels),
        fused_conv=True,
        att_stride=_ATTENTION_STRIDE[position],
    )
    if out_channels <= _LOWFORMER_FULL_WIDTH:
        _attend_to_all_channels(block, out_channels, _ATTENTION_STRIDE[position])
    _set_mlp_expansion(block.get_submodule("mlp.main"), out_channels, expansion)
    downsampling = partial(
        lowformer.FusedMBConv,
        stride=2,
        expand_ratio=leaving_one(expansion, in_channels),
        act_layer=nn.Hardswish,
    )
    return after_shape_change(block, in_channels, out_channels, stride, downsampling)


@register_block(
    "CPUBoneBlock",
    family="hybrid",
    year=2026,
    paper="2603.26425",
    source="timm.models.cpubone.CPUBoneBlock",
    licence="Apache-2.0",
    evidence="official code",
    formula="z = x + up(attn(conv1x1(dw2x2_a(gn(x))))), u = z + mlp_4(gn(z)), y = u + mbconv_4(u)",
    aliases=("CPUBone",),
    notes=(
        "Attention on half of the channels, on a map lowered by a = 2/2/1 and raised to the "
        "nearest pixel; 2x2 kernels; MBConv in two groups, fused below 256 channels. Its MLP's "
        "dropout of 0.1 is left out, as of every block here: regularisation is the recipe's. "
        "Before a block that strides: a fused MBConv in two groups with expansion 6, as in "
        "CPUBone-B1; before one that only changes channels: a 1x1 convolution and BN."
    ),
    knob="expansion",
)
def cpubone_block(
    in_channels: int, out_channels: int, stride: int, position: Position, *, expansion: float = 4
) -> nn.Module:
    """Return CPUBone's block with attention; `ValueError` for an odd number of channels."""
    if in_channels % 2 or out_channels % 2:
        raise ValueError("the input and output channels must be even")
    block = cpubone.CPUBoneBlock(
        out_channels,
        expand_ratio=inner_width(out_channels, expansion, multiple=2) / out_channels,
        fused_conv=True,
        expand_groups=2,
        att_stride=_ATTENTION_STRIDE[position],
        small_kernels=True,
        attn_upsample="nearest",
        # timm's default is 0.1; dropout is left out here, as in PKIBlock.
        proj_drop=0.0,
    )
    _set_mlp_expansion(block.get_submodule("total.0.1.main"), out_channels, expansion)
    downsampling = partial(
        cpubone.FusedMBConv,
        stride=2,
        mid_channels=CPUBONE_STRIDED_EXPANSION * in_channels,
        expand_groups=2,
        act_layer=(nn.Hardswish, None),
    )
    return after_shape_change(block, in_channels, out_channels, stride, downsampling)


@register_block(
    "EdgeNeXtSDTA",
    family="hybrid",
    year=2022,
    paper="2206.10589",
    source="timm.models.edgenext.SplitTransposeBlock",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = x + g fc(gelu(fc_4c(ln(u + g xca(ln(u)))))), u = [v1, .., xs], vk = dw(xk + vk-1)",
    aliases=("EdgeNeXt", "SDTA"),
    notes=(
        "EdgeNeXt-S: two, two, four splits; eight heads of attention between channels (the X-S "
        "and XX-S networks have four), early with a Fourier "
        "position encoding; layer scale g = 1e-6 at the start. Before a block that strides: layer "
        "normalisation and a 2x2 convolution with stride 2; before one that only changes "
        "channels: a 1x1 convolution and BN."
    ),
    knob="mlp_ratio",
)
def edgenext_sdta(
    in_channels: int, out_channels: int, stride: int, position: Position, *, mlp_ratio: float = 4
) -> nn.Module:
    """Return EdgeNeXt's split depthwise transpose attention (Maaz et al., arXiv 2206.10589).

    Raises `ValueError` when out_channels is no multiple of 8, the number of heads.
    """
    if out_channels % _SDTA_HEADS:
        raise ValueError("the output channels must be a multiple of 8")
    block = SplitTransposeBlock(
        out_channels,
        num_scales=_SDTA_SCALES[position],
        num_heads=_SDTA_HEADS,
        expand_ratio=leaving_one(mlp_ratio, out_channels),
        # EdgeNeXt encodes positions in its first stage with attention only.
        use_pos_emb=position is Position.EARLY,
    )
    return after_shape_change(block, in_channels, out_channels, stride, convnext_downsampling)


@register_block(
    "MobileNetV4MQA",
    family="hybrid",
    year=2024,
    paper="2404.10518",
    source="timm.models._efficientnet_blocks.MobileAttention",
    licence="Apache-2.0",
    evidence="counts",
    formula="y = x + g P(attn(P(u), P(D(u)), P(D(u)))), u = bn(x), D = bn dw3x3_2, one key for all",
    aliases=("MobileMQA", "MobileAttention"),
    notes=(
        "Multi-query attention with a quarter of the channels per head, keys and values at half "
        "the resolution, layer scale g = 1e-5 at the start. Before a block that changes the "
        "shape: a universal inverted bottleneck in its ExtraDW form. "
        "Compared by count with the paper's description alone."
    ),
    knob="width_ratio",
)
def mobilenetv4_mqa(
    in_channels: int, out_channels: int, stride: int, position: Position, *, width_ratio: float = 1
) -> nn.Module:
    """Return MobileNetV4's mobile multi-query attention (Qin et al., arXiv 2404.10518).

    Raises `ValueError` when out_channels is no multiple of 4, the number of heads.
    """
    if out_channels % _HEADS:
        raise ValueError("the output channels must be a multiple of 4")
    head_width = inner_width(out_channels // _HEADS, width_ratio)
    attention: nn.Module = MobileAttention(
        out_channels,
        out_channels,
        num_heads=_HEADS,
        key_dim=head_width,
        value_dim=head_width,
        kv_stride=2,
        use_multi_query=True,
    )
    if stride == 1 and in_channels == out_channels:
        return attention
    # MobileNetV4 changes shape in its convolutional blocks alone; attention keeps it.
    bottleneck = universal_inverted_bottleneck(in_channels, out_channels, stride, position)
    return nn.Sequential(bottleneck, attention)


def _attend_to_all_channels(block: nn.Module, channels: int, stride: int) -> None:
    # timm halves the attention's width at every width, the authors' code above 80 channels only.
    attention = lowformer.ConvAttention(
        channels,
        head_dim_mul=1.0,
        att_stride=stride,
        att_kernel=5 if stride > 1 else 3,
        fuse_out_proj=True,
    )
    block.get_submodule("attn.main").add_module("1", attention)


def _set_mlp_expansion(mlp: nn.Module, channels: int, expansion: float) -> None:
    # Of normalisation, convolution, GELU, convolution; timm takes whole expansions alone.
    set_inner_width(mlp, inner_width(channels, expansion), enter=["1"], leave=["3"])


def _refuse_single(out_channels: int) -> None:
    if out_channels < 2:
        raise ValueError("the output channels must be 2 or more")
