"""Deformable convolution, version 3: InternImage (Wang et al., arXiv 2211.05778)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from timm.layers.norm import LayerNorm2d
from torch import Tensor, nn

from blockzoo.blocks.registry import register_block
from blockzoo.blocks.zoo.layers import ChannelsLast, after_shape_change
from blockzoo.blocks.zoo.widths import inner_width
from blockzoo.core.position import Position

# InternImage-T's: 64 channels in 4 groups.
_GROUP_WIDTH = 16
_KERNEL_SIZE = 3
_NORM_EPS = 1e-6


class DCNv3(nn.Module):
    """y[g, p] = P(sum over k of m[k, g, p] * v[g, p + k + d[k, g, p]]), v = P(x), P = linear.

    The displacements d and the masks m, a softmax over the nine points, come from a depthwise
    convolution of x; fractional positions are interpolated, and outside the image is zero. Maps
    (N, H, W, channels) to the same shape; `channels` must be a multiple of `groups`.
    """

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.groups = groups
        points = _KERNEL_SIZE**2
        # The depthwise half of two separable convolutions: displacements and masks share it.
        self.local = nn.Conv2d(
            channels, channels, _KERNEL_SIZE, padding=_KERNEL_SIZE // 2, groups=channels
        )
        self.norm = nn.LayerNorm(channels, eps=_NORM_EPS)
        self.act = nn.GELU()
        self.displacement = nn.Linear(channels, groups * points * 2)
        self.mask = nn.Linear(channels, groups * points)
        self.enter = nn.Linear(channels, channels)
        self.leave = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, H, W, channels) to the same shape."""
        local = self.local(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        features = self.act(self.norm(local))
        displacement, mask = self.displacement(features), self.mask(features)
        # Half precision would round positions by a good part of a pixel.
        y = self._gather(self.enter(x).float(), displacement.float(), mask.float())
        moved: Tensor = self.leave(y.to(x.dtype))
        return moved

    def _gather(self, values: Tensor, displacement: Tensor, mask: Tensor) -> Tensor:
        """Sum the nine displaced points of every position and group, each with its mask."""
        batch, height, width, channels = values.shape
        groups, size, points = batch * self.groups, (height, width), _KERNEL_SIZE**2
        # Each group is an image of its own, because `grid_sample` moves all channels alike.
        images = values.permute(0, 3, 1, 2).reshape(groups, -1, *size)
        moves = displacement.permute(0, 3, 1, 2).reshape(groups, points, 2, *size)
        shares = mask.permute(0, 3, 1, 2).reshape(groups, 1, points, *size).softmax(2)
        # The nine points become nine times the rows: an image has one grid.
        grid = self._positions(moves).flatten(1, 2)
        sampled = F.grid_sample(images, grid, align_corners=False)
        y = (sampled.reshape(groups, -1, points, *size) * shares).sum(2)
        return y.reshape(batch, channels, *size).permute(0, 2, 3, 1)

    @staticmethod
    def _positions(points: Tensor) -> Tensor:
        """Map displacements (M, 9, 2, H, W), y first, to positions (M, 9, H, W, 2), x first.

        In the unit of `grid_sample`: -1 and 1 are the borders of the image.
        """
        height, width = points.shape[-2:]
        rows, columns = (
            torch.arange(size, device=points.device, dtype=points.dtype) for size in (height, width)
        )
        reach = _KERNEL_SIZE // 2
        steps = torch.arange(-reach, reach + 1, device=points.device, dtype=points.dtype)
        # The nine points row by row: y changes slowest.
        dy = steps.repeat_interleave(_KERNEL_SIZE)[:, None, None]
        dx = steps.repeat(_KERNEL_SIZE)[:, None, None]
        y = points[:, :, 0] + dy + rows[:, None]
        x = points[:, :, 1] + dx + columns
        # Pixel centres lie half a pixel inside the border, as `align_corners=False` has it.
        return torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], dim=-1)


class InternBlock(nn.Module):
    """z = x + dcn(ln(x)), y = z + linear(gelu(linear_4c(ln(z)))); keeps (N, H, W, channels)."""

    def __init__(self, channels: int, groups: int, mlp_ratio: float = 4) -> None:
        super().__init__()
        self.spatial = nn.Sequential(nn.LayerNorm(channels, eps=_NORM_EPS), DCNv3(channels, groups))
        hidden = inner_width(channels, mlp_ratio)
        self.mlp = nn.Sequential(
            nn.LayerNorm(channels, eps=_NORM_EPS),
            nn.Linear(channels, hidden),
            nn.GELU(),
            nn.Linear(hidden, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, H, W, channels) to the same shape."""
        z = x + self.spatial(x)
        y: Tensor = z + self.mlp(z)
        return y


@register_block(
    "InternImageDCNv3",
    family="dynamic",
    year=2022,
    paper="2211.05778",
    source="written from the paper",
    licence="Apache-2.0",
    evidence="official code",
    formula="z = x + dcn3x3(ln(x)), y = z + linear(gelu(linear_4c(ln(z))))",
    aliases=("DCNv3", "InternImage"),
    notes=(
        "InternImage-T: a group for every 16 channels (or for the largest divisor of 16 that "
        "divides them), MLP ratio 4, no layer scale. Displacements start near zero, not at zero. "
        "Not counted: sampling, 9 points of 4 neighbours for each value. Before a block that "
        "strides: a 3x3 convolution and layer normalisation. All layer norms have the authors' "
        "eps 1e-6."
    ),
    knob="mlp_ratio",
)
def internimage_dcnv3(
    in_channels: int, out_channels: int, stride: int, position: Position, *, mlp_ratio: float = 4
) -> nn.Module:
    """Return InternImage's block; it keeps its shape and works on (N, H, W, C) inside."""
    groups = out_channels // math.gcd(out_channels, _GROUP_WIDTH)
    block = ChannelsLast(InternBlock(out_channels, groups, mlp_ratio))
    return after_shape_change(block, in_channels, out_channels, stride, _downsampling)


def _downsampling(in_channels: int, out_channels: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1, bias=False),
        LayerNorm2d(out_channels, eps=_NORM_EPS),
    )
