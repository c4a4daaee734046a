"""Blocks that weight features by what large kernels see around them: VAN and Conv2Former."""

from __future__ import annotations

from timm.layers.norm import LayerNorm2d
from torch import Tensor, nn

from blockzoo.blocks.registry import register_block
from blockzoo.blocks.zoo.layers import (
    ScaledResidual,
    after_shape_change,
    convnext_downsampling,
    depthwise_conv,
)
from blockzoo.blocks.zoo.widths import inner_width
from blockzoo.core.position import Position

# VAN has 8, 8, 4, 4 in its four stages; the positions here follow the first three.
_VAN_EXPANSION = {Position.EARLY: 8, Position.MID: 8, Position.LATE: 4}
# Conv2Former-N, whose widths are those here, has 7; the larger models have 11.
_CONV2FORMER_KERNEL_SIZE = 7


class Gate(nn.Module):
    """y = x * weights(x): features weighted by what `weights` sees; x and y have one shape."""

    def __init__(self, weights: nn.Module) -> None:
        super().__init__()
        self.weights = weights

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        y: Tensor = x * self.weights(x)
        return y


class VisualAttention(nn.Module):
    """y = x + P(u * P(dw7x7_d3(dw5x5(u)))), u = gelu(P(x)), P a 1x1 convolution.

    The 5x5 and the dilated 7x7 stand for the paper's 21x21 kernel; together they see 23x23 pixels.
    Maps (N, channels, H, W) to the same shape.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        large_kernel = nn.Sequential(
            depthwise_conv(channels, 5),
            # The 5x5 fills the gaps between the points of the dilated 7x7, which are 3 apart.
            depthwise_conv(channels, 7, dilation=3),
            nn.Conv2d(channels, channels, 1),
        )
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, 1),
            nn.GELU(),
            Gate(large_kernel),
            nn.Conv2d(channels, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        # VAN has this shortcut inside the attention, beside the block's own around it.
        y: Tensor = x + self.layers(x)
        return y


class VANBlock(nn.Sequential):
    """z = x + g1 attention(bn(x)), y = z + g2 P(gelu(dw3x3(P_ec(bn(z))))), g1 = g2 = 0.01 at first.

    Maps (N, channels, H, W) to the same shape.
    """

    def __init__(self, channels: int, expansion: float) -> None:
        hidden = inner_width(channels, expansion)
        attention = nn.Sequential(nn.BatchNorm2d(channels), VisualAttention(channels))
        feed_forward = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.Conv2d(channels, hidden, 1),
            depthwise_conv(hidden, 3),
            nn.GELU(),
            nn.Conv2d(hidden, channels, 1),
        )
        super().__init__(
            ScaledResidual(attention, channels, 1e-2),
            ScaledResidual(feed_forward, channels, 1e-2),
        )


@register_block(
    "VANBlock",
    family="large-kernel",
    year=2022,
    paper="2202.09741",
    source="written from the paper",
    licence="Apache-2.0",
    evidence="official code",
    formula="z = x + g (v + P(u * P(dw7d3(dw5(u))))), u = gelu(P(v)), v = bn(x), y = z + g ffn(z)",
    aliases=("VAN",),
    notes=(
        "Large kernel attention; feed-forward expansion 8/8/4 with a depthwise 3x3 inside; layer "
        "scales g = 0.01 at the start. Before a block that strides: a 3x3 convolution and BN; "
        "before one that only changes channels: a 1x1 convolution and BN."
    ),
    knob="expansion",
)
def van_block(
    in_channels: int,
    out_channels: int,
    stride: int,
    position: Position,
    *,
    expansion: float | None = None,
) -> nn.Module:
    """Return the Visual Attention Network's block (Guo et al., arXiv 2202.09741)."""
    block = VANBlock(out_channels, expansion or _VAN_EXPANSION[position])
    return after_shape_change(block, in_channels, out_channels, stride, _van_downsampling)


def _van_downsampling(in_channels: int, out_channels: int) -> nn.Module:
    conv = nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels))


class ConvModulation(nn.Module):
    """y = P(dwkxk(gelu(P(x))) * P(x)), P a 1x1 convolution: the weights are a convolution of x.

    Maps (N, channels, H, W) to the same shape.
    """

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__()
        self.weights = nn.Sequential(
            nn.Conv2d(channels, channels, 1), nn.GELU(), depthwise_conv(channels, kernel_size)
        )
        self.values = nn.Conv2d(channels, channels, 1)
        self.leave = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        # The weights are a convolution and no softmax over similarities: the paper's point.
        y: Tensor = self.leave(self.weights(x) * self.values(x))
        return y


class PositionedFeedForward(nn.Module):
    """y = P(u + gelu(dw3x3(u))), u = gelu(P_4c(x)), P a 1x1 convolution.

    Maps (N, channels, H, W) to the same shape.
    """

    def __init__(self, channels: int, expansion: float = 4) -> None:
        super().__init__()
        hidden = inner_width(channels, expansion)
        self.widen = nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.GELU())
        self.positions = nn.Sequential(depthwise_conv(hidden, 3), nn.GELU())
        self.narrow = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        wide = self.widen(x)
        # Added, not put in place: what the 1x1 made stays beside what its surroundings say.
        y: Tensor = self.narrow(wide + self.positions(wide))
        return y


class Conv2FormerBlock(nn.Sequential):
    """z = x + g1 modulation(ln(x)), y = z + g2 feed_forward(ln(z)), g1 = g2 = 1e-6 at first.

    Maps (N, channels, H, W) to the same shape.
    """

    def __init__(self, channels: int, kernel_size: int, expansion: float = 4) -> None:
        modulation = nn.Sequential(LayerNorm2d(channels), ConvModulation(channels, kernel_size))
        feed_forward = nn.Sequential(
            LayerNorm2d(channels), PositionedFeedForward(channels, expansion)
        )
        super().__init__(
            ScaledResidual(modulation, channels, 1e-6),
            ScaledResidual(feed_forward, channels, 1e-6),
        )


@register_block(
    "Conv2FormerBlock",
    family="large-kernel",
    year=2022,
    paper="2211.11943",
    source="written from the paper",
    licence="Apache-2.0",
    evidence="official code",
    formula="z = x + g P(dw7x7(gelu(P(v))) * P(v)), v = ln(x), y = z + g ffn(ln(z))",
    aliases=("Conv2Former",),
    notes=(
        "Conv2Former-N: kernel 7 (the larger models have 11); feed-forward expansion 4 with a "
        "depthwise 3x3 inside; layer scales g = 1e-6 at the start. Before a block that strides: "
        "layer normalisation and a 2x2 convolution; before one that only changes channels: a 1x1 "
        "convolution and BN."
    ),
    knob="expansion",
)
def conv2former_block(
    in_channels: int, out_channels: int, stride: int, position: Position, *, expansion: float = 4
) -> nn.Module:
    """Return Conv2Former's block (Hou et al., arXiv 2211.11943); the position changes nothing."""
    block = Conv2FormerBlock(out_channels, _CONV2FORMER_KERNEL_SIZE, expansion)
    return after_shape_change(block, in_channels, out_channels, stride, convnext_downsampling)
