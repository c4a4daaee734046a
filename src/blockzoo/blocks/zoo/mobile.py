"""Blocks of mobile networks that are no plain inverted residual."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from timm.layers.helpers import make_divisible
from timm.models._efficientnet_blocks import DepthwiseSeparableConv
from timm.models.efficientformer_v2 import ConvNorm, EfficientFormerV2Block
from timm.models.fasternet import MLPBlock
from timm.models.tiny_vit import MBConv, PatchMerging
from torch import Tensor, nn

from blockzoo.blocks.registry import register_block
from blockzoo.blocks.zoo.layers import after_shape_change, conv_bn, patch_conv
from blockzoo.blocks.zoo.widths import inner_width, leaving_one
from blockzoo.core.position import Position

_rounded: Callable[[int, int], int] = make_divisible

_LCNET_KERNEL = {Position.EARLY: 3, Position.MID: 3, Position.LATE: 5}


@register_block(
    "DSConvMobileNetV1",
    family="mobile",
    year=2017,
    paper="1704.04861",
    source="timm.models._efficientnet_blocks.DepthwiseSeparableConv",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = relu(bn(conv1x1(relu(bn(dw3x3_s(x))))))",
    aliases=("DSConv", "MobileNetV1", "DepthwiseSeparableConv"),
    notes="MobileNetV1: no shortcut.",
)
def dsconv_mobilenetv1(
    in_channels: int, out_channels: int, stride: int, position: Position
) -> nn.Module:
    """Return MobileNetV1's depthwise separable convolution (Howard et al., arXiv 1704.04861)."""
    # timm's default is the first block of MobileNetV2: with a shortcut and a linear end.
    block: nn.Module = DepthwiseSeparableConv(
        in_channels, out_channels, 3, stride, noskip=True, pw_act=True
    )
    return block


@register_block(
    "PPLCNetDepthSepConv",
    family="mobile",
    year=2021,
    paper="2109.15099",
    source="timm.models._efficientnet_blocks.DepthwiseSeparableConv",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = hardswish(bn(conv1x1(hardswish(bn(dw_s(x))))))",
    aliases=("PPLCNet",),
    notes=(
        "Kernel 3/3/5, late where it strides 3; no shortcut, and no squeeze-excite, which the "
        "paper has in its 512-channel stage only."
    ),
)
def pplcnet_depth_sep_conv(
    in_channels: int, out_channels: int, stride: int, position: Position
) -> nn.Module:
    """Return PP-LCNet's depthwise separable convolution (Cui et al., arXiv 2109.15099)."""
    # PP-LCNet goes over to 5x5 kernels after the block that strides to 256 channels.
    kernel_size = 3 if stride == 2 else _LCNET_KERNEL[position]
    block: nn.Module = DepthwiseSeparableConv(
        in_channels,
        out_channels,
        kernel_size,
        stride,
        noskip=True,
        pw_act=True,
        act_layer=nn.Hardswish,
    )
    return block


class SandGlass(nn.Module):
    """y = x + D_s(relu6(bn(conv1x1(bn(conv1x1(relu6(D(x)))))))), D = bn dw3x3, narrow in between.

    The waist has in_channels / reduction channels or, where that is below out_channels / 6, the
    latter rounded to a multiple of 16; `waist` channels where that is given. As in MobileNeXt, the
    first depthwise convolution stands only where the channels stay and the last one where they
    stay or the stride is 2, unless `always_filters`. x is added where the shape stays. Maps
    (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        *,
        reduction: int = 6,
        waist: int | None = None,
        always_filters: bool = False,
    ) -> None:
        super().__init__()
        waist = waist or _waist(in_channels, out_channels, reduction)
        filters = always_filters or in_channels == out_channels
        self.has_skip = stride == 1 and in_channels == out_channels
        # No activation at the waist: among few channels it would lose information, says the paper.
        layers = [conv_bn(in_channels, waist), conv_bn(waist, out_channels, activation=nn.ReLU6())]
        if filters:
            layers.insert(0, conv_bn(in_channels, in_channels, 3, groups=in_channels))
            layers[0].append(nn.ReLU6())
        if filters or stride == 2:
            layers.append(
                conv_bn(out_channels, out_channels, 3, stride=stride, groups=out_channels)
            )
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride))."""
        y: Tensor = self.layers(x)
        return x + y if self.has_skip else y


def _waist(in_channels: int, out_channels: int, reduction: int) -> int:
    waist = in_channels // reduction
    if waist >= out_channels / 6:
        return waist
    return _rounded(math.ceil(out_channels / 6), 16)


@register_block(
    "SandGlassMobileNeXt",
    family="mobile",
    year=2020,
    paper="2007.02269",
    source="written from the paper",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = x + D_s(relu6(P_o(P_c/6(relu6(D(x)))))), D = bn dw3x3, P = bn conv1x1",
    aliases=("SandGlass", "MobileNeXt"),
    notes=(
        "x is added where the shape stays. The waist is at least a sixth of the output channels, "
        "rounded to a multiple of 16 where the input's sixth falls below. As in MobileNeXt, a "
        "block that changes the channels lacks the first depthwise convolution, and with stride 1 "
        "the last one too."
    ),
    knob="width_ratio",
)
def sand_glass_mobilenext(
    in_channels: int,
    out_channels: int,
    stride: int,
    position: Position,
    *,
    width_ratio: float | None = None,
) -> nn.Module:
    """Return MobileNeXt's sandglass block (Zhou et al., arXiv 2007.02269)."""
    waist = None if width_ratio is None else inner_width(out_channels, width_ratio)
    return SandGlass(in_channels, out_channels, stride, waist=waist)


@register_block(
    "FasterNetPConv",
    family="mobile",
    year=2023,
    paper="2303.03667",
    source="timm.models.fasternet.MLPBlock",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = x + conv1x1(gelu(bn(conv1x1_2c([conv3x3(x1), x2])))), x1 a quarter of x",
    aliases=("FasterNet", "PConv"),
    notes=(
        "FasterNet-T1, whose widths these are: GELU, from T2 on ReLU. Before a block that "
        "strides: a 2x2 convolution with stride 2 and BN; before one that only changes channels: "
        "a 1x1 convolution and BN."
    ),
    knob="mlp_ratio",
)
def fasternet_pconv(
    in_channels: int, out_channels: int, stride: int, position: Position, *, mlp_ratio: float = 2
) -> nn.Module:
    """Return FasterNet's block with partial convolution (Chen et al., arXiv 2303.03667).

    Raises `ValueError` for fewer than 4 output channels, of which no quarter can be taken.
    """
    if out_channels < 4:
        raise ValueError("the output channels must be 4 or more")
    block = MLPBlock(
        out_channels,
        n_div=4,
        mlp_ratio=leaving_one(mlp_ratio, out_channels),
        drop_path=0,
        # 0 is none: timm makes a scale only of values above it.
        layer_scale_init_value=0,
        act_layer=nn.GELU,
    )
    return after_shape_change(block, in_channels, out_channels, stride, _fasternet_merging)


def _fasternet_merging(in_channels: int, out_channels: int) -> nn.Module:
    conv = patch_conv(in_channels, out_channels, bias=False)
    return nn.Sequential(*conv, nn.BatchNorm2d(out_channels))


@register_block(
    "EfficientFormerV2FFN",
    family="mobile",
    year=2022,
    paper="2212.08059",
    source="timm.models.efficientformer_v2.EfficientFormerV2Block",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = x + g * bn(conv1x1(gelu(bn(dw3x3(gelu(bn(conv1x1_4c(x))))))))",
    aliases=("EfficientFormerV2",),
    notes=(
        "The block of the stages without attention; convolutions with bias, layer scale g = 1e-5 "
        "at the start. Before a block that strides: a strided 3x3 convolution and BN; before one "
        "that only changes channels: a 1x1 convolution and BN."
    ),
    knob="mlp_ratio",
)
def efficientformer_v2_ffn(
    in_channels: int, out_channels: int, stride: int, position: Position, *, mlp_ratio: float = 4
) -> nn.Module:
    """Return EfficientFormerV2's feed-forward block (Li et al., arXiv 2212.08059)."""
    block = EfficientFormerV2Block(
        out_channels, mlp_ratio=leaving_one(mlp_ratio, out_channels), use_attn=False
    )
    return after_shape_change(
        block, in_channels, out_channels, stride, partial(ConvNorm, kernel_size=3, stride=2)
    )


@register_block(
    "TinyViTMBConv",
    family="mobile",
    year=2022,
    paper="2207.10666",
    source="timm.models.tiny_vit.MBConv and PatchMerging",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = gelu(x + P(gelu(bn(dw3x3(gelu(P_4c(x))))))), P = bn conv1x1",
    reparameterisable=True,
    aliases=("TinyViT",),
    notes=(
        "BN is merged into the convolutions in deploy form. Before a block that strides: "
        "TinyViT's patch merging, conv1x1, strided dw3x3, conv1x1, with BN and GELU between; "
        "before one that only changes channels: a 1x1 convolution and BN."
    ),
    knob="expansion",
)
def tinyvit_mbconv(
    in_channels: int, out_channels: int, stride: int, position: Position, *, expansion: float = 4
) -> nn.Module:
    """Return TinyViT's MBConv (Wu et al., arXiv 2207.10666)."""
    block = MBConv(
        out_channels, out_channels, leaving_one(expansion, out_channels), nn.GELU, drop_path=0.0
    )
    return after_shape_change(
        block, in_channels, out_channels, stride, partial(PatchMerging, act_layer=nn.GELU)
    )
