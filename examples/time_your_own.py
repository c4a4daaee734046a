"""Time two modules of your own against each other: a full and a depthwise separable convolution."""

import torch
from torch import nn

from blockzoo import RunWay, benchmark_modules


class Separable(nn.Module):
    """A depthwise 3x3 and a pointwise convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.pointwise = nn.Conv2d(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix positions, then channels; (N, C, H, W) to the same."""
        mixed: torch.Tensor = self.pointwise(self.depthwise(x))
        return mixed


results = benchmark_modules(
    {"full": nn.Conv2d(64, 64, 3, padding=1), "separable": Separable(64)},
    torch.randn(1, 64, 32, 32),
    baseline="full",
    way=RunWay(device="cpu"),
    quick=True,
)
for name, result in results.items():
    print(f"{name}: {result}")
