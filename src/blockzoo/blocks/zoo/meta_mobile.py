"""EMO: the inverted residual with attention in it (Zhang et al., arXiv 2301.01146)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch.nn.functional as F
from timm.layers.norm import LayerNorm2d
from torch import Tensor, nn

from blockzoo.blocks.registry import register_block
from blockzoo.blocks.zoo.layers import after_downsampling, depthwise_conv, projection
from blockzoo.blocks.zoo.widths import inner_width
from blockzoo.core.position import Position

_WINDOW = 7
_HEAD_WIDTH = 32
_NORM_EPS = 1e-6


@dataclass(frozen=True)
class _Stage:
    """What EMO-5M has in a stage; where it strides it expands twice as much, without attention."""

    expansion: int
    kernel_size: int
    attention: bool
    norm: Callable[[int], nn.Module]
    activation: Callable[[], nn.Module]


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=_NORM_EPS)


def _layer_norm(channels: int) -> nn.Module:
    norm: nn.Module = LayerNorm2d(channels, eps=_NORM_EPS)
    return norm


# EMO-5M's stages of 72, 160 and 288 channels.
_STAGE = {
    Position.EARLY: _Stage(3, 3, False, _batch_norm, nn.SiLU),
    Position.MID: _Stage(4, 5, True, _layer_norm, nn.GELU),
    Position.LATE: _Stage(4, 5, True, _layer_norm, nn.GELU),
}


class SpreadWindows(nn.Module):
    """y = attention of x to itself, with queries and keys P(x), in windows of spread pixels.

    A window has 7x7 pixels, one of every 7th part of the image's height and width, so that all of
    the windows reach across the image. Values are x itself. The map is padded with zeros at the
    bottom and the right to whole windows. Maps (N, channels, H, W) to the same shape; `channels`
    must be a multiple of `heads`.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query_key = nn.Conv2d(channels, 2 * channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        height, width = x.shape[2:]
        padded = F.pad(x, (0, -width % _WINDOW, 0, -height % _WINDOW))
        query, key = map(self._windows, self.query_key(padded).chunk(2, dim=1))
        attended = F.scaled_dot_product_attention(query, key, self._windows(padded))
        return self._whole(attended, padded)[:, :, :height, :width]

    def _windows(self, maps: Tensor) -> Tensor:
        """Return (N * windows, heads, pixels of a window, channels of a head)."""
        batch, channels, height, width = maps.shape
        rows, columns = height // _WINDOW, width // _WINDOW
        spread = maps.reshape(
            batch, self.heads, channels // self.heads, _WINDOW, rows, _WINDOW, columns
        )
        return spread.permute(0, 4, 6, 1, 3, 5, 2).flatten(4, 5).flatten(0, 2)

    def _whole(self, windows: Tensor, like: Tensor) -> Tensor:
        batch, _, height, width = like.shape
        rows, columns = height // _WINDOW, width // _WINDOW
        spread = windows.reshape(batch, rows, columns, self.heads, _WINDOW, _WINDOW, -1)
        return spread.permute(0, 3, 6, 4, 1, 5, 2).reshape(like.shape)


class InvertedResidualMobileBlock(nn.Module):
    """y = x + P(u + D(u)), u = act(P_ec(a(norm(x)))), D = silu bn dwkxk, P a 1x1 convolution.

    Both shortcuts are absent where the shape changes, and the attention a where `attends` is false.
    Maps (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        stage: _Stage,
        *,
        expansion: float,
        attends: bool,
    ) -> None:
        super().__init__()
        hidden = inner_width(in_channels, expansion)
        heads = in_channels // math.gcd(in_channels, _HEAD_WIDTH)
        self.keeps_shape = stride == 1 and in_channels == out_channels
        self.norm = stage.norm(in_channels)
        self.attention = SpreadWindows(in_channels, heads) if attends else nn.Identity()
        # Widened after the attention, whose map so costs the width of the input alone.
        self.widen = nn.Sequential(nn.Conv2d(in_channels, hidden, 1), stage.activation())
        self.local = nn.Sequential(
            depthwise_conv(hidden, stage.kernel_size, stride=stride, bias=False),
            _batch_norm(hidden),
            nn.SiLU(),
        )
        self.narrow = nn.Conv2d(hidden, out_channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride))."""
        wide = self.widen(self.attention(self.norm(x)))
        local = self.local(wide)
        if not self.keeps_shape:
            changed: Tensor = self.narrow(local)
            return changed
        y: Tensor = x + self.narrow(wide + local)
        return y


@register_block(
    "iRMB",
    family="hybrid",
    year=2023,
    paper="2301.01146",
    source="written from the paper",
    licence="Apache-2.0",
    evidence="network totals",
    formula="y = x + P(u + silu(bn(dwk(u)))), u = act(P_ec(attn(norm(x)))); s = 2: P(silu(bn(..)))",
    aliases=("EMO", "InvertedResidualMobileBlock"),
    notes=(
        "EMO-5M's: early expansion 3, kernel 3, BN and SiLU, without attention; mid and late "
        "expansion 4, kernel 5, layer norm and GELU, attention in 7x7 windows of pixels spread "
        "over the image, heads of 32 channels or the largest power of two below that divides "
        "them. Maps are padded with zeros to whole windows. A block that strides expands twice as "
        "much, without attention and shortcuts; before one that only changes channels: a 1x1 "
        "convolution and BN. EMO-5M made of it has the paper's 5.1 million parameters."
    ),
    knob="expansion",
)
def irmb(
    in_channels: int,
    out_channels: int,
    stride: int,
    position: Position,
    *,
    expansion: float | None = None,
) -> nn.Module:
    """Return EMO's inverted residual mobile block (Zhang et al., arXiv 2301.01146)."""
    stage = _STAGE[position]
    return emo_block(in_channels, out_channels, stride, stage, expansion or stage.expansion)


def emo_block(
    in_channels: int, out_channels: int, stride: int, stage: _Stage, expansion: float
) -> nn.Module:
    """Return the block of a stage of EMO, which strides or attends."""
    if stride == 2:
        return InvertedResidualMobileBlock(
            in_channels, out_channels, 2, stage, expansion=2 * expansion, attends=False
        )
    block = InvertedResidualMobileBlock(
        out_channels, out_channels, 1, stage, expansion=expansion, attends=stage.attention
    )
    return after_downsampling(projection(in_channels, out_channels), block)
