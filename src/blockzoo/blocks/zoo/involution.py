"""Involution, a kernel for every position and shared by channels: RedNet (arXiv 2103.06255)."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

from blockzoo.blocks.registry import register_block
from blockzoo.blocks.zoo.layers import ResidualReLU, conv_bn, projection
from blockzoo.blocks.zoo.widths import inner_width
from blockzoo.core.position import Position

_KERNEL_SIZE = 7
_GROUP_WIDTH = 16
_REDUCTION = 4


class Involution(nn.Module):
    """y[c, p] = sum over k of w[k, g(c), p] * x[c, p + k], w = conv1x1(relu(bn(conv1x1(pool(x))))).

    The kernel at p is made from the features at p and shared by the channels of a group: sixteen,
    or the largest divisor of sixteen that divides the channels, unless the number of `groups` is
    given. Maps (N, channels, H, W) to (N, channels, ceil(H / stride), ceil(W / stride));
    `kernel_size` is odd.
    """

    def __init__(
        self, channels: int, kernel_size: int, stride: int = 1, *, groups: int | None = None
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride = kernel_size, stride
        self.groups = groups or channels // math.gcd(channels, _GROUP_WIDTH)
        squeezed = max(1, channels // _REDUCTION)
        self.kernels = nn.Sequential(
            # Kernels are made at the output's resolution, one for each output pixel.
            nn.AvgPool2d(stride, stride, ceil_mode=True) if stride > 1 else nn.Identity(),
            conv_bn(channels, squeezed, activation=nn.ReLU()),
            # Used as they are: involution has no softmax over the positions of a kernel.
            nn.Conv2d(squeezed, self.groups * kernel_size**2, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to (N, channels, ceil(H / stride), ceil(W / stride))."""
        kernels = self.kernels(x)
        batch, _, height, width = kernels.shape
        # Each pixel's neighbourhood laid out, so that a different kernel can be applied to each.
        patches = F.unfold(
            x, self.kernel_size, padding=self.kernel_size // 2, stride=self.stride
        ).reshape(batch, self.groups, -1, self.kernel_size**2, height, width)
        y = patches * kernels.reshape(batch, self.groups, 1, -1, height, width)
        summed: Tensor = y.sum(dim=3)
        return summed.reshape(batch, -1, height, width)


@register_block(
    "RedNetInvolution",
    family="dynamic",
    year=2021,
    paper="2103.06255",
    source="written from the paper",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = relu(P(relu(bn(involution7x7_s(relu(P(x)))))) + shortcut(x)), P = bn conv1x1",
    aliases=("Involution", "RedNet"),
    notes=(
        "A quarter of the output channels inside, sixteen channels to a kernel, reduction 4; "
        "shortcut option B. No counter sees the aggregation: 49 x inner channels x H x W more "
        "multiply-accumulates."
    ),
    knob="width_ratio",
)
def rednet_involution(
    in_channels: int,
    out_channels: int,
    stride: int,
    position: Position,
    *,
    width_ratio: float = 0.25,
) -> nn.Module:
    """Return RedNet's bottleneck; `ValueError` when out_channels is no multiple of 4."""
    if out_channels % 4:
        raise ValueError("the output channels must be a multiple of 4")
    published = out_channels // 4
    # As many kernels whatever the width, each for more or fewer channels.
    groups = published // math.gcd(published, _GROUP_WIDTH)
    inner = inner_width(out_channels, width_ratio, multiple=groups)
    branch = nn.Sequential(
        conv_bn(in_channels, inner, activation=nn.ReLU()),
        # In the place of ResNet's 3x3, with the stride on it.
        Involution(inner, _KERNEL_SIZE, stride, groups=groups),
        nn.BatchNorm2d(inner),
        nn.ReLU(),
        conv_bn(inner, out_channels),
    )
    return ResidualReLU(branch, projection(in_channels, out_channels, stride))
