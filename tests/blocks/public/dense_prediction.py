"""Of segmentation and super-resolution."""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint


class ASPP(nn.Module):
    """pytorch/vision, torchvision/models/segmentation/deeplabv3.py: dilated branches and a pool."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        width = out_channels // 4
        self.branches = nn.ModuleList(
            nn.Conv2d(in_channels, width, 3, stride, rate, rate, bias=False) for rate in (1, 2, 3)
        )
        self.pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(in_channels, width, 1))
        self.project = nn.Sequential(
            nn.Conv2d(4 * width, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
            nn.Dropout(0.1),
        )

    def forward(self, x: Tensor) -> Tensor:
        parts = [branch(x) for branch in self.branches]
        pooled = self.pooled(x)
        size = parts[0].shape[-2:]
        parts.append(functional.interpolate(pooled, size=size, mode="bilinear"))
        out: Tensor = self.project(torch.cat(parts, 1))
        return out


class PyramidPooling(nn.Module):
    """open-mmlab/mmsegmentation, mmseg/models/decode_heads/psp_head.py: pools, drawn up again."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(in_channels, out_channels, 3, stride, 1)
        self.levels = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(n), nn.Conv2d(out_channels, out_channels // 4, 1))
            for n in (1, 2, 3)
        )
        self.join = nn.Conv2d(out_channels + 3 * (out_channels // 4), out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.reduce(x)
        size = x.shape[-2:]
        drawn = [functional.interpolate(level(x), size, mode="nearest") for level in self.levels]
        out: Tensor = self.join(torch.cat([x, *drawn], 1))
        return out.relu()


class STDCModule(nn.Module):
    """MichaelFan01/STDC-Seg, nets/stdcnet.py: each layer half as wide as the last, all joined."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        widths = [out_channels // 2, out_channels // 4, out_channels // 8, out_channels // 8]
        froms = [in_channels, *widths[:-1]]
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(
                    a, b, 1 if i == 0 else 3, stride if i == 1 else 1, int(i > 0), bias=False
                ),
                nn.BatchNorm2d(b),
                nn.ReLU(),
            )
            for i, (a, b) in enumerate(zip(froms, widths, strict=True))
        )
        self.skip = nn.AvgPool2d(3, stride, 1)

    def forward(self, x: Tensor) -> Tensor:
        outputs = []
        for index, layer in enumerate(self.layers):
            x = layer(x)
            outputs.append(self.skip(x) if index == 0 else x)
        return torch.cat(outputs, 1)


class ResidualUnit(nn.Module):
    """Project-MONAI/MONAI, monai/networks/blocks/convolutions.py, with instance norm and PReLU."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, stride, 1),
            nn.InstanceNorm2d(out_channels),
            nn.PReLU(),
            nn.Conv2d(out_channels, out_channels, 3, 1, 1),
            nn.InstanceNorm2d(out_channels),
            nn.PReLU(),
        )
        self.skip = nn.Conv2d(in_channels, out_channels, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        # As MONAI's checkpointed variants do to save memory in training.
        body: Tensor = (
            checkpoint(self.body, x, use_reentrant=False) if self.training else self.body(x)
        )
        skip: Tensor = self.skip(x)
        return body + skip


class RCAB(nn.Module):
    """yulunzhang/RCAN, RCAN_TestCode/code/model/rcan.py; a stride asks for one more layer."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, **settings: Any) -> None:
        super().__init__()
        self.down = nn.Conv2d(in_channels, out_channels, 3, stride, 1, **settings)
        self.body = [nn.Conv2d(out_channels, out_channels, 3, 1, 1), nn.ReLU()]
        self.layers = nn.Sequential(*self.body, nn.Conv2d(out_channels, out_channels, 3, 1, 1))
        self.attention = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(out_channels, out_channels // 4, 1),
            nn.ReLU(),
            nn.Conv2d(out_channels // 4, out_channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.down(x)
        y: Tensor = self.layers(x)
        weights: Tensor = self.attention(y)
        return x + y * weights


class SubPixel(nn.Module):
    """pytorch/examples, super_resolution/model.py: pixels shuffled up, and pooled down again."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.expand = nn.Conv2d(in_channels, out_channels * 4, 3, 1, 1)
        self.shuffle = nn.PixelShuffle(2)
        self.down = nn.AvgPool2d(2 * stride, 2 * stride, ceil_mode=True)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.down(self.shuffle(self.expand(x)))
        return y.tanh()


class ECB(nn.Module):
    """xindongzhang/ECBSR, models/ecb.py: a branch with a fixed Sobel kernel and a learned scale."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride, 1)
        self.mix = nn.Conv2d(in_channels, out_channels, 1)
        sobel = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]])
        self.mask = nn.Parameter(sobel.repeat(out_channels, 1, 1, 1), requires_grad=False)
        self.scale = nn.Parameter(torch.full((out_channels, 1, 1, 1), 0.1))
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        mixed: Tensor = self.mix(x)
        kernel = self.mask * self.scale
        edges = functional.conv2d(mixed, kernel, None, self.stride, 1, groups=len(kernel))
        y: Tensor = self.conv(x)
        return (y + edges).relu()


class _LayerNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        mean, variance = x.mean(1, keepdim=True), x.var(1, keepdim=True, unbiased=False)
        inverse = (variance + 1e-6).rsqrt()
        y = (x - mean) * inverse
        ctx.save_for_backward(y, inverse, weight)
        return y * weight.view(1, -1, 1, 1)

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, Tensor]:
        (grad,) = outer
        y, inverse, weight = ctx.saved_tensors
        inner = grad * weight.view(1, -1, 1, 1)
        centred = inner - inner.mean(1, keepdim=True) - y * (inner * y).mean(1, keepdim=True)
        return centred * inverse, (grad * y).sum((0, 2, 3))


class NAFBlock(nn.Module):
    """megvii-research/NAFNet, basicsr/models/archs/NAFNet_arch.py: gates, and a norm of its own."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(in_channels, out_channels, 2 * stride - 1, stride, stride - 1)
        self.weight = nn.Parameter(torch.ones(out_channels))
        self.expand = nn.Conv2d(out_channels, 2 * out_channels, 1)
        self.depthwise = nn.Conv2d(
            2 * out_channels, 2 * out_channels, 3, 1, 1, groups=2 * out_channels
        )
        self.project = nn.Conv2d(out_channels, out_channels, 1)
        self.beta = nn.Parameter(torch.zeros(1, out_channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.down(x)
        normed: Tensor = _LayerNorm.apply(x, self.weight)
        first, second = self.depthwise(self.expand(normed)).chunk(2, 1)
        gated: Tensor = self.project(first * second)
        return x + gated * self.beta


class DenseResidual(nn.Module):
    """xinntao/ESRGAN, RRDBNet_arch.py: growing inputs, and a residual scaled by a constant."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        growth = out_channels // 4
        self.first = nn.Conv2d(in_channels, out_channels, 3, stride, 1)
        for index in range(3):
            setattr(self, f"conv{index}", nn.Conv2d(out_channels + index * growth, growth, 3, 1, 1))
        self.last = nn.Conv2d(out_channels + 3 * growth, out_channels, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        kept = [x]
        for index in range(3):
            kept.append(
                functional.leaky_relu(getattr(self, f"conv{index}")(torch.cat(kept, 1)), 0.2)
            )
        last: Tensor = self.last(torch.cat(kept, 1))
        return last * 0.2 + x
