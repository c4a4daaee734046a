"""A ConvNeXt block whose depthwise convolution works on wavelets: WTConv (Finder et al.)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from timm.models.convnext import ConvNeXtBlock
from torch import Tensor, nn

from blockzoo.blocks.registry import register_block
from blockzoo.blocks.zoo.layers import after_shape_change, convnext_downsampling, depthwise_conv
from blockzoo.blocks.zoo.widths import leaving_one
from blockzoo.core.position import Position

# WTConvNeXt has 5, 4, 3, 2 levels in its four stages; the last three match the positions here.
_LEVELS = {Position.EARLY: 4, Position.MID: 3, Position.LATE: 2}
_KERNEL_SIZE = 5


class HaarTransform(nn.Module):
    """The orthonormal Haar wavelet transform in two dimensions, and its inverse.

    Every 2x2 patch of a channel becomes four numbers: half its sum, and half its differences from
    top to bottom, from left to right and across. The filters are constants, not parameters.

    >>> haar, x = HaarTransform(1), torch.arange(16.0).view(1, 1, 4, 4)
    >>> torch.allclose(haar.inverse(haar(x)), x, atol=1e-4)
    True
    """

    filters: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        low, high = torch.tensor([0.5**0.5, 0.5**0.5]), torch.tensor([0.5**0.5, -(0.5**0.5)])
        pairs = ((low, low), (high, low), (low, high), (high, high))
        filters = torch.stack([torch.outer(rows, columns) for rows, columns in pairs])
        repeated = filters[:, None].repeat(channels, 1, 1, 1)
        # Known from the channels alone, so it is no part of a state dict.
        self.register_buffer("filters", repeated, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W), H and W even, to (N, 4 channels, H / 2, W / 2).

        The four numbers of a channel are neighbours among the output's channels.
        """
        return F.conv2d(x, self.filters, stride=2, groups=self.channels)

    def inverse(self, x: Tensor) -> Tensor:
        """Map (N, 4 channels, H, W) to (N, channels, 2 H, 2 W); undoes `forward`."""
        # The transform is orthonormal, so its transpose undoes it.
        return F.conv_transpose2d(x, self.filters, stride=2, groups=self.channels)


class WTConv2d(nn.Module):
    """y = s dwkxk(x) + z_1, z_i = inverse_haar(s_i dwkxk(w_i), its sums + z_(i+1)).

    w_i is the Haar transform of the sums in w_(i-1), w_0 is x and z after the last level is zero,
    so that level i filters with kernels that span 2^i k pixels. s is 1 and s_i is 0.1 at the start.
    An odd height or width is padded by zeros before each transform and cut off after its inverse.
    Maps (N, channels, H, W) to the same shape.
    """

    def __init__(self, channels: int, kernel_size: int, levels: int) -> None:
        super().__init__()
        bands = 4 * channels
        self.base = depthwise_conv(channels, kernel_size)
        self.base_scale = nn.Parameter(torch.ones(channels, 1, 1))
        self.haar = HaarTransform(channels)
        # No bias: the bands are added to the base convolution, which has one.
        self.convs = nn.ModuleList(
            depthwise_conv(bands, kernel_size, bias=False) for _ in range(levels)
        )
        self.scales = nn.ParameterList(torch.full((bands, 1, 1), 0.1) for _ in range(levels))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        y: Tensor = self.base_scale * self.base(x) + self._filtered(x, 0)
        return y

    def _filtered(self, x: Tensor, level: int) -> Tensor:
        """Return what this level and the deeper ones make of x, in the shape of x."""
        height, width = x.shape[2:]
        bands = self.haar(F.pad(x, (0, width % 2, 0, height % 2)))
        filtered: Tensor = self.scales[level] * self.convs[level](bands)
        if level + 1 < len(self.convs):
            # Every fourth channel is a sum; the other three are differences.
            filtered[:, ::4] += self._filtered(bands[:, ::4], level + 1)
        return self.haar.inverse(filtered)[:, :, :height, :width]


def wtconvnext(channels: int, levels: int, mlp_ratio: float = 4) -> nn.Module:
    """Return timm's ConvNeXt block with a wavelet convolution in place of its depthwise 7x7."""
    block: nn.Module = ConvNeXtBlock(
        channels, kernel_size=_KERNEL_SIZE, mlp_ratio=leaving_one(mlp_ratio, channels)
    )
    block.conv_dw = WTConv2d(channels, _KERNEL_SIZE, levels)
    return block


@register_block(
    "WTConvNeXtBlock",
    family="large-kernel",
    year=2024,
    paper="2407.05848",
    source="written from the paper, in timm.models.convnext.ConvNeXtBlock",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = x + g P(gelu(P_4c(ln(wt(x))))), wt = dw5x5 + haar^-1(dw5x5(haar)) + ...",
    aliases=("WTConvNeXt", "WTConv"),
    notes=(
        "Haar wavelets, 4/3/2 levels, kernel 5; layer scale g = 1e-6 at the start. Before a block "
        "that strides: layer normalisation and a 2x2 convolution; before one that only changes "
        "channels: a 1x1 convolution and BN. The Haar transforms are run and counted as grouped "
        "convolutions."
    ),
    knob="mlp_ratio",
)
def wtconvnext_block(
    in_channels: int, out_channels: int, stride: int, position: Position, *, mlp_ratio: float = 4
) -> nn.Module:
    """Return WTConvNeXt's block (Finder et al., arXiv 2407.05848)."""
    block = wtconvnext(out_channels, _LEVELS[position], mlp_ratio)
    return after_shape_change(block, in_channels, out_channels, stride, convnext_downsampling)
