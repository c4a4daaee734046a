"""Layers that several families of blocks share."""

from __future__ import annotations

from torch import nn


def conv_bn(
    in_channels: int,
    out_channels: int,
    kernel_size: int | tuple[int, int] = 1,
    *,
    stride: int | tuple[int, int] = 1,
    groups: int = 1,
    activation: nn.Module | None = None,
) -> nn.Sequential:
    """Return convolution without bias, BN and, where one is given, the activation.

    The padding is half the (odd) kernel, so (N, C, H, W) becomes
    (N, out_channels, ceil(H / stride), ceil(W / stride)).
    """
    height, width = (kernel_size,) * 2 if isinstance(kernel_size, int) else kernel_size
    conv = nn.Conv2d(
        in_channels,
        out_channels,
        (height, width),
        stride=stride,
        padding=(height // 2, width // 2),
        groups=groups,
        bias=False,
    )
    layers = [conv, nn.BatchNorm2d(out_channels)]
    return nn.Sequential(*layers, *([] if activation is None else [activation]))


def after_downsampling(downsampling: nn.Module | None, block: nn.Module) -> nn.Module:
    """Return the block, with the downsampling before it where there is one."""
    return block if downsampling is None else nn.Sequential(downsampling, block)
