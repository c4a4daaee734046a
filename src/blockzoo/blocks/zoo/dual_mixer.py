"""TransXNet: kernels of each image beside attention, on half the channels each (2310.19380)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockzoo.blocks.registry import register_block
from blockzoo.blocks.zoo.layers import Residual, after_shape_change, conv_bn, depthwise_conv
from blockzoo.blocks.zoo.widths import inner_width
from blockzoo.core.position import Position

_KERNEL_SIZE = 7
_KERNELS = 2
_REDUCTION = 4
_ENHANCER_REDUCTION, _ENHANCER_LEAST = 8, 16
_MLP_KERNEL_SIZES = (1, 3, 5, 7)
_SCALE = 1e-5


@dataclass(frozen=True)
class _Stage:
    """By how much keys and values are shrunk, and into how many heads they are split."""

    reduction: int
    heads: int


# TransXNet-T's last three stages match the positions here.
_STAGE = {Position.EARLY: _Stage(4, 2), Position.MID: _Stage(2, 4), Position.LATE: _Stage(1, 8)}


class InputDependentConv(nn.Module):
    """y = dw7x7(x) with kernel and bias of each image: sum over n of a_n * (W_n, b_n).

    a = softmax over n of P(gelu(bn(P_c/4(v)))), v being x pooled to 7x7 for the kernel, so that
    each of its places has shares of its own, and to one pixel for the bias. Maps (N, channels, H,
    W) to the same shape.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        # Four dimensions, the kernels one after the other: channels_last knows no fifth.
        self.weight = nn.Parameter(torch.empty(_KERNELS, channels, _KERNEL_SIZE, _KERNEL_SIZE))
        self.bias = nn.Parameter(torch.empty(_KERNELS, channels))
        squeezed = max(1, channels // _REDUCTION)
        self.pool = nn.AdaptiveAvgPool2d(_KERNEL_SIZE)
        self.shares = nn.Sequential(
            conv_bn(channels, squeezed, activation=nn.GELU()),
            nn.Conv2d(squeezed, _KERNELS * channels, 1),
        )
        # The paper's: the policy does not know kernels that are mixed.
        nn.init.trunc_normal_(self.weight, std=0.02)
        nn.init.trunc_normal_(self.bias, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        batch, channels, height, width = x.shape
        kernels = self._mixed(self.pool(x), self.weight)
        biases = self._mixed(x.mean((2, 3), keepdim=True), self.bias[..., None, None])
        # The images become groups of one image, so that each is convolved with its own kernels.
        y = F.conv2d(
            x.reshape(1, -1, height, width),
            kernels.reshape(-1, 1, _KERNEL_SIZE, _KERNEL_SIZE),
            biases.flatten(),
            padding=_KERNEL_SIZE // 2,
            groups=batch * channels,
        )
        return y.reshape(x.shape)

    def _mixed(self, pooled: Tensor, candidates: Tensor) -> Tensor:
        """Return the candidates (kernels, channels, h, w) mixed for every image."""
        batch, channels, height, width = pooled.shape
        shares = self.shares(pooled).reshape(batch, _KERNELS, channels, height, width).softmax(1)
        mixed: Tensor = (shares * candidates).sum(1)
        return mixed


class ReducedAttention(nn.Module):
    """y = softmax(q k / sqrt(d)) v, q = P(x), [k, v] = P(u + dw3x3(u)), u = shrunk(x).

    shrunk = bn(dw1x1(gelu(bn(dw(r+3)x(r+3)_r(x))))): windows that overlap, with stride r =
    `reduction`, or x itself where that is 1. Maps (N, channels, H, W) to the same shape;
    `channels` must be a multiple of `heads`.
    """

    def __init__(self, channels: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Conv2d(channels, channels, 1)
        self.key_value = nn.Conv2d(channels, 2 * channels, 1)
        self.shrink = nn.Identity() if reduction == 1 else _shrinking(channels, reduction)
        self.local = Residual(depthwise_conv(channels, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        key, value = self.key_value(self.local(self.shrink(x))).chunk(2, dim=1)
        y = F.scaled_dot_product_attention(
            self._tokens(self.query(x)), self._tokens(key), self._tokens(value)
        )
        return y.transpose(2, 3).reshape(x.shape)

    def _tokens(self, maps: Tensor) -> Tensor:
        """Return (N, heads, pixels, channels of a head)."""
        batch, channels = maps.shape[:2]
        return maps.reshape(batch, self.heads, channels // self.heads, -1).transpose(2, 3)


class OverlappingConv(nn.Conv2d):
    """Depthwise (r+3)x(r+3) with stride r, or less where two places would not be left of a side.

    Maps (N, channels, H, W) to (N, channels, ceil(H / r), ceil(W / r)) or a larger map.
    """

    def __init__(self, channels: int, reduction: int) -> None:
        size = reduction + 3
        super().__init__(
            channels, channels, size, reduction, size // 2, groups=channels, bias=False
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to a smaller map."""
        # With one key alone the queries would change nothing.
        stride = max(1, min(self.stride[0], min(x.shape[2:]) // 2))
        return F.conv2d(x, self.weight, None, stride, self.padding, groups=self.groups)


def _shrinking(channels: int, reduction: int) -> nn.Sequential:
    pointwise = conv_bn(channels, channels, groups=channels)
    overlapping = OverlappingConv(channels, reduction)
    return nn.Sequential(overlapping, nn.BatchNorm2d(channels), nn.GELU(), *pointwise)


class DualMixer(nn.Module):
    """y = u + E(u), u = [idconv(x_1), attention(x_2)], x_1 and x_2 the halves of x.

    E = bn P bn gelu P_c/8 bn gelu dw3x3, of at least 16 channels inside. Maps (N, channels, H, W)
    to the same shape; `channels` must be even.
    """

    def __init__(self, channels: int, heads: int, reduction: int) -> None:
        super().__init__()
        half = channels // 2
        squeezed = max(_ENHANCER_LEAST, channels // _ENHANCER_REDUCTION)
        self.local = InputDependentConv(half)
        self.attention = ReducedAttention(half, heads, reduction)
        self.enhance = Residual(
            depthwise_conv(channels, 3),
            nn.GELU(),
            nn.BatchNorm2d(channels),
            nn.Conv2d(channels, squeezed, 1),
            nn.GELU(),
            nn.BatchNorm2d(squeezed),
            nn.Conv2d(squeezed, channels, 1),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        first, second = x.chunk(2, dim=1)
        y: Tensor = self.enhance(torch.cat([self.local(first), self.attention(second)], dim=1))
        return y


class MultiScaleConv(nn.Module):
    """y = x + depthwise 1, 3, 5, 7 of its quarters; maps (N, channels, H, W) to the same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        share = channels // len(_MLP_KERNEL_SIZES)
        self.widths = [channels - share * (len(_MLP_KERNEL_SIZES) - 1)]
        self.widths += [share] * (len(_MLP_KERNEL_SIZES) - 1)
        # Fewer than four channels have the first kernel alone.
        self.convs = nn.ModuleList(
            depthwise_conv(width, size)
            for width, size in zip(self.widths, _MLP_KERNEL_SIZES, strict=True)
            if width
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        parts = torch.split(x, [width for width in self.widths if width], dim=1)
        seen = [conv(part) for conv, part in zip(self.convs, parts, strict=True)]
        return x + torch.cat(seen, dim=1)


class AffineScale(nn.Module):
    """y = weight * x + bias, of each channel, at first 1e-5 and 0.

    Maps (N, channels, H, W) to the same shape.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels, 1, 1), _SCALE))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        return self.weight * x + self.bias


class TransXNetBlock(nn.Sequential):
    """v = x + dw7x7(x), z = v + s(mixer(gn(v))), y = z + s(mlp(gn(z))), s an affine scale.

    mlp = bn P bn gelu ms bn gelu P_ec, ms a `MultiScaleConv`. Maps (N, channels, H, W) to the same
    shape; `channels` must be even and half of them a multiple of `heads`.
    """

    def __init__(self, channels: int, heads: int, reduction: int, mlp_ratio: float = 4) -> None:
        hidden = inner_width(channels, mlp_ratio)
        mlp = [
            nn.Conv2d(channels, hidden, 1, bias=False),
            nn.GELU(),
            nn.BatchNorm2d(hidden),
            MultiScaleConv(hidden),
            nn.GELU(),
            nn.BatchNorm2d(hidden),
            conv_bn(hidden, channels),
        ]
        mixer = DualMixer(channels, heads, reduction)
        super().__init__(
            Residual(depthwise_conv(channels, 7)),
            Residual(nn.GroupNorm(1, channels), mixer, AffineScale(channels)),
            Residual(nn.GroupNorm(1, channels), *mlp, AffineScale(channels)),
        )


@register_block(
    "TransXNetDMixer",
    family="hybrid",
    year=2023,
    paper="2310.19380",
    source="written from the paper",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = z + mlp, z = v + s(u + E(u)), u = [dw_x(w1), attn(w2)], w = gn(v), v = x + dw7(x)",
    aliases=("TransXNet", "DMixer"),
    notes=(
        "dw_x: a depthwise 7x7 of two kernels that are mixed for each image and place; attention "
        "with 2/4/8 heads to a map shrunk by 4/2/1, or to 2 places of a side; E a bottleneck of "
        "3x3 and 1x1 convolutions; "
        "mlp of ratio 4 with depthwise kernels of 1, 3, 5, 7 inside; scales s = 1e-5 at the start. "
        "Without the position encoding that TransXNet's stages share, which fits one size of "
        "image alone. Before a block that strides: a 3x3 convolution and BN; before one that only "
        "changes channels: a 1x1 convolution and BN."
    ),
    knob="mlp_ratio",
)
def transxnet_dmixer(
    in_channels: int, out_channels: int, stride: int, position: Position, *, mlp_ratio: float = 4
) -> nn.Module:
    """Return TransXNet's block (Lou et al., arXiv 2310.19380).

    Raises `ValueError` when out_channels is no multiple of twice the heads: 4, 8, 16.
    """
    stage = _STAGE[position]
    if out_channels % (2 * stage.heads):
        raise ValueError(f"the output channels must be a multiple of {2 * stage.heads}")
    block = TransXNetBlock(out_channels, stage.heads, stage.reduction, mlp_ratio)
    return after_shape_change(block, in_channels, out_channels, stride, transxnet_downsampling)


def transxnet_downsampling(in_channels: int, out_channels: int) -> nn.Module:
    """Return a strided 3x3 convolution and BN."""
    return conv_bn(in_channels, out_channels, 3, stride=2)
