"""MobileViT's blocks: a transformer over unfolded patches between two convolutions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch.nn.functional as F
from timm.models._efficientnet_blocks import InvertedResidual
from timm.models.byobnet import LayerFn
from timm.models.mobilevit import MobileVitBlock, MobileVitV2Block
from torch import Tensor, nn

from blockzoo.blocks.registry import register_block
from blockzoo.blocks.zoo.layers import after_shape_change
from blockzoo.blocks.zoo.widths import inner_width
from blockzoo.core.position import Position

_HEADS = 4
# Transformer over block channels: 64 to 80 as in MobileViT-XXS, 128 to 192 as in MobileViT-S.
_TRANSFORMER_RATIO = {Position.EARLY: 1.25, Position.MID: 1.5, Position.LATE: 1.5}


class SameSize(nn.Module):
    """y = block(x), resized to the size of x where the block enlarged an odd one.

    Maps (N, C, H, W) to (N, C', H, W).
    """

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C', H, W)."""
        y: Tensor = self.block(x)
        if y.shape[-2:] == x.shape[-2:]:
            return y
        # The block stretches an odd map to the next even size; this is the way back.
        return F.interpolate(y, size=x.shape[-2:], mode="bilinear", align_corners=True)


@register_block(
    "MobileViTBlock",
    family="hybrid",
    year=2021,
    paper="2110.02178",
    source="timm.models.mobilevit.MobileVitBlock",
    licence="Apache-2.0",
    evidence="counts",
    formula="y = C([x, P(fold(ln(T(T(unfold(conv1x1(C(x))))))))]), C = silu bn conv3x3, P = .. 1x1",
    aliases=("MobileViT",),
    notes=(
        "Two transformer layers T of 1.25/1.5/1.5 times the channels (a multiple of 4), four "
        "heads, MLP ratio 2; patches of 2x2. Odd sizes are stretched to even ones for the "
        "transformer. Before a block that strides: MobileNetV2's block with expansion 4 and SiLU; "
        "before one that only changes channels: a 1x1 convolution and BN. "
        "Compared with ml-cvnets: 64 to 80 channels are those of layer4 of its xx_small, 128 to "
        "192 those of its small, both with four layers T."
    ),
    knob="width_ratio",
)
def mobilevit_block(
    in_channels: int,
    out_channels: int,
    stride: int,
    position: Position,
    *,
    width_ratio: float | None = None,
) -> nn.Module:
    """Return MobileViT's block (Mehta and Rastegari, arXiv 2110.02178)."""
    ratio = width_ratio or _TRANSFORMER_RATIO[position]
    block = MobileVitBlock(
        out_channels,
        out_channels,
        3,
        # A multiple of the heads, which share the channels evenly, and at least one for each.
        transformer_dim=inner_width(out_channels, ratio, multiple=_HEADS),
        transformer_depth=2,
        patch_size=2,
        num_heads=_HEADS,
        layers=LayerFn(act=nn.SiLU),
    )
    return after_shape_change(block, in_channels, out_channels, stride, _downsampling(4))


@register_block(
    "MobileViTv2Block",
    family="hybrid",
    year=2022,
    paper="2206.02680",
    source="timm.models.mobilevit.MobileVitV2Block",
    licence="Apache-2.0",
    evidence="counts",
    formula="y = bn(conv1x1(fold(gn(T(T(unfold(conv1x1(silu(bn(dw3x3(x)))))))))))",
    aliases=("MobileViTv2",),
    notes=(
        "Two transformer layers T of half the channels with separable (linear) self-attention, "
        "MLP ratio 2; patches of 2x2. Odd sizes are stretched to even ones and back. Before a "
        "block that strides: MobileNetV2's block with expansion 2 and SiLU; before one that only "
        "changes channels: a 1x1 convolution and BN. "
        "Compared with ml-cvnets: widths, MLP and the two layers T are those of its layer3."
    ),
    knob="width_ratio",
)
def mobilevit_v2_block(
    in_channels: int,
    out_channels: int,
    stride: int,
    position: Position,
    *,
    width_ratio: float = 0.5,
) -> nn.Module:
    """Return MobileViTv2's block (Mehta and Rastegari, arXiv 2206.02680).

    Raises `ValueError` for an odd number of output channels, half of which it uses.
    """
    if out_channels % 2:
        raise ValueError("the output channels must be even")
    block = MobileVitV2Block(
        out_channels,
        out_channels,
        3,
        transformer_dim=inner_width(out_channels, width_ratio),
        transformer_depth=2,
        patch_size=2,
        layers=LayerFn(act=nn.SiLU),
    )
    # timm resizes an odd map back in the first version, but not in this one.
    return after_shape_change(SameSize(block), in_channels, out_channels, stride, _downsampling(2))


def _downsampling(expansion: int) -> Callable[[int, int], nn.Module]:
    return partial(
        InvertedResidual, dw_kernel_size=3, stride=2, exp_ratio=expansion, act_layer=nn.SiLU
    )
