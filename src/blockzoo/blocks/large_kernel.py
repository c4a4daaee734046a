"""Blocks with very large depthwise kernels: RepLKNet (Ding et al., arXiv 2203.06717)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from blockzoo.blocks.layers import after_downsampling, conv_bn
from blockzoo.blocks.registry import register_block
from blockzoo.position import Position

# RepLKNet-31 has 31, 29, 27, 13 in its four stages; the last three match the positions here.
_KERNEL_SIZE = {Position.EARLY: 29, Position.MID: 27, Position.LATE: 13}
_SMALL_KERNEL_SIZE = 5


class LargeKernelConv(nn.Module):
    """y = bn(dwKxK(x)) + bn(dwkxk(x)); in deploy form one KxK convolution with a bias.

    Maps (N, channels, H, W) to the same shape. Both kernel sizes are odd, the small one not above
    the large one.
    """

    def __init__(self, channels: int, kernel_size: int, small_kernel_size: int) -> None:
        super().__init__()
        self.large = conv_bn(channels, channels, kernel_size, groups=channels)
        self.small = conv_bn(channels, channels, small_kernel_size, groups=channels)
        self.merged: nn.Conv2d | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        if self.merged is not None:
            merged: Tensor = self.merged(x)
            return merged
        branches: Tensor = self.large(x) + self.small(x)
        return branches

    def reparameterize(self) -> None:
        """Merge the small kernel into the centre of the large one; needs eval mode."""
        if self.merged is not None:
            return
        merged = fuse_conv_bn_eval(*self.large)
        small = fuse_conv_bn_eval(*self.small)
        margin = (merged.kernel_size[0] - small.kernel_size[0]) // 2
        assert merged.bias is not None
        assert small.bias is not None
        merged.weight.data += F.pad(small.weight.data, [margin] * 4)
        merged.bias.data += small.bias.data
        self.merged = merged
        del self.large, self.small


class RepLKBlock(nn.Module):
    """y = x + bn(conv1x1(relu(largeK(relu(bn(conv1x1(bn(x)))))))): mixes space."""

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.enter = conv_bn(channels, channels, activation=nn.ReLU())
        self.mix = LargeKernelConv(channels, kernel_size, _SMALL_KERNEL_SIZE)
        self.act = nn.ReLU()
        self.leave = conv_bn(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        y: Tensor = x + self.leave(self.act(self.mix(self.enter(self.norm(x)))))
        return y


class ConvFFN(nn.Module):
    """y = x + bn(conv1x1(gelu(bn(conv1x1_4c(bn(x)))))): mixes channels."""

    def __init__(self, channels: int, expansion: int = 4) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.widen = conv_bn(channels, expansion * channels, activation=nn.GELU())
        self.narrow = conv_bn(expansion * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        y: Tensor = x + self.narrow(self.widen(self.norm(x)))
        return y


@register_block(
    "ReparamLargeKernelConv",
    family="large-kernel",
    year=2022,
    paper="2203.06717",
    source="written from the paper",
    licence="Apache-2.0",
    formula="z = x + P(relu(dwK(u) + dw5(u))), u = relu(P(bn(x))), y = z + P(gelu(P_4c(bn(z))))",
    reparameterisable=True,
    notes=(
        "A RepLK block and its ConvFFN; kernel 29/27/13. Before a block that strides: 1x1 "
        "convolution, BN, ReLU, strided depthwise 3x3, BN, ReLU; before one that only changes "
        "channels: a 1x1 convolution and BN."
    ),
)
def reparam_large_kernel_conv(
    in_channels: int, out_channels: int, stride: int, position: Position
) -> nn.Module:
    """Return RepLKNet's pair of blocks: large kernel, then feed-forward."""
    pair = nn.Sequential(
        RepLKBlock(out_channels, _KERNEL_SIZE[position]),
        ConvFFN(out_channels),
    )
    return after_downsampling(_transition(in_channels, out_channels, stride), pair)


def _transition(in_channels: int, out_channels: int, stride: int) -> nn.Module | None:
    if stride == 1:
        return None if in_channels == out_channels else conv_bn(in_channels, out_channels)
    return nn.Sequential(
        conv_bn(in_channels, out_channels, activation=nn.ReLU()),
        conv_bn(
            out_channels,
            out_channels,
            3,
            stride=stride,
            groups=out_channels,
            activation=nn.ReLU(),
        ),
    )
