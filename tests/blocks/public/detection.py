"""Of detectors: cross-stage layers, pooling pyramids, slices, deformable kernels, fusion."""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import DeformConv2d


def conv(c1: int, c2: int, k: int = 1, s: int = 1, g: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(c1, c2, k, s, k // 2, groups=g, bias=False), nn.BatchNorm2d(c2), nn.SiLU()
    )


class CSPLayer(nn.Module):
    """open-mmlab/mmdetection, mmdet/models/layers/csp_layer.py: called by an adapter."""

    def __init__(self, c1: int, c2: int, n: int, shortcut: bool, g: int, e: float) -> None:
        super().__init__()
        hidden = int(c2 * e)
        self.short, self.main = conv(c1, hidden), conv(c1, hidden)
        self.blocks = nn.ModuleList(conv(hidden, hidden, 3, 1, g) for _ in range(n))
        self.join, self.shortcut = conv(2 * hidden, c2), shortcut

    def forward(self, x: Tensor) -> Tensor:
        main = self.main(x)
        for block in self.blocks:
            main = main + block(main) if self.shortcut else block(main)
        joined: Tensor = self.join(torch.cat([main, self.short(x)], 1))
        return joined


def csp(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    first = conv(in_channels, out_channels, 3, stride)
    return nn.Sequential(first, CSPLayer(out_channels, out_channels, 2, True, 1, 0.5))


class SPPBottleneck(nn.Module):
    """Megvii-BaseDetection/YOLOX, yolox/models/network_blocks.py: pools of several sizes."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        hidden = in_channels // 2
        self.reduce = conv(in_channels, hidden, 1, stride)
        self.pools = nn.ModuleList(nn.MaxPool2d(k, 1, k // 2) for k in (5, 9, 13))
        self.join = conv(hidden * 4, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.reduce(x)
        joined: Tensor = self.join(torch.cat([x, *(pool(x) for pool in self.pools)], 1))
        return joined


class Focus(nn.Module):
    """Megvii-BaseDetection/YOLOX, yolox/models/network_blocks.py: four slices of the image."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv = conv(in_channels * stride**2, out_channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        if self.stride == 2:
            x = functional.pad(x, (0, x.shape[-1] % 2, 0, x.shape[-2] % 2))
            rows = x[..., ::2, :], x[..., 1::2, :]
            x = torch.cat([part[..., start::2] for start in (0, 1) for part in rows], 1)
        focused: Tensor = self.conv(x)
        return focused


class RepBlock(nn.Module):
    """DingXiaoH/RepVGG, repvgg.py: two branches, merged in place."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.wide = nn.Conv2d(in_channels, out_channels, 3, stride, 1)
        self.thin = nn.Conv2d(in_channels, out_channels, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.wide(x)
        return functional.silu(y + self.thin(x) if hasattr(self, "thin") else y)

    def switch_to_deploy(self) -> None:
        self.wide.weight.add_(functional.pad(self.thin.weight, [1, 1, 1, 1]))
        assert self.wide.bias is not None
        assert self.thin.bias is not None
        self.wide.bias.add_(self.thin.bias)
        del self.thin


class Deformed(nn.Module):
    """pytorch/vision, torchvision/ops/deform_conv.py, with offsets that start at 0, as in DCN."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.offset = nn.Conv2d(in_channels, 18, 3, stride, 1)
        self.conv = DeformConv2d(in_channels, out_channels, 3, stride, 1)

    def forward(self, x: Tensor) -> Tensor:
        deformed: Tensor = self.conv(x, self.offset(x) * 0.1)
        return deformed.relu()


class WeightedFusion(nn.Module):
    """rwightman/efficientdet-pytorch, effdet/efficientdet.py: levels joined with learned weights.

    Its `fuse` takes the levels, so it is no merge.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.near = conv(in_channels, out_channels, 3, stride)
        self.far = nn.Sequential(nn.MaxPool2d(3, stride, 1), conv(in_channels, out_channels))
        self.edge_weights = nn.Parameter(torch.ones(2))

    def fuse(self, levels: list[Tensor]) -> Tensor:
        weights = self.edge_weights.relu()
        stacked = torch.stack(levels, -1) * weights / (weights.sum() + 1e-4)
        return stacked.sum(-1)

    def forward(self, x: Tensor) -> Tensor:
        return self.fuse([self.near(x), self.far(x)])
