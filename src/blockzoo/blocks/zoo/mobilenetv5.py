"""MobileNetV5, the image encoder of Gemma 3n, as timm has it: one kind of block in each stage."""

from __future__ import annotations

from timm.layers.norm import RmsNorm2d
from timm.models._efficientnet_blocks import (
    EdgeResidual,
    MobileAttention,
    UniversalInvertedResidual,
)
from torch import nn

from blockzoo.blocks.registry import register_block
from blockzoo.blocks.zoo.layers import after_downsampling
from blockzoo.blocks.zoo.widths import leaving_one
from blockzoo.core.position import Position

_HEAD_WIDTH = 64
_SCALE = 1e-5
# The attention's own feed-forward has half of the plain block's expansion, a strided one 1.5 times.
_MLP_SHARE, _STRIDED_SHARE = 1 / 2, 3 / 2


@register_block(
    "MobileNetV5Block",
    family="hybrid",
    year=2025,
    paper="none (timm)",
    source="timm.models._efficientnet_blocks.EdgeResidual, UniversalInvertedResidual and "
    "MobileAttention",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = x + rms(P(gelu(rms(conv3x3_s(x))))); mid: UIB of dw5x5; late: attention, then UIB",
    aliases=("MobileNetV5",),
    notes=(
        "By position the block that most of a stage consists of: early EdgeResidual of expansion "
        "4; mid a universal inverted bottleneck of expansion 4 with a 5x5 at its start; late "
        "multi-query attention, heads of 64 channels and one key and value for all, at full "
        "resolution, and a bottleneck of expansion 2 without spatial kernel. What strides or "
        "changes channels mid and late is a bottleneck of expansion 6 with two 5x5. RMS norm in "
        "the place of BN, GELU, layer scale 1e-5 at the start but early. timm's is the "
        "code that Gemma 3n runs."
    ),
    knob="expansion",
)
def mobilenetv5_block(
    in_channels: int, out_channels: int, stride: int, position: Position, *, expansion: float = 4
) -> nn.Module:
    """Return the block of a stage of MobileNetV5."""
    if position is Position.EARLY:
        edge: nn.Module = EdgeResidual(
            in_channels,
            out_channels,
            stride=stride,
            exp_ratio=leaving_one(expansion, in_channels),
            act_layer=nn.GELU,
            norm_layer=RmsNorm2d,
        )
        return edge
    keeps = stride == 1 and in_channels == out_channels
    if position is Position.MID:
        return (
            universal_bottleneck(out_channels, out_channels, expansion, start=5)
            if keeps
            else _changing_shape(in_channels, out_channels, stride, expansion)
        )
    first = None if keeps else _changing_shape(in_channels, out_channels, stride, expansion)
    pair = nn.Sequential(
        multi_query_attention(out_channels),
        universal_bottleneck(out_channels, out_channels, _MLP_SHARE * expansion),
    )
    return after_downsampling(first, pair)


def _changing_shape(
    in_channels: int, out_channels: int, stride: int, expansion: float
) -> nn.Module:
    return universal_bottleneck(
        in_channels, out_channels, _STRIDED_SHARE * expansion, start=5, middle=5, stride=stride
    )


def universal_bottleneck(
    in_channels: int,
    out_channels: int,
    expansion: float,
    *,
    start: int = 0,
    middle: int = 0,
    stride: int = 1,
) -> nn.Module:
    """Return timm's block with depthwise kernels of these sizes, none where that is 0.

    Maps (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride)).
    """
    block: nn.Module = UniversalInvertedResidual(
        in_channels,
        out_channels,
        dw_kernel_size_start=start,
        dw_kernel_size_mid=middle,
        stride=stride,
        exp_ratio=leaving_one(expansion, in_channels),
        act_layer=nn.GELU,
        norm_layer=RmsNorm2d,
        layer_scale_init_value=_SCALE,
    )
    return block


def multi_query_attention(channels: int, heads: int | None = None) -> nn.Module:
    """Return timm's block; of as many heads as the channels have times 64, if not said.

    Maps (N, channels, H, W) to the same shape.
    """
    block: nn.Module = MobileAttention(
        channels,
        channels,
        num_heads=heads or max(1, channels // _HEAD_WIDTH),
        key_dim=_HEAD_WIDTH,
        value_dim=_HEAD_WIDTH,
        use_multi_query=True,
        act_layer=nn.GELU,
        norm_layer=RmsNorm2d,
        layer_scale_init_value=_SCALE,
    )
    return block
