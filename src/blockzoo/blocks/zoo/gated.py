"""Blocks that multiply one branch by another: StarNet, gated CNN, focal modulation, HorNet."""

from __future__ import annotations

from timm.layers.mlp import Mlp
from timm.layers.norm import LayerNorm2d
from timm.models.focalnet import FocalNetBlock
from timm.models.mambaout import GatedConvBlock
from timm.models.starnet import Block as StarNetBlock
from timm.models.starnet import ConvBN
from torch import Tensor, nn

from blockzoo.blocks.registry import register_block
from blockzoo.blocks.zoo.layers import (
    ChannelsLast,
    ScaledResidual,
    after_shape_change,
    convnext_downsampling,
    depthwise_conv,
    patch_conv,
    set_norm_constants,
)
from blockzoo.blocks.zoo.widths import inner_width, leaving_one, set_inner_width
from blockzoo.core.position import Position

# HorNet has orders 2, 3, 4, 5 in its four stages; its widths 64, 128, 256 have the first three.
_GNCONV_ORDER = {Position.EARLY: 2, Position.MID: 3, Position.LATE: 4}
# The paper's, to keep training stable: the filtered features are multiplied by each other.
_GNCONV_SCALE = 1 / 3


@register_block(
    "StarNetBlock",
    family="gated",
    year=2024,
    paper="2403.19967",
    source="timm.models.starnet.Block",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = x + dw7x7(bn(P(relu6(P_4c(v)) * P_4c(v)))), v = bn(dw7x7(x))",
    aliases=("StarNet",),
    notes=(
        "The star operation, an element-wise product of two 1x1 convolutions; expansion 4. Before "
        "a block that strides: a 3x3 convolution and BN; before one that only changes channels: a "
        "1x1 convolution and BN."
    ),
    knob="expansion",
)
def starnet_block(
    in_channels: int, out_channels: int, stride: int, position: Position, *, expansion: float = 4
) -> nn.Module:
    """Return StarNet's block (Ma et al., arXiv 2403.19967); the position changes nothing."""
    # StarNet-S1's to S4's; timm's block alone has 3.
    block = StarNetBlock(out_channels, mlp_ratio=4)
    # timm takes whole expansions alone.
    set_inner_width(
        block,
        inner_width(out_channels, expansion),
        enter=["f1.conv", "f2.conv"],
        leave=["g.conv"],
    )
    return after_shape_change(block, in_channels, out_channels, stride, _starnet_downsampling)


def _starnet_downsampling(in_channels: int, out_channels: int) -> nn.Module:
    downsampling: nn.Module = ConvBN(in_channels, out_channels, 3, stride=2, padding=1)
    return downsampling


@register_block(
    "GatedCNNMambaOut",
    family="gated",
    year=2024,
    paper="2405.07992",
    source="timm.models.mambaout.GatedConvBlock",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = x + P(gelu(g) * [i, dw7x7(c)]), [g, i, c] = P_16c/3(ln(x)), as many c as x has",
    aliases=("MambaOut", "GatedCNN"),
    notes=(
        "MambaOut's gated CNN: expansion 8/3, the depthwise convolution on as many channels as "
        "the block has. Before a block that strides: a 3x3 convolution and layer normalisation; "
        "before one that only changes channels: a 1x1 convolution and BN."
    ),
    knob="expansion",
)
def gated_cnn(
    in_channels: int,
    out_channels: int,
    stride: int,
    position: Position,
    *,
    expansion: float = 8 / 3,
) -> nn.Module:
    """Return MambaOut's block (Yu and Wang, arXiv 2405.07992); the position changes nothing."""
    # 8/3 and not 4, so that with its gate it has the weights of a plain MLP of ratio 4.
    # At least 1: of what it expands to, the depthwise convolution takes as many as the block has.
    block = ChannelsLast(
        GatedConvBlock(out_channels, expansion_ratio=max(expansion, 1), kernel_size=7)
    )
    return after_shape_change(block, in_channels, out_channels, stride, _mambaout_downsampling)


def _mambaout_downsampling(in_channels: int, out_channels: int) -> nn.Module:
    conv = nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1)
    return nn.Sequential(conv, LayerNorm2d(out_channels))


@register_block(
    "FocalNetBlock",
    family="gated",
    year=2022,
    paper="2203.11926",
    source="timm.models.focalnet.FocalNetBlock",
    licence="Apache-2.0",
    evidence="official code",
    formula="z = x + P(q P(sum g_l f_l)), f_l = gelu(dw f_l-1), [q f_0 g] = P(ln x), y = z + f(z)",
    aliases=("FocalNet",),
    notes=(
        "Focal modulation with small receptive fields: levels of 3x3 and 5x5 and the mean of the "
        "image; f is ln and an MLP of expansion 4; no layer scale. Before a block that strides: "
        "a 2x2 convolution and layer normalisation; before one that only changes channels: a 1x1 "
        "convolution and BN. Layer norms with the authors' eps 1e-5."
    ),
    knob="mlp_ratio",
)
def focalnet_block(
    in_channels: int, out_channels: int, stride: int, position: Position, *, mlp_ratio: float = 4.0
) -> nn.Module:
    """Return FocalNet's block (Yang et al., arXiv 2203.11926); the position changes nothing."""
    # No layer scale, which only FocalNet's large models have; timm's block alone would have one.
    block = FocalNetBlock(
        out_channels,
        mlp_ratio=leaving_one(mlp_ratio, out_channels),
        focal_level=2,
        focal_window=3,
        layerscale_value=None,
    )
    whole = after_shape_change(block, in_channels, out_channels, stride, _focalnet_downsampling)
    # The authors' layer norms are PyTorch's, timm's have 1e-6; BN has 1e-5 anyway.
    return set_norm_constants(whole, eps=1e-5)


def _focalnet_downsampling(in_channels: int, out_channels: int) -> nn.Module:
    return nn.Sequential(*patch_conv(in_channels, out_channels), LayerNorm2d(out_channels))


class GnConv(nn.Module):
    """y = P(q_n), q_(i+1) = P(q_i) * f_i, [q_0, f] = P(x), f filtered by dw7x7 / 3.

    Gated convolution of order n: f_i has channels / 2^(n - 1 - i) channels and q_i as many as
    f_(i-1), so the first product is of few channels and the last of all of them; q_0, which is as
    wide as f_0, is multiplied as it is. Maps (N, channels, H, W) to the same shape. Raises
    `ValueError` when the channels are no multiple of 2^(n - 1).
    """

    def __init__(self, channels: int, order: int) -> None:
        super().__init__()
        fewest = 2 ** (order - 1)
        if channels % fewest:
            raise ValueError(
                f"the output channels must be a multiple of {fewest} for order {order}"
            )
        self.widths = [channels // 2**halvings for halvings in reversed(range(order))]
        self.enter = nn.Conv2d(channels, 2 * channels, 1)
        # One for all orders: depthwise, it filters each channel as one for each order would.
        self.filter = depthwise_conv(sum(self.widths), 7)
        # Pairs of neighbours, so the second sequence is one shorter.
        self.widen = nn.ModuleList(
            nn.Conv2d(few, many, 1) for few, many in zip(self.widths, self.widths[1:], strict=False)
        )
        self.leave = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        product, unfiltered = self.enter(x).split((self.widths[0], sum(self.widths)), dim=1)
        first, *others = (self.filter(unfiltered) * _GNCONV_SCALE).split(self.widths, dim=1)
        product = product * first
        for widen, filtered in zip(self.widen, others, strict=True):
            product = widen(product) * filtered
        y: Tensor = self.leave(product)
        return y


class HorBlock(nn.Sequential):
    """z = x + g1 gnconv(ln(x)), y = z + g2 P(gelu(P_4c(ln(z)))), g1 = g2 = 1e-6 at the start.

    Maps (N, channels, H, W) to the same shape.
    """

    def __init__(self, channels: int, order: int, mlp_ratio: float = 4) -> None:
        mix = nn.Sequential(LayerNorm2d(channels), GnConv(channels, order))
        feed_forward = nn.Sequential(
            LayerNorm2d(channels), ChannelsLast(Mlp(channels, inner_width(channels, mlp_ratio)))
        )
        super().__init__(
            ScaledResidual(mix, channels, 1e-6), ScaledResidual(feed_forward, channels, 1e-6)
        )


@register_block(
    "HorNetGnConv",
    family="gated",
    year=2022,
    paper="2207.14284",
    source="written from the paper",
    licence="Apache-2.0",
    evidence="official code",
    formula="z = x + g P(q_n), q_i+1 = P(q_i) * f_i, [q_0, dw7x7(f)] = P(ln(x)), y = z + g mlp(z)",
    aliases=("HorNet", "HorBlock"),
    notes=(
        "HorNet-T 7x7: order 2/3/4, filtered features scaled by 1/3, mlp expansion 4, layer scales "
        "g = 1e-6 at the start. Before a block that strides: layer normalisation and a 2x2 "
        "convolution; before one that only changes channels: a 1x1 convolution and BN."
    ),
    knob="mlp_ratio",
)
def hornet_gnconv(
    in_channels: int, out_channels: int, stride: int, position: Position, *, mlp_ratio: float = 4
) -> nn.Module:
    """Return HorNet's block (Rao et al., arXiv 2207.14284).

    Raises `ValueError` when the output channels are no multiple of 2/4/8.
    """
    block = HorBlock(out_channels, _GNCONV_ORDER[position], mlp_ratio)
    return after_shape_change(block, in_channels, out_channels, stride, convnext_downsampling)
