"""MobileNetV4's universal inverted bottleneck in three of its forms (Qin et al., 2404.10518)."""

from __future__ import annotations

from timm.models._efficientnet_blocks import UniversalInvertedResidual
from torch import nn

from blockzoo.blocks.registry import register_block
from blockzoo.core.position import Position


@register_block(
    "UniversalInvertedBottleneck",
    family="mobile",
    year=2024,
    paper="2404.10518",
    source="timm.models._efficientnet_blocks.UniversalInvertedResidual",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = x + P(relu(bn(dw_s(relu(P_4c(bn(dw(x)))))))), x if shape stays, P = bn conv1x1",
    aliases=("UIB", "UIBExtraDW"),
    notes="The ExtraDW form: 5x5 inside where it strides, 3x3 elsewhere; no layer scale.",
    knob="expansion",
)
def universal_inverted_bottleneck(
    in_channels: int, out_channels: int, stride: int, position: Position, *, expansion: float = 4
) -> nn.Module:
    """Return MobileNetV4's UIB with both depthwise convolutions."""
    # MobileNetV4's medium models stride on a 5x5, after a 3x3 that does not.
    middle = 5 if stride == 2 else 3
    return _bottleneck(in_channels, out_channels, stride, expansion, start=3, middle=middle)


@register_block(
    "UIBInvertedBottleneck",
    family="mobile",
    year=2024,
    paper="2404.10518",
    source="timm.models._efficientnet_blocks.UniversalInvertedResidual",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = x + P(relu(bn(dw3x3_s(relu(P_4c(x)))))), x if shape stays, P = bn conv1x1",
    notes="The IB form: only the depthwise convolution inside; expansion 4, no layer scale.",
    knob="expansion",
)
def uib_inverted_bottleneck(
    in_channels: int, out_channels: int, stride: int, position: Position, *, expansion: float = 4
) -> nn.Module:
    """Return MobileNetV4's UIB with the depthwise convolution inside only."""
    return _bottleneck(in_channels, out_channels, stride, expansion, start=0, middle=3)


@register_block(
    "UIBConvNeXt",
    family="mobile",
    year=2024,
    paper="2404.10518",
    source="timm.models._efficientnet_blocks.UniversalInvertedResidual",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = x + P(relu(P_4c(bn(dw3x3_s(x))))), x if shape stays, P = bn conv1x1",
    notes="The ConvNext form: only the depthwise convolution at the start; expansion 4.",
    knob="expansion",
)
def uib_convnext(
    in_channels: int, out_channels: int, stride: int, position: Position, *, expansion: float = 4
) -> nn.Module:
    """Return MobileNetV4's UIB with the depthwise convolution at the start only."""
    # Without a convolution inside timm puts the stride on the first one.
    return _bottleneck(in_channels, out_channels, stride, expansion, start=3, middle=0)


def _bottleneck(
    in_channels: int, out_channels: int, stride: int, expansion: float, *, start: int, middle: int
) -> nn.Module:
    block: nn.Module = UniversalInvertedResidual(
        in_channels,
        out_channels,
        dw_kernel_size_start=start,
        dw_kernel_size_mid=middle,
        stride=stride,
        exp_ratio=expansion,
        act_layer=nn.ReLU,
        # timm's default scales by 1e-5, which of MobileNetV4 only the hybrid models do.
        layer_scale_init_value=None,
    )
    return block
