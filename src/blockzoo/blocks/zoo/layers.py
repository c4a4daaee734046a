"""Layers that several families of blocks share."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from timm.layers.norm import LayerNorm2d
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def conv_bn(
    in_channels: int,
    out_channels: int,
    kernel_size: int | tuple[int, int] = 1,
    *,
    stride: int | tuple[int, int] = 1,
    dilation: int = 1,
    groups: int = 1,
    activation: nn.Module | None = None,
) -> nn.Sequential:
    """Return convolution without bias, BN and, where one is given, the activation.

    The padding is half the (odd) kernel as dilated, so (N, C, H, W) becomes
    (N, out_channels, ceil(H / stride), ceil(W / stride)).
    """
    height, width = (kernel_size,) * 2 if isinstance(kernel_size, int) else kernel_size
    conv = nn.Conv2d(
        in_channels,
        out_channels,
        (height, width),
        stride=stride,
        padding=(height // 2 * dilation, width // 2 * dilation),
        dilation=dilation,
        groups=groups,
        bias=False,  # the normalisation that follows would take it out again
    )
    layers = [conv, nn.BatchNorm2d(out_channels)]
    return nn.Sequential(*layers, *([] if activation is None else [activation]))


def depthwise_conv(
    channels: int,
    kernel_size: int | tuple[int, int],
    *,
    stride: int | tuple[int, int] = 1,
    dilation: int = 1,
    bias: bool = True,
) -> nn.Conv2d:
    """Return a depthwise convolution padded by half of what its kernel spans.

    That span must be odd. Maps (N, channels, H, W) to (N, channels, ceil(H / stride),
    ceil(W / stride)).
    """
    height, width = (kernel_size,) * 2 if isinstance(kernel_size, int) else kernel_size
    return nn.Conv2d(
        channels,
        channels,
        (height, width),
        stride=stride,
        padding=(dilation * (height - 1) // 2, dilation * (width - 1) // 2),
        dilation=dilation,
        groups=channels,
        bias=bias,
    )


def set_norm_constants(block: nn.Module, *, eps: float, momentum: float | None = None) -> nn.Module:
    """Give every normalisation of the block `eps`, every batch norm `momentum`; return the block.

    None leaves the momentum as it is.

    >>> norm = set_norm_constants(nn.BatchNorm2d(8), eps=1e-3, momentum=0.01)
    >>> norm.eps, norm.momentum
    (0.001, 0.01)
    """
    for layer in block.modules():
        if isinstance(layer, (_BatchNorm, nn.LayerNorm)):
            layer.eps = eps
        if isinstance(layer, _BatchNorm) and momentum is not None:
            layer.momentum = momentum
    return block


def after_downsampling(downsampling: nn.Module | None, block: nn.Module) -> nn.Module:
    """Return the block, with the downsampling before it where there is one."""
    return block if downsampling is None else nn.Sequential(downsampling, block)


def projection(in_channels: int, out_channels: int, stride: int = 1) -> nn.Module | None:
    """Return a 1x1 convolution and BN where the shape changes, else None.

    >>> projection(8, 8) is None, projection(8, 16, stride=2)[0].stride
    (True, (2, 2))
    """
    if stride == 1 and in_channels == out_channels:
        return None
    return conv_bn(in_channels, out_channels, stride=stride)


class PadToEven(nn.Module):
    """Pad an odd height or width by `value`, one row below or one column at the right.

    Then 2x2 windows with stride 2 cover every pixel, and (N, C, H, W) ends as ceil(H / 2) x
    ceil(W / 2). Even sizes pass unchanged.
    """

    def __init__(self, value: float = 0.0) -> None:
        super().__init__()
        self.value = value

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, H + H % 2, W + W % 2)."""
        height, width = x.shape[-2:]
        if height % 2 == 0 and width % 2 == 0:
            return x
        # Below and at the right, so that windows start at the first pixel whatever the size.
        return F.pad(x, (0, width % 2, 0, height % 2), value=self.value)


def overlapping_max_pool() -> nn.Sequential:
    """Return the 3x3 max pool with stride 2 of SqueezeNet and GoogLeNet, for any size.

    Its windows start at the first pixel, and the border may cut off the last ones. Maps
    (N, C, H, W) to (N, C, ceil(H / 2), ceil(W / 2)).
    """
    # Padded by -inf, which is never the maximum; `ceil_mode` keeps the last, cut window.
    return nn.Sequential(PadToEven(-math.inf), nn.MaxPool2d(3, 2, ceil_mode=True))


def patch_conv(in_channels: int, out_channels: int, *, bias: bool = True) -> nn.Sequential:
    """Return a 2x2 convolution with stride 2 that also takes odd sizes.

    >>> patch_conv(8, 16)(torch.zeros(1, 8, 5, 4)).shape
    torch.Size([1, 16, 3, 2])
    """
    return nn.Sequential(PadToEven(), nn.Conv2d(in_channels, out_channels, 2, 2, bias=bias))


def convnext_downsampling(in_channels: int, out_channels: int) -> nn.Module:
    """Return ConvNeXt's layer normalisation and 2x2 convolution with stride 2."""
    return nn.Sequential(LayerNorm2d(in_channels), *patch_conv(in_channels, out_channels))


def after_shape_change(
    block: nn.Module,
    in_channels: int,
    out_channels: int,
    stride: int,
    downsampling: Callable[[int, int], nn.Module],
) -> nn.Module:
    """Return a block that keeps its shape, with what changes the shape before it.

    Where the block strides that is the paper's own `downsampling(in_channels, out_channels)`, which
    halves height and width; where only the channels change, a 1x1 convolution and BN.
    """
    arguments = in_channels, out_channels
    return after_downsampling(
        downsampling(*arguments) if stride == 2 else projection(*arguments), block
    )


class ChannelsLast(nn.Module):
    """y = block(x) for a block that wants (N, H, W, C); maps (N, C, H, W) to (N, C', H', W')."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        """Permute to (N, H, W, C), apply the block, permute back."""
        # Linear layers and layer norms of torch work on the last dimension.
        y: Tensor = self.block(x.permute(0, 2, 3, 1))
        return y.permute(0, 3, 1, 2)


class ScaledResidual(nn.Module):
    """y = x + gamma * branch(x), with one learned gamma per channel that starts at `scale`.

    Maps (N, channels, H, W) to the same shape, as `branch` must.
    """

    def __init__(self, branch: nn.Module, channels: int, scale: float) -> None:
        super().__init__()
        self.branch = branch
        # Shaped (channels, 1, 1), so that it spreads over height and width.
        self.gamma = nn.Parameter(torch.full((channels, 1, 1), scale))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        y: Tensor = x + self.gamma * self.branch(x)
        return y


class Residual(nn.Module):
    """y = x + branch(x), the branch being all `layers` one after the other.

    Maps (N, channels, H, W) to the same shape, as the branch must.
    """

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.branch = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        y: Tensor = x + self.branch(x)
        return y


class ResidualReLU(nn.Module):
    """y = relu(branch(x) + shortcut(x)), the shortcut being x itself where none is given."""

    def __init__(self, branch: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.branch = branch
        self.shortcut = nn.Identity() if shortcut is None else shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the shape that the branch and the shortcut share."""
        return F.relu(self.branch(x) + self.shortcut(x))


class Concat(nn.ModuleList):
    """y = the outputs of all its branches on x, one after the other along the channels."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the sum of the branches' channels."""
        return torch.cat([branch(x) for branch in self], dim=1)
