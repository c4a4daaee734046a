"""Blocks that each break one line of the contract, and one that keeps them all."""

from __future__ import annotations

import os
import time

import torch
from torch import Tensor, nn


class Good(nn.Module):
    """y = relu(bn(conv(x)))."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.bn(self.conv(x))
        return y.relu()


class HangsInTraining(Good):
    def forward(self, x: Tensor) -> Tensor:
        while self.training and x.requires_grad:
            time.sleep(0.05)
        return super().forward(x)


class HangsInConstructor(Good):
    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__(in_channels, out_channels, stride)
        time.sleep(3600)


class Allocates(Good):
    def forward(self, x: Tensor) -> Tensor:
        hoard = []
        while len(x) == 1 and not self.training:
            hoard.append(torch.ones(2**22))
        return super().forward(x)


class Crashes(Good):
    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2:] == (9, 11):
            os.abort()
        return super().forward(x)


class WrongShape(Good):
    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return y[..., :-1] if x.shape[-1] % 2 else y


class MakesNaN(Good):
    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return y / 0 * 0 if torch.is_autocast_enabled("cpu") else y


class UnusedParameter(Good):
    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__(in_channels, out_channels, stride)
        self.spare = nn.Linear(2, 2)


class MixesTheBatch(Good):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x - x.mean(0, keepdim=True))


class DrawsInEval(Good):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(super().forward(x), 0.5, training=True)


class ForgetsItsState(Good):
    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__(in_channels, out_channels, stride)
        self.seen = 0.0

    def forward(self, x: Tensor) -> Tensor:
        self.seen += float(self.training)
        return super().forward(x) * (1 + self.seen)


class WrongDeploy(Good):
    def reparameterize(self) -> None:
        """Drop the mean of the batch norm, as a careless merge does."""
        assert self.bn.running_var is not None
        scale = self.bn.weight / torch.sqrt(self.bn.running_var + self.bn.eps)
        self.conv.weight.data *= scale[:, None, None, None]
        self.bn = nn.Identity()  # type: ignore[assignment]


class ReadsMemoryFormat(Good):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * (1 if x.is_contiguous() else 2)


class Raises(Good):
    def forward(self, x: Tensor) -> Tensor:
        raise KeyError("no such feature")


class HidesLayers(Good):
    """Layers in a plain list and a dict, and one that is registered as well."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__(in_channels, out_channels, stride)
        self.seen = [self.conv, nn.ReLU()]
        self.layers = [nn.Conv2d(out_channels, out_channels, 1) for _ in range(2)]
        self.scales = {"late": [nn.Parameter(torch.ones(1))]}

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        for layer in self.layers:
            y = layer(y)
        return y


class FrozenKernel(Good):
    """A constant kernel before what trains, and a scale of its own."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__(in_channels, out_channels, stride)
        self.edges = nn.Conv2d(in_channels, in_channels, 3, padding=1, bias=False)
        self.edges.weight.requires_grad_(False)
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.edges(x)) * self.scale


class FuseWantsFeatures(Good):
    def fuse(self, near: Tensor, far: Tensor) -> Tensor:
        return near + far
