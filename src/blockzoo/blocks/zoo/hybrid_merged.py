"""Hybrid blocks whose convolutions all end in a BN that deploy form merges into them."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from timm.models import efficientvim, efficientvit_msra, shvit
from torch import Tensor, nn

from blockzoo.blocks.registry import register_block
from blockzoo.blocks.zoo.layers import after_shape_change
from blockzoo.blocks.zoo.widths import inner_width, leaving_one, set_inner_width
from blockzoo.core.position import Position

_SHVIT_QUERY = 16
# SHViT-S1's share of the channels that attention sees; early stages have none.
_SHVIT_SHARE = 0.214
# EfficientViM's of its three stages: 7, 5 and 3 squared.
_STATES = {Position.EARLY: 49, Position.MID: 25, Position.LATE: 9}
_CGA_HEADS = 4
_CGA_KEY = 16
_CGA_WINDOW = 7
_CGA_KERNELS = [7, 5, 3, 3]


@register_block(
    "SHViTBlock",
    family="hybrid",
    year=2024,
    paper="2401.16456",
    source="timm.models.shvit.BasicBlock, Residual, FFN and PatchMerging",
    licence="Apache-2.0",
    evidence="official code",
    formula="z = x + bn(dw3x3(x)), u = z + P(relu([attn(gn(z1)), z2])), y = u + P(relu(P_2c(u)))",
    reparameterisable=True,
    aliases=("SHViT",),
    notes=(
        "Single-head attention (queries of 16) mid and late only, on the first 0.214 of the "
        "channels, rounded up to a multiple of 8. BN is merged in deploy form. Before a block "
        "that strides: a depthwise convolution and a feed-forward, each with a shortcut, a "
        "squeeze-excite MBConv, and the two again; before one that only changes channels: a 1x1 "
        "convolution and BN."
    ),
    knob="mlp_ratio",
)
def shvit_block(
    in_channels: int, out_channels: int, stride: int, position: Position, *, mlp_ratio: float = 2
) -> nn.Module:
    """Return SHViT's block (Yun and Ro, arXiv 2401.16456)."""
    # Rounded up, which must not exceed what there is.
    attended = min(out_channels, 8 * math.ceil(_SHVIT_SHARE * out_channels / 8))
    # timm's letters: "s" with attention, "i" without.
    kind = "i" if position is Position.EARLY else "s"
    block = shvit.BasicBlock(out_channels, _SHVIT_QUERY, attended, kind)
    # timm's ratio is 2 always.
    width = inner_width(out_channels, mlp_ratio)
    enter, norm, leave = (f"ffn.m.{layer}" for layer in ("pw1.c", "pw1.bn", "pw2.c"))
    set_inner_width(block, width, enter=[enter], inside=[norm], leave=[leave])
    downsampling = partial(_shvit_downsampling, mlp_ratio=mlp_ratio)
    return after_shape_change(block, in_channels, out_channels, stride, downsampling)


def _shvit_downsampling(in_channels: int, out_channels: int, mlp_ratio: float) -> nn.Module:
    return nn.Sequential(
        *_shvit_residuals(in_channels, mlp_ratio),
        shvit.PatchMerging(in_channels, out_channels),
        *_shvit_residuals(out_channels, mlp_ratio),
    )


def _shvit_residuals(channels: int, mlp_ratio: float) -> list[nn.Module]:
    depthwise = shvit.Conv2dNorm(channels, channels, 3, 1, 1, groups=channels)
    feed_forward = shvit.FFN(channels, inner_width(channels, mlp_ratio))
    return [shvit.Residual(depthwise), shvit.Residual(feed_forward)]


@register_block(
    "EfficientViTCGA",
    family="hybrid",
    year=2023,
    paper="2305.07027",
    source="timm.models.efficientvit_msra.EfficientVitBlock, ResidualDrop and PatchMerging",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = F(D(A(F(D(x))))), D = x + bn(dw3x3(x)), F = x + P(relu(P_2c(x))), A = x + cga(x)",
    reparameterisable=True,
    aliases=("CascadedGroupAttention",),
    notes=(
        "Cascaded group attention in four heads (keys of 16 channels, values of out/4, depthwise "
        "kernels 7/5/3/3) in windows of 7x7; maps are padded with zeros to whole windows. BN is "
        "merged in deploy form. Before a block that strides: a depthwise convolution and a "
        "feed-forward, each with a shortcut, a squeeze-excite MBConv, and the two again; before "
        "one that only changes channels: a 1x1 convolution and BN."
    ),
    knob="mlp_ratio",
)
def efficientvit_cga(
    in_channels: int, out_channels: int, stride: int, position: Position, *, mlp_ratio: float = 2
) -> nn.Module:
    """Return EfficientViT's block of Microsoft Research (Liu et al., arXiv 2305.07027).

    Raises `ValueError` when out_channels is no multiple of 4, the number of heads.
    """
    if out_channels % _CGA_HEADS:
        raise ValueError("the output channels must be a multiple of 4")
    # timm counts the values in keys: this makes them out/4 channels in each head.
    value_ratio: Any = out_channels / (_CGA_HEADS * _CGA_KEY)
    block = efficientvit_msra.EfficientVitBlock(
        out_channels,
        _CGA_KEY,
        _CGA_HEADS,
        attn_ratio=value_ratio,
        # The map's size, which in timm only caps the window: the real one is not known here.
        resolution=_CGA_WINDOW,
        window_resolution=_CGA_WINDOW,
        kernels=_CGA_KERNELS,
    )
    block.get_submodule("mixer.m.attn").register_forward_hook(_forget_biases)
    # timm's ratio is 2 always.
    width = inner_width(out_channels, mlp_ratio)
    for name in ("ffn0.m", "ffn1.m"):
        layers = block.get_submodule(name)
        set_inner_width(layers, width, enter=["pw1.conv"], inside=["pw1.bn"], leave=["pw2.conv"])
    downsampling = partial(_cga_downsampling, mlp_ratio=mlp_ratio)
    return after_shape_change(block, in_channels, out_channels, stride, downsampling)


def _forget_biases(attention: nn.Module, inputs: object, output: object) -> None:
    # timm keeps the indexed biases of the last forward in eval mode, so that weights loaded or
    # changed afterwards would not count and the module could not be copied.
    attention.attention_bias_cache = {}  # type: ignore[assignment]


def _cga_downsampling(in_channels: int, out_channels: int, mlp_ratio: float) -> nn.Module:
    return nn.Sequential(
        *_cga_residuals(in_channels, mlp_ratio),
        efficientvit_msra.PatchMerging(in_channels, out_channels),
        *_cga_residuals(out_channels, mlp_ratio),
    )


def _cga_residuals(channels: int, mlp_ratio: float) -> list[nn.Module]:
    depthwise = efficientvit_msra.ConvNorm(channels, channels, 3, 1, 1, groups=channels)
    feed_forward = efficientvit_msra.ConvMlp(channels, inner_width(channels, mlp_ratio))
    return [
        efficientvit_msra.ResidualDrop(depthwise),
        efficientvit_msra.ResidualDrop(feed_forward),
    ]


class MapOnly(nn.Module):
    """y = the feature map of a block that returns (map, hidden state)."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        y: Tensor = self.block(x)[0]
        return y


@register_block(
    "EfficientViMBlock",
    family="hybrid",
    year=2024,
    paper="2411.15241",
    source="timm.models.efficientvim.EfficientViMBlock and PatchMerging",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = M_ffn(M_dw(M_ssd(ln)(M_dw(x)))), M_f = x + sigmoid(a) (f(x) - x), a per channel",
    reparameterisable=True,
    aliases=("EfficientViM",),
    notes=(
        "Hidden-state-mixer state space duality with 49/25/9 states; the hidden state, which the "
        "network's multi-stage head uses, is dropped. BN is merged in deploy form. Before a block "
        "that strides: EfficientViM's patch merging; before one that only changes channels: a 1x1 "
        "convolution and BN."
    ),
    knob="mlp_ratio",
)
def efficientvim_block(
    in_channels: int, out_channels: int, stride: int, position: Position, *, mlp_ratio: float = 4
) -> nn.Module:
    """Return EfficientViM's block (Lee et al., arXiv 2411.15241)."""
    ratio = leaving_one(mlp_ratio, out_channels)
    block = MapOnly(
        efficientvim.EfficientViMBlock(out_channels, mlp_ratio=ratio, state_dim=_STATES[position])
    )
    return after_shape_change(block, in_channels, out_channels, stride, efficientvim.PatchMerging)
