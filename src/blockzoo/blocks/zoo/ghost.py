"""Ghost bottlenecks: half of the channels by a convolution, half by a cheap depthwise one."""

from __future__ import annotations

from timm.models.ghostnet import GhostBottleneck
from torch import nn

from blockzoo.blocks.registry import register_block
from blockzoo.blocks.zoo.widths import inner_width
from blockzoo.core.position import Position

# (expansion, depthwise kernel, squeeze-excite ratio), after GhostNet's stages of like resolution.
GHOST_STAGE = {
    Position.EARLY: (3, 3, 0.0),
    Position.MID: (3, 5, 0.25),
    Position.LATE: (6, 5, 0.25),
}


@register_block(
    "GhostBottleneckV1",
    family="mobile",
    year=2019,
    paper="1911.11907",
    source="timm.models.ghostnet.GhostBottleneck",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = G(se(dw_s(G(x)))) + shortcut(x), G = [p, dw3x3(p)], p = conv1x1 to half of them",
    aliases=("GhostBottleneck", "GhostNet"),
    notes="Expansion 3/3/6, depthwise kernel 3/5/5 (only where it strides), SE 0.25 mid and late.",
    knob="expansion",
)
def ghost_bottleneck_v1(
    in_channels: int,
    out_channels: int,
    stride: int,
    position: Position,
    *,
    expansion: float | None = None,
) -> nn.Module:
    """Return GhostNet's bottleneck (Han et al., arXiv 1911.11907).

    Raises `ValueError` for an odd number of output channels: a ghost module makes them in halves.
    """
    return _bottleneck(in_channels, out_channels, stride, position, expansion, mode="original")


@register_block(
    "GhostBottleneckV2",
    family="mobile",
    year=2022,
    paper="2211.12905",
    source="timm.models.ghostnet.GhostBottleneck",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = G(se(dw_s(G(x) * up(sigmoid(dfc(pool(x))))))) + shortcut(x), G = [p, dw3x3(p)]",
    aliases=("GhostNetV2",),
    notes=(
        "Expansion 3/3/6, depthwise kernel 3/5/5 (only where it strides), SE 0.25 mid and late. "
        "Its attention, dfc = dw5x1 dw1x5 conv1x1, pools by 2: the input must be 2x2 or larger."
    ),
    knob="expansion",
)
def ghost_bottleneck_v2(
    in_channels: int,
    out_channels: int,
    stride: int,
    position: Position,
    *,
    expansion: float | None = None,
) -> nn.Module:
    """Return GhostNetV2's bottleneck with its long-range attention (arXiv 2211.12905).

    Raises `ValueError` for an odd number of output channels: a ghost module makes them in halves.
    """
    return _bottleneck(in_channels, out_channels, stride, position, expansion, mode="attn")


def _bottleneck(
    in_channels: int,
    out_channels: int,
    stride: int,
    position: Position,
    expansion: float | None,
    *,
    mode: str,
) -> nn.Module:
    if out_channels % 2:
        raise ValueError("the output channels must be even")
    published, kernel_size, se_ratio = GHOST_STAGE[position]
    block: nn.Module = GhostBottleneck(
        in_channels,
        # timm wants the width itself, and counts squeeze-excite from it.
        inner_width(in_channels, expansion or published),
        out_channels,
        kernel_size,
        stride,
        se_ratio=se_ratio,
        mode=mode,
    )
    return block
