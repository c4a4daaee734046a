"""Changes what all share as it is loaded."""

import torch
from torch import nn

torch.set_default_dtype(torch.float64)
nn.ReLU = nn.Identity  # type: ignore[misc, assignment]


class Patched(nn.Sequential):
    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__(nn.Conv2d(in_channels, out_channels, 3, stride, 1))
