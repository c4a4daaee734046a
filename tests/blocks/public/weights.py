"""Weights that are not what a layer holds: quantised, binary, turned, standardised, mirrored."""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations, parametrize


class _Round(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.round()

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> Tensor:
        return outer[0]


class LearnedStep(nn.Module):
    """zhutmost/lsq-net, quan/quantizer/lsq.py: steps learned through a rounding that passes on."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        self.weight_step, self.input_step = (nn.Parameter(torch.tensor(0.05)) for _ in range(2))

    def _quantised(self, x: Tensor, step: Tensor) -> Tensor:
        levels: Tensor = _Round.apply((x / step).clamp(-8, 7))
        return levels * step

    def forward(self, x: Tensor) -> Tensor:
        weight = self._quantised(self.conv.weight, self.weight_step)
        y = functional.conv2d(
            self._quantised(x, self.input_step), weight, None, self.conv.stride, 1
        )
        normed: Tensor = self.norm(y)
        return normed.relu()


class _Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.where(x >= 0, 1.0, -1.0)

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return outer[0] * (x.abs() <= 1)


class Binary(nn.Module):
    """liuzechun/ReActNet, mobilenet/2_step2/reactnet.py: signs of inputs and weights, scaled."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(1, in_channels, 1, 1))
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3) * 0.01)
        self.norm, self.stride = nn.BatchNorm2d(out_channels), stride

    def forward(self, x: Tensor) -> Tensor:
        signs: Tensor = _Sign.apply(x + self.shift)
        scale = self.weight.detach().abs().mean((1, 2, 3), keepdim=True)
        kernel: Tensor = _Sign.apply(self.weight)
        normed: Tensor = self.norm(functional.conv2d(signs, kernel * scale, None, self.stride, 1))
        return functional.prelu(normed, normed.new_full((1,), 0.25))


class RotatedKernels(nn.Module):
    """tscohen/GrouPy, groupy/gconv/pytorch_gconv/splitgconv2d.py: a kernel in four turns."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3) * 0.05)
        self.bias, self.stride = nn.Parameter(torch.zeros(out_channels)), stride

    def forward(self, x: Tensor) -> Tensor:
        turned = torch.cat([torch.rot90(self.weight, turn, (2, 3)) for turn in range(4)])
        y = functional.conv2d(x, turned, self.bias.repeat(4), self.stride, 1)
        return y.view(len(x), 4, -1, *y.shape[-2:]).amax(1).relu()


class _Mirrored(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return (weight + weight.flip(-1)) / 2


class MirrorSymmetric(nn.Module):
    """pytorch/pytorch, torch/nn/utils/parametrize.py: kernels that look alike from both sides."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride, 1)
        parametrize.register_parametrization(self.conv, "weight", _Mirrored())

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return y.relu()


class StandardisedConv(nn.Conv2d):
    """joe-siyuan-qiao/WeightStandardization, README.md: kernels that have no mean."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__(in_channels, out_channels, 3, stride, 1)
        self.group_norm = nn.GroupNorm(max(out_channels // 8, 1), out_channels)

    def forward(self, x: Tensor) -> Tensor:
        deviation, mean = torch.std_mean(self.weight, (1, 2, 3), keepdim=True)
        weight = (self.weight - mean) / (deviation + 1e-5)
        y: Tensor = self.group_norm(functional.conv2d(x, weight, self.bias, self.stride, 1))
        return y.relu()


class SpectralNormed(nn.Module):
    """pytorch/pytorch, torch/nn/utils/parametrizations.py, as generators of images use it."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv = parametrizations.spectral_norm(
            nn.Conv2d(in_channels, out_channels, 3, stride, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return functional.leaky_relu(y, 0.2)


class CoordinateConv(nn.Module):
    """uber-research/CoordConv, CoordConv.py (arXiv 1807.03247), with the grid kept by size."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels + 2, out_channels, 3, stride, 1)
        self.grids: dict[tuple[int, int], Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        h, w = x.shape[-2:]
        if (h, w) not in self.grids:
            rows, columns = (torch.linspace(-1, 1, n, device=x.device) for n in (h, w))
            self.grids[h, w] = torch.stack(torch.meshgrid(rows, columns, indexing="ij"))
        grid = self.grids[h, w].to(x).expand(len(x), -1, -1, -1)
        y: Tensor = self.conv(torch.cat([x, grid], 1))
        return y.relu()
