"""RecNeXt: one small kernel at ever smaller scales, and back up (Zhao et al., 2412.19628)."""

from __future__ import annotations

import math
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from blockzoo.blocks.registry import register_block
from blockzoo.blocks.zoo.layers import after_shape_change, conv_bn
from blockzoo.blocks.zoo.widths import inner_width
from blockzoo.core.position import Position

_KERNEL_SIZE = 5
# RecNeXt has 4, 3, 2, 1 in its four stages; the positions here follow the first three.
_LEVELS = {Position.EARLY: 4, Position.MID: 3, Position.LATE: 2}


class RecursiveConv(nn.Module):
    """y = c_0(x + up(c_1(d(x) + up(c_2(d(d(x)) + ..))))), all depthwise 5x5.

    d strides by 2 and is one for all `levels`, each of which has its own c; `up` is bilinear. Maps
    (N, channels, H, W) to the same shape.
    """

    def __init__(self, channels: int, levels: int) -> None:
        super().__init__()
        self.down = _depthwise(channels, stride=2)
        # From the smallest scale to that of the input.
        self.convs = nn.ModuleList(_depthwise(channels) for _ in range(levels + 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        scales = [x]
        for _ in self.convs[1:]:
            scales.append(self.down(scales[-1]))
        y: Tensor = self.convs[0](scales[-1])
        for conv, scale in zip(self.convs[1:], reversed(scales[:-1]), strict=True):
            y = conv(scale + F.interpolate(y, size=scale.shape[2:], mode="bilinear"))
        return y


def _depthwise(channels: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(
        channels, channels, _KERNEL_SIZE, stride, _KERNEL_SIZE // 2, groups=channels, bias=False
    )


def recnext_mlp(channels: int, mlp_ratio: float) -> nn.Sequential:
    """Return bn(P(gelu(bn(P_ec(x))))); maps (N, channels, H, W) to the same shape."""
    hidden = inner_width(channels, mlp_ratio)
    return nn.Sequential(conv_bn(channels, hidden, activation=nn.GELU()), conv_bn(hidden, channels))


class RecNeXtBlock(nn.Module):
    """y = x + mlp(bn(recursive(x))); maps (N, channels, H, W) to the same shape."""

    def __init__(self, channels: int, levels: int, mlp_ratio: float = 2) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            RecursiveConv(channels, levels),
            nn.BatchNorm2d(channels),
            recnext_mlp(channels, mlp_ratio),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        y: Tensor = x + self.branch(x)
        return y


class RecNeXtDownsampling(nn.Module):
    """y = u + mlp(u), u = bn(conv7x7_2(x)), in as many groups as both widths allow.

    Maps (N, in_channels, H, W) to (N, out_channels, ceil(H / 2), ceil(W / 2)).
    """

    def __init__(self, in_channels: int, out_channels: int, mlp_ratio: float = 2) -> None:
        super().__init__()
        # Depthwise where the width doubles, as it does in RecNeXt.
        groups = math.gcd(in_channels, out_channels)
        conv = nn.Conv2d(in_channels, out_channels, 7, stride=2, padding=3, groups=groups)
        self.mix = nn.Sequential(conv, nn.BatchNorm2d(out_channels))
        self.mlp = recnext_mlp(out_channels, mlp_ratio)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, ceil(H / 2), ceil(W / 2))."""
        mixed = self.mix(x)
        y: Tensor = mixed + self.mlp(mixed)
        return y


@register_block(
    "RecNeXtRecConv",
    family="large-kernel",
    year=2024,
    paper="2412.19628",
    source="written from the paper",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = x + P(gelu(P_2c(bn(rec(x))))), rec = c(x + up(c(d(x) + up(..)))), P = bn conv1x1",
    aliases=("RecNeXt", "RecConv"),
    notes=(
        "RecNeXt-M's recursive convolution, 4/3/2 levels of depthwise 5x5 kernels c and d, d one "
        "for all levels and striding by 2; up is bilinear. Before a block that strides: a grouped "
        "7x7 convolution, BN, and an MLP of ratio 2 with a shortcut; before one that only changes "
        "channels: a 1x1 convolution and BN."
    ),
    knob="mlp_ratio",
)
def recnext_recconv(
    in_channels: int, out_channels: int, stride: int, position: Position, *, mlp_ratio: float = 2
) -> nn.Module:
    """Return RecNeXt's block (Zhao et al., arXiv 2412.19628)."""
    block = RecNeXtBlock(out_channels, _LEVELS[position], mlp_ratio)
    downsampling = partial(RecNeXtDownsampling, mlp_ratio=mlp_ratio)
    return after_shape_change(block, in_channels, out_channels, stride, downsampling)
