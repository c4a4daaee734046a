"""SLaK: kernels of up to 51x51 as the sum of a tall and a wide stripe (Liu et al., 2207.03620)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from blockzoo.blocks.registry import register_block
from blockzoo.blocks.zoo.layers import (
    ChannelsLast,
    ScaledResidual,
    after_shape_change,
    conv_bn,
    convnext_downsampling,
)
from blockzoo.blocks.zoo.merging import at_centre
from blockzoo.blocks.zoo.widths import inner_width
from blockzoo.core.position import Position

# SLaK has 51, 49, 47, 13 in its four stages; the last three match the positions here.
_LENGTH = {Position.EARLY: 49, Position.MID: 47, Position.LATE: 13}
_BREADTH = 5


class DecomposedKernelConv(nn.Module):
    """y = bn(dwKxk(x)) + bn(dwkxK(x)) + bn(dwkxk(x)), K = `length`, k = `breadth`, both odd.

    In deploy form two convolutions with a bias: the square one is in the tall one. Maps
    (N, channels, H, W) to the same shape.
    """

    def __init__(self, channels: int, length: int, breadth: int) -> None:
        super().__init__()
        self.tall: nn.Module = conv_bn(channels, channels, (length, breadth), groups=channels)
        self.wide: nn.Module = conv_bn(channels, channels, (breadth, length), groups=channels)
        self.square: nn.Module | None = conv_bn(channels, channels, breadth, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        y: Tensor = self.tall(x) + self.wide(x)
        return y if self.square is None else y + self.square(x)

    def reparameterize(self) -> None:
        """Merge the BN of all, and the square kernel into the tall one; needs eval mode."""
        if self.square is None:
            return
        tall, wide, square = (_fused(each) for each in (self.tall, self.wide, self.square))
        assert tall.bias is not None
        assert square.bias is not None
        columns = at_centre(square, tall.kernel_size[0])
        spare = (columns.shape[3] - tall.kernel_size[1]) // 2
        # Both stripes in one square kernel would cost ten times as much.
        tall.weight.data += columns[..., spare : columns.shape[3] - spare]
        tall.bias.data += square.bias.data
        self.tall, self.wide, self.square = tall, wide, None


def _fused(layers: nn.Module) -> nn.Conv2d:
    assert isinstance(layers, nn.Sequential)
    conv, norm = layers
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    return fuse_conv_bn_eval(conv, norm)


class SLaKBlock(ScaledResidual):
    """y = x + gamma * P(gelu(P_ec(ln(stripes(x))))), gamma 1e-6 at the start, P linear.

    Maps (N, channels, H, W) to the same shape.
    """

    def __init__(self, channels: int, length: int, breadth: int, mlp_ratio: float = 4) -> None:
        hidden = inner_width(channels, mlp_ratio)
        mlp = nn.Sequential(
            nn.LayerNorm(channels, eps=1e-6),
            nn.Linear(channels, hidden),
            nn.GELU(),
            nn.Linear(hidden, channels),
        )
        stripes = DecomposedKernelConv(channels, length, breadth)
        super().__init__(nn.Sequential(stripes, ChannelsLast(mlp)), channels, 1e-6)


@register_block(
    "SLaKBlock",
    family="large-kernel",
    year=2022,
    paper="2207.03620",
    source="written from the paper",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = x + g P(gelu(P_4c(ln(dwKx5(x) + dw5xK(x) + dw5x5(x))))), BN in each dw",
    reparameterisable=True,
    aliases=("SLaK",),
    notes=(
        "K = 49/47/13; layer scale g = 1e-6 at the start. Dense, as is the network's structure: "
        "its training also keeps 40% of the weights at zero and prunes and regrows them. The "
        "deploy form has the tall and the wide kernel, with the square one in the tall one; the "
        "authors merge none of the three. Before a block that strides: layer normalisation and a "
        "2x2 convolution; before one that only changes channels: a 1x1 convolution and BN."
    ),
    knob="mlp_ratio",
)
def slak_block(
    in_channels: int, out_channels: int, stride: int, position: Position, *, mlp_ratio: float = 4
) -> nn.Module:
    """Return SLaK's block (Liu et al., arXiv 2207.03620)."""
    block = SLaKBlock(out_channels, _LENGTH[position], _BREADTH, mlp_ratio)
    return after_shape_change(block, in_channels, out_channels, stride, convnext_downsampling)
