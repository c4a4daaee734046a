"""Split, transform, concatenate: the stages of recent detectors, from their descriptions.

C2f of YOLOv8, C3k2 of YOLO11, GELAN's block (Wang et al., arXiv 2402.13616) and YOLOv12's
attention in areas (Tian et al., arXiv 2502.12524). Convolutions have no bias, BN with eps 1e-3 and
momentum 0.03, and SiLU.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from blockzoo.blocks.registry import register_block
from blockzoo.blocks.zoo.layers import (
    Concat,
    Residual,
    conv_bn,
    projection,
    set_norm_constants,
)
from blockzoo.blocks.zoo.merging import at_centre
from blockzoo.blocks.zoo.widths import inner_width
from blockzoo.core.position import Position

_NOTE_NORMS = "BN with eps 1e-3 and momentum 0.03."
_NOTE_SHAPE = "Before a block that strides: a 3x3 convolution, BN, SiLU."
# YOLOv8n has these blocks of 64, 128 and 256 channels.
_C2F_DEPTH = {Position.EARLY: 2, Position.MID: 2, Position.LATE: 1}
# YOLO11n's share of the channels inside, and whether they see C3k, at 64, 128 and 256 channels.
_C3K2_RATIO = {Position.EARLY: 0.25, Position.MID: 0.25, Position.LATE: 0.5}
_C3K2_NESTED = {Position.EARLY: False, Position.MID: False, Position.LATE: True}
# GELAN-C's: half and a quarter of the channels at first, all and half of them at its end.
_ELAN_RATIO = {Position.EARLY: 0.5, Position.MID: 0.5, Position.LATE: 1.0}
# YOLOv12 cuts the larger map into four areas and leaves the smallest whole.
_AREAS = {Position.EARLY: 4, Position.MID: 4, Position.LATE: 1}
_HEAD_WIDTH = 32


def _conv(in_channels: int, out_channels: int, kernel_size: int = 1, stride: int = 1) -> nn.Module:
    return conv_bn(in_channels, out_channels, kernel_size, stride=stride, activation=nn.SiLU())


def _bottleneck(channels: int, ratio: float = 1.0) -> nn.Module:
    """Return x + C(C_r(x)), C = silu bn conv3x3."""
    inner = inner_width(channels, ratio)
    return Residual(_conv(channels, inner, 3), _conv(inner, channels, 3))


class SplitStage(nn.Module):
    """y = P([u, v_0, v_1, .., v_n]), [u, v_0] = P_2c(x), v_k = part_k(v_k-1), P = silu bn conv1x1.

    With `halves` false u is absent and v_0 = P_c(x). All of `parts` keep `inner` channels. Maps
    (N, in_channels, H, W) to (N, out_channels, H, W).
    """

    def __init__(
        self,
        in_channels: int,
        inner: int,
        out_channels: int,
        parts: Sequence[nn.Module],
        *,
        halves: bool = True,
    ) -> None:
        super().__init__()
        self.inner = inner
        width = 2 * inner if halves else inner
        self.enter = _conv(in_channels, width)
        self.parts = nn.ModuleList(parts)
        self.leave = _conv(width + len(parts) * inner, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, H, W)."""
        entered = self.enter(x)
        outputs = [entered]
        last = entered[:, -self.inner :]
        for part in self.parts:
            last = part(last)
            outputs.append(last)
        y: Tensor = self.leave(torch.cat(outputs, dim=1))
        return y


class CrossStage(nn.Sequential):
    """y = P([parts(P_c(x)), P_c(x)]), P = silu bn conv1x1; `parts` keep `inner` channels.

    Maps (N, in_channels, H, W) to (N, out_channels, H, W).
    """

    def __init__(
        self, in_channels: int, inner: int, out_channels: int, parts: Sequence[nn.Module]
    ) -> None:
        through = nn.Sequential(_conv(in_channels, inner), *parts)
        branches = Concat([through, _conv(in_channels, inner)])
        super().__init__(branches, _conv(2 * inner, out_channels))


def _after_striding(
    in_channels: int, out_channels: int, stride: int, stage: nn.Module
) -> nn.Module:
    """Return a stage that takes any channels, after a strided convolution where that is asked."""
    layers = [_conv(in_channels, out_channels, 3, 2), stage] if stride == 2 else [stage]
    block = layers[0] if len(layers) == 1 else nn.Sequential(*layers)
    return set_norm_constants(block, eps=1e-3, momentum=0.03)


@register_block(
    "C2f",
    family="dense",
    year=2023,
    paper="none (YOLOv8)",
    source="written from descriptions",
    licence="Apache-2.0",
    evidence="network totals",
    formula="y = P([u, v0, .., vn]), [u, v0] = P(x), vk = vk-1 + C(C(vk-1)), C = silu bn conv3x3",
    aliases=("YOLOv8C2f",),
    notes=(
        "Half of the channels inside; n = 2/2/1 as in YOLOv8n at these widths. "
        f"{_NOTE_NORMS} {_NOTE_SHAPE} Written without the AGPL code; YOLOv8n-cls made of it has "
        "the published 2,719,288 parameters."
    ),
    knob="width_ratio",
)
def c2f(
    in_channels: int,
    out_channels: int,
    stride: int,
    position: Position,
    *,
    width_ratio: float = 0.5,
) -> nn.Module:
    """Return YOLOv8's C2f block."""
    inner = inner_width(out_channels, width_ratio)
    parts = [_bottleneck(inner) for _ in range(_C2F_DEPTH[position])]
    before = out_channels if stride == 2 else in_channels
    stage = SplitStage(before, inner, out_channels, parts)
    return _after_striding(in_channels, out_channels, stride, stage)


def _nested_cross_stage(channels: int) -> nn.Module:
    """Return C3k: a cross-stage block of two bottlenecks inside another block."""
    inner = inner_width(channels, 0.5)
    return CrossStage(channels, inner, channels, [_bottleneck(inner), _bottleneck(inner)])


@register_block(
    "C3k2",
    family="dense",
    year=2024,
    paper="none (YOLO11)",
    source="written from descriptions",
    licence="Apache-2.0",
    evidence="network totals",
    formula="y = P([u, v, v + B(v)]), [u, v] = P(x), B = C(C_1/2(v)); late B(v) + v = c3k(v)",
    aliases=("YOLO11C3k2",),
    notes=(
        "C = silu bn conv3x3, c3k = P([T(T(P(v))), P(v)]), T = w + C(C(w)). A quarter of the "
        "channels inside early and mid, half late, as in YOLO11n at these widths. "
        f"{_NOTE_NORMS} {_NOTE_SHAPE} Written without the AGPL code; YOLO11n-cls made of it has "
        "the published 2.8 million parameters, its layers those that are printed for YOLO11n."
    ),
    knob="width_ratio",
)
def c3k2(
    in_channels: int,
    out_channels: int,
    stride: int,
    position: Position,
    *,
    width_ratio: float | None = None,
) -> nn.Module:
    """Return YOLO11's C3k2 block."""
    inner = inner_width(out_channels, width_ratio or _C3K2_RATIO[position])
    nested = _C3K2_NESTED[position]
    part = _nested_cross_stage(inner) if nested else _bottleneck(inner, 0.5)
    before = out_channels if stride == 2 else in_channels
    stage = SplitStage(before, inner, out_channels, [part])
    return _after_striding(in_channels, out_channels, stride, stage)


class RepConv(nn.Module):
    """y = silu(bn(conv3x3(x)) + bn(conv1x1(x))); in deploy form one 3x3 convolution.

    Maps (N, channels, H, W) to the same shape.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.large: nn.Module = conv_bn(channels, channels, 3)
        self.small: nn.Module | None = conv_bn(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        y = self.large(x)
        return F.silu(y if self.small is None else y + self.small(x))

    def reparameterize(self) -> None:
        """Merge both branches into one convolution; needs eval mode."""
        if not (isinstance(self.large, nn.Sequential) and isinstance(self.small, nn.Sequential)):
            return
        merged, small = fuse_conv_bn_eval(*self.large), fuse_conv_bn_eval(*self.small)
        assert merged.bias is not None
        assert small.bias is not None
        merged.weight.data += at_centre(small, 3)
        merged.bias.data += small.bias.data
        self.large, self.small = merged, None


def _rep_part(channels: int) -> nn.Module:
    """Return C(csp(x)), csp a cross-stage block of one re-parameterised bottleneck."""
    inner = inner_width(channels, 0.5)
    bottleneck = Residual(RepConv(inner), _conv(inner, inner, 3))
    cross_stage = CrossStage(channels, inner, channels, [bottleneck])
    return nn.Sequential(cross_stage, _conv(channels, channels, 3))


class GELANStage(nn.Module):
    """y = P([u, v_0, v_1, v_2]), [u, v_0] = P_2h(x), v_k = part_k(v_k-1), of `inner` channels.

    u and v_0 have `half` channels each; P = silu bn conv1x1. Maps (N, in_channels, H, W) to
    (N, out_channels, H, W).
    """

    def __init__(self, in_channels: int, half: int, inner: int, out_channels: int) -> None:
        super().__init__()
        self.last = half
        self.enter = _conv(in_channels, 2 * half)
        fit = projection(half, inner) or nn.Identity()
        self.first = nn.Sequential(fit, _rep_part(inner))
        self.second = _rep_part(inner)
        self.leave = _conv(2 * half + 2 * inner, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, H, W)."""
        entered = self.enter(x)
        first = self.first(entered[:, -self.last :])
        y: Tensor = self.leave(torch.cat([entered, first, self.second(first)], dim=1))
        return y


@register_block(
    "RepNCSPELAN4",
    family="reparam",
    year=2024,
    paper="2402.13616",
    source="written from the paper",
    licence="Apache-2.0",
    evidence="counts",
    formula="y = P([u, v0, v1, v2]), [u, v0] = P(x), vk = C([T(P(w)), P(w)]), w = vk-1, T = csp",
    reparameterisable=True,
    aliases=("GELAN", "GELANBlock"),
    notes=(
        "C = silu bn conv3x3 after a 1x1; T = w + C(R(w)), R = silu(bn conv3x3 + bn conv1x1), "
        "which is one 3x3 in deploy form. u and v0 have a quarter of the output channels each, as "
        "have v1 and v2, half late (GELAN-C's). One bottleneck in each part. "
        f"{_NOTE_NORMS} {_NOTE_SHAPE} Written from the paper's figures without the GPL code; its "
        "counts are sums of its layers, without a printed table beside them."
    ),
    knob="width_ratio",
)
def rep_ncsp_elan(
    in_channels: int,
    out_channels: int,
    stride: int,
    position: Position,
    *,
    width_ratio: float | None = None,
) -> nn.Module:
    """Return GELAN's block (Wang et al., arXiv 2402.13616)."""
    half = inner_width(out_channels, (width_ratio or _ELAN_RATIO[position]) / 2)
    before = out_channels if stride == 2 else in_channels
    stage = GELANStage(before, half, half, out_channels)
    return _after_striding(in_channels, out_channels, stride, stage)


class AreaAttention(nn.Module):
    """y = P(softmax(q k / sqrt(d)) v + dw7x7(v)), [q, k, v] = P(x), in `areas` strips of rows.

    Each strip attends to itself alone, with heads of 32 channels; P = bn conv1x1, and the depthwise
    convolution of the values, which takes the place of a position embedding, sees the whole map.
    Rows of zeros are added where the areas do not divide them. Maps (N, channels, H, W) to the
    same shape; `channels` must be a multiple of `heads`.
    """

    def __init__(self, channels: int, heads: int, areas: int) -> None:
        super().__init__()
        self.heads, self.areas = heads, areas
        self.enter = conv_bn(channels, 3 * channels)
        self.positions = conv_bn(channels, channels, 7, groups=channels)
        self.leave = conv_bn(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        height = x.shape[2]
        padded = F.pad(x, (0, 0, 0, -height % self.areas))
        query, key, value = self.enter(padded).chunk(3, dim=1)
        attended = F.scaled_dot_product_attention(
            self._strips(query), self._strips(key), self._strips(value)
        )
        mixed = self._whole(attended, value) + self.positions(value)
        y: Tensor = self.leave(mixed[:, :, :height])
        return y

    def _strips(self, maps: Tensor) -> Tensor:
        """Return (N * areas, heads, pixels of an area, channels of a head)."""
        batch, channels = maps.shape[:2]
        # Row after row, so that an area is a strip of rows.
        strips = maps.reshape(batch, self.heads, channels // self.heads, self.areas, -1)
        return strips.permute(0, 3, 1, 4, 2).flatten(0, 1)

    def _whole(self, strips: Tensor, like: Tensor) -> Tensor:
        by_area = strips.reshape(-1, self.areas, *strips.shape[1:])
        return by_area.permute(0, 2, 4, 1, 3).reshape(like.shape)


def _area_block(channels: int, areas: int, mlp_ratio: float) -> nn.Module:
    """Return z + P(silu(P_ec(z))), z = x + attention(x), P = bn conv1x1."""
    heads = max(1, channels // _HEAD_WIDTH)
    hidden = inner_width(channels, mlp_ratio)
    mlp = Residual(_conv(channels, hidden), conv_bn(hidden, channels))
    return nn.Sequential(Residual(AreaAttention(channels, heads, areas)), mlp)


@register_block(
    "A2C2f",
    family="hybrid",
    year=2025,
    paper="2502.12524",
    source="written from the paper",
    licence="Apache-2.0",
    evidence="counts",
    formula="y = P([v, B(B(v))]), v = P_c/2(x), B = z + P(silu(P_2c(z))), z = x + area_attn(x)",
    aliases=("YOLOv12A2C2f", "AreaAttention"),
    notes=(
        "One pair of area-attention blocks (YOLOv12n has two pairs) on half of the channels, heads "
        "of 32, MLP ratio 2, a depthwise 7x7 of the values beside the attention. Four strips of "
        "rows early and mid, the whole map late; rows of zeros are added where four do not divide "
        f"them. Without the scaled shortcut of the L and X models. {_NOTE_NORMS} {_NOTE_SHAPE} "
        "Written from the paper without the AGPL code; its counts are sums of its layers, "
        "without a printed table beside them."
    ),
    knob="mlp_ratio",
)
def a2c2f(
    in_channels: int, out_channels: int, stride: int, position: Position, *, mlp_ratio: float = 2
) -> nn.Module:
    """Return YOLOv12's residual ELAN of area attention (Tian et al., arXiv 2502.12524).

    Raises `ValueError` when half of the output channels is 64 or more and no multiple of 32.
    """
    inner = max(1, out_channels // 2)
    if inner % max(1, inner // _HEAD_WIDTH):
        raise ValueError("the output channels must be a multiple of their heads, one for each 64")
    areas = _AREAS[position]
    part = nn.Sequential(*(_area_block(inner, areas, mlp_ratio) for _ in range(2)))
    before = out_channels if stride == 2 else in_channels
    stage = SplitStage(before, inner, out_channels, [part], halves=False)
    return _after_striding(in_channels, out_channels, stride, stage)
