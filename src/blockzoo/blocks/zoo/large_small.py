"""LSNet: a large kernel sees where small kernels act (Wang et al., arXiv 2503.23135)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from blockzoo.blocks.registry import register_block
from blockzoo.blocks.zoo.layers import Residual, after_shape_change, conv_bn
from blockzoo.blocks.zoo.widths import inner_width
from blockzoo.core.position import Position

_LARGE, _SMALL = 7, 3
# So many channels share a kernel.
_SHARING = 8


class LargeKernelPerception(nn.Module):
    """w = gn(conv1x1(relu(P(D(relu(P_c/2(x))))))), D = bn dw7x7, P = bn conv1x1.

    Maps (N, channels, H, W) to (N, kernels * 9, H, W): nine weights for each pixel and kernel, one
    kernel for eight channels; `channels` must be a multiple of 8.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        half, kernels = channels // 2, channels // _SHARING
        weights = kernels * _SMALL**2
        self.layers = nn.Sequential(
            conv_bn(channels, half, activation=nn.ReLU()),
            conv_bn(half, half, _LARGE, groups=half),
            conv_bn(half, half, activation=nn.ReLU()),
            nn.Conv2d(half, weights, 1),
            # The nine weights of a kernel are normalised together, over the image.
            nn.GroupNorm(kernels, weights),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to (N, kernels * 9, H, W)."""
        y: Tensor = self.layers(x)
        return y


class LSConv(nn.Module):
    """y[c, p] = sum over k of w[k, c mod C/8, p] * x[c, p + k], w = perception(x), k in 3x3.

    Maps (N, C, H, W) to the same shape; C must be a multiple of 8.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.perception = LargeKernelPerception(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        batch, _, height, width = x.shape
        kernels = self.perception(x).reshape(batch, 1, -1, _SMALL**2, height, width)
        # Each pixel's neighbourhood laid out, so that a different kernel can be applied to each.
        patches = F.unfold(x, _SMALL, padding=_SMALL // 2)
        shared = patches.reshape(batch, _SHARING, -1, _SMALL**2, height, width)
        y: Tensor = (shared * kernels).sum(dim=3)
        return y.reshape(x.shape)


def lsnet_feed_forward(channels: int, mlp_ratio: float) -> Residual:
    """Return x + P(relu(P_ec(x))), P = bn conv1x1; maps (N, channels, H, W) to the same shape."""
    hidden = inner_width(channels, mlp_ratio)
    return Residual(conv_bn(channels, hidden, activation=nn.ReLU()), conv_bn(hidden, channels))


class LSBlock(nn.Sequential):
    """z = x + bn(ls(x)), y = z + P(relu(P_ec(z))); maps (N, channels, H, W) to the same shape."""

    def __init__(self, channels: int, mlp_ratio: float = 2) -> None:
        super().__init__(
            Residual(LSConv(channels), nn.BatchNorm2d(channels)),
            lsnet_feed_forward(channels, mlp_ratio),
        )


@register_block(
    "LSConvBlock",
    family="dynamic",
    year=2025,
    paper="2503.23135",
    source="written from the paper",
    licence="Apache-2.0",
    evidence="official code",
    formula="z = x + bn(sum_k w_k(x) * x_k), w = gn(conv1x1(relu(P(dw7(relu(P(x))))))), y = ffn(z)",
    aliases=("LSNet", "LSConv"),
    notes=(
        "A 3x3 kernel for each pixel and eight channels, made by a 7x7 on half of the channels; "
        "ffn(z) = z + P(relu(P_2c(z))), P = bn conv1x1. In LSNet every second block of the first "
        "three stages is one; others have a re-parameterised 3x3 and squeeze-excite. No counter "
        "sees the aggregation: 9 x channels x H x W more multiply-accumulates. Before a block that "
        "strides: a depthwise 3x3 and a 1x1 convolution, each with BN; before one that only "
        "changes channels: a 1x1 convolution and BN."
    ),
    knob="mlp_ratio",
)
def ls_conv_block(
    in_channels: int, out_channels: int, stride: int, position: Position, *, mlp_ratio: float = 2
) -> nn.Module:
    """Return LSNet's block (Wang et al., arXiv 2503.23135); the position changes nothing.

    Raises `ValueError` when out_channels is no multiple of 8.
    """
    if out_channels % _SHARING:
        raise ValueError("the output channels must be a multiple of 8")
    block = LSBlock(out_channels, mlp_ratio)
    return after_shape_change(block, in_channels, out_channels, stride, lsnet_downsampling)


def lsnet_downsampling(in_channels: int, out_channels: int) -> nn.Module:
    """Return LSNet's depthwise 3x3 with stride 2, then a 1x1 convolution, each with BN."""
    depthwise = conv_bn(in_channels, in_channels, 3, stride=2, groups=in_channels)
    return nn.Sequential(depthwise, conv_bn(in_channels, out_channels))
