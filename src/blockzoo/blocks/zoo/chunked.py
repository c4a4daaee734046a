"""RepNeXt: chunks of channels filtered at several scales (Zhao et al., arXiv 2406.16004)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import torch
from timm.models.repvit import ConvNorm
from torch import Tensor, nn

from blockzoo.blocks.registry import register_block
from blockzoo.blocks.zoo.layers import after_shape_change, conv_bn, depthwise_conv
from blockzoo.blocks.zoo.merging import at_centre
from blockzoo.blocks.zoo.widths import inner_width
from blockzoo.core.position import Position

_STRIP = 11


def _row_column(channels: int, length: int, stride: int) -> nn.Sequential:
    """Return a row and then a column kernel: together a square one, if neither has a bias."""
    return nn.Sequential(
        # Each strides in its own direction only, so that both together do what a square one does.
        depthwise_conv(channels, (1, length), stride=(1, stride), bias=False),
        depthwise_conv(channels, (length, 1), stride=(stride, 1), bias=False),
    )


class BranchedDepthwise(nn.Module):
    """y = dwKxK(x) + sum of the other branches; in deploy form one depthwise KxK with a bias.

    A branch is a depthwise convolution, or a row and a column kernel after each other without
    biases. Maps (N, channels, H, W) to (N, channels, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(self, main: nn.Conv2d, others: Iterable[nn.Module]) -> None:
        super().__init__()
        self.main = main
        self.others = nn.ModuleList(others)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to (N, channels, ceil(H / stride), ceil(W / stride))."""
        y: Tensor = self.main(x)
        for branch in self.others:
            y = y + branch(x)
        return y

    def reparameterize(self) -> None:
        """Merge the other branches into the main one."""
        assert self.main.bias is not None
        for branch in self.others:
            conv = _as_one(branch)
            self.main.weight.data += at_centre(conv, self.main.kernel_size[0])
            if conv.bias is not None:
                self.main.bias.data += conv.bias.detach()
        self.others = nn.ModuleList()


def _as_one(branch: nn.Module) -> nn.Conv2d:
    """Return the branch as one convolution: a row and a column kernel make a square one."""
    if isinstance(branch, nn.Conv2d):
        return branch
    assert isinstance(branch, nn.Sequential)
    row, column = branch
    assert isinstance(row, nn.Conv2d)
    assert isinstance(column, nn.Conv2d)
    size = row.kernel_size[1]
    square = depthwise_conv(row.out_channels, size, bias=False).to(row.weight.device)
    # (k, 1) times (1, k): the outer product of the two, channel by channel.
    square.weight.data = column.weight.detach() * row.weight.detach()
    return square


def small_kernel(channels: int, stride: int) -> BranchedDepthwise:
    """Return RepNeXt's 3x3: beside it a dilated 2x2 and a row and a column of 3.

    The row and the column are added where it does not stride, and follow each other where it does.
    """
    # A 2x2 kernel spread to 3x3 has a middle, so it can be merged into the 3x3.
    dilated = depthwise_conv(channels, 2, stride=stride, dilation=2)
    strips: list[nn.Module] = (
        [depthwise_conv(channels, (1, 3)), depthwise_conv(channels, (3, 1))]
        if stride == 1
        else [_row_column(channels, 3, stride)]
    )
    return BranchedDepthwise(depthwise_conv(channels, 3, stride=stride), [dilated, *strips])


def medium_kernel(channels: int, stride: int) -> BranchedDepthwise:
    """Return RepNeXt's 7x7: beside it 5x3, 3x5, and rows before columns of 7 and of 5."""
    rectangles = [depthwise_conv(channels, size, stride=stride) for size in ((5, 3), (3, 5))]
    strips = [_row_column(channels, length, stride) for length in (7, 5)]
    return BranchedDepthwise(depthwise_conv(channels, 7, stride=stride), [*rectangles, *strips])


class ChunkConv(nn.Module):
    """y = [x_1, dw3x3(x_2), dw7x7(x_3), dw11x1(dw1x11(x_4))], x_1 to x_4 the quarters of x.

    Maps (N, channels, H, W) to the same shape; `channels` must be a multiple of 4.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        quarter = channels // 4
        self.small = small_kernel(quarter, 1)
        self.medium = medium_kernel(quarter, 1)
        # Never merged: in deploy form a row and a column of 11 cost less than one 11x11.
        self.large = nn.Sequential(
            depthwise_conv(quarter, (1, _STRIP)), depthwise_conv(quarter, (_STRIP, 1))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        as_it_is, small, medium, large = x.chunk(4, dim=1)
        filtered = (self.small(small), self.medium(medium), self.large(large))
        return torch.cat((as_it_is, *filtered), dim=1)


class CopyConv(nn.Module):
    """y = [dw3x3_2(x), dw7x7_2(x)]: halves height and width and doubles the channels.

    Maps (N, channels, H, W) to (N, 2 channels, ceil(H / 2), ceil(W / 2)).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.small = small_kernel(channels, 2)
        self.medium = medium_kernel(channels, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to (N, 2 channels, ceil(H / 2), ceil(W / 2))."""
        return torch.cat((self.small(x), self.medium(x)), dim=1)


class RepNeXtBlock(nn.Module):
    """y = x + bn(P(gelu(bn(P_2c(v))))), v = bn(chunkconv(x)).

    Maps (N, channels, H, W) to the same shape. Raises `ValueError` when the channels are no
    multiple of 4.
    """

    def __init__(self, channels: int, mlp_ratio: float = 2) -> None:
        super().__init__()
        if channels % 4:
            raise ValueError("the output channels must be a multiple of 4")
        self.mix = nn.Sequential(ChunkConv(channels), nn.BatchNorm2d(channels))
        self.feed_forward = _feed_forward(channels, mlp_ratio)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        # From x to the very end: unlike the downsampling's, the shortcut spans the mixing too.
        y: Tensor = x + self.feed_forward(self.mix(x))
        return y


class RepNeXtDownsampling(nn.Module):
    """y = v + bn(P(gelu(bn(P_2c(v))))), v = bn(copyconv(x)).

    Maps (N, channels, H, W) to (N, 2 channels, ceil(H / 2), ceil(W / 2)).
    """

    def __init__(self, channels: int, mlp_ratio: float = 2) -> None:
        super().__init__()
        self.mix = nn.Sequential(CopyConv(channels), nn.BatchNorm2d(2 * channels))
        self.feed_forward = _feed_forward(2 * channels, mlp_ratio)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to (N, 2 channels, ceil(H / 2), ceil(W / 2))."""
        mixed = self.mix(x)
        y: Tensor = mixed + self.feed_forward(mixed)
        return y


def _feed_forward(channels: int, mlp_ratio: float) -> nn.Sequential:
    # timm's pair of convolution and BN becomes one convolution in deploy form.
    hidden = inner_width(channels, mlp_ratio)
    return nn.Sequential(ConvNorm(channels, hidden), nn.GELU(), ConvNorm(hidden, channels))


@register_block(
    "RepNeXtBlock",
    family="reparam",
    year=2024,
    paper="2406.16004",
    source="written from the paper",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = x + bn(P(gelu(bn(P_2c(bn([x1, dw3x3(x2), dw7x7(x3), dw11x1(dw1x11(x4))]))))))",
    reparameterisable=True,
    aliases=("RepNeXt",),
    notes=(
        "RepNeXt-M3. In training 3x3 and 7x7 have branches beside them: 2x2 dilated, 1x3, 3x1; "
        "5x3, 3x5, 1x7 then 7x1, 1x5 then 5x1. The BN after them stays in deploy form. Before a "
        "block that strides: RepNeXt's downsampling, whose 3x3 and 7x7 copies double the channels, "
        "and a 1x1 convolution and BN if another number is asked for; before one that only changes "
        "channels: a 1x1 convolution and BN."
    ),
    knob="mlp_ratio",
)
def repnext_block(
    in_channels: int, out_channels: int, stride: int, position: Position, *, mlp_ratio: float = 2
) -> nn.Module:
    """Return RepNeXt's block; the position changes nothing.

    Raises `ValueError` when the output channels are no multiple of 4.
    """
    block = RepNeXtBlock(out_channels, mlp_ratio)
    downsampling = partial(_downsampling, mlp_ratio=mlp_ratio)
    return after_shape_change(block, in_channels, out_channels, stride, downsampling)


def _downsampling(in_channels: int, out_channels: int, mlp_ratio: float) -> nn.Module:
    downsampling = RepNeXtDownsampling(in_channels, mlp_ratio)
    if out_channels == 2 * in_channels:
        return downsampling
    return nn.Sequential(downsampling, conv_bn(2 * in_channels, out_channels))
