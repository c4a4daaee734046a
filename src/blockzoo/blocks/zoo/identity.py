"""Identity: no parameters and no multiplications, for contexts that add nothing of their own."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from blockzoo.blocks.registry import register_block
from blockzoo.core.position import Position


@register_block(
    "Identity",
    family="plain",
    year=2015,
    paper="1512.03385",
    source="written here",
    licence="Apache-2.0",
    evidence="counts",
    formula="y = pad(avgpool_s(x)), y = x where the shape stays",
    notes="The parameter-free shortcut (option A) of ResNet, with average pooling for the stride.",
)
class Identity(nn.Module):
    """y = pad(avgpool_s(x)): average pooling for the stride, zero channels after those of x.

    Maps (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride)); at an odd
    border the mean is over the pixels that are there. Raises `ValueError` when channels would have
    to be dropped.
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, position: Position
    ) -> None:
        super().__init__()
        if out_channels < in_channels:
            raise ValueError("Identity adds channels but never drops any: out must be in or more")
        self.stride = stride
        self.added_channels = out_channels - in_channels

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride))."""
        if self.stride > 1:
            # `ceil_mode` keeps the last row and column of an odd size, as strided convolutions do.
            x = F.avg_pool2d(x, self.stride, ceil_mode=True)
        if self.added_channels:
            # `pad` counts from the last dimension: width, height, then channels, at their end.
            x = F.pad(x, (0, 0, 0, 0, 0, self.added_channels))
        return x
