"""Blocks of depthwise separable convolutions at full width: Xception (Chollet)."""

from __future__ import annotations

from timm.models.xception import Block
from torch import nn

from blockzoo.blocks.registry import register_block
from blockzoo.blocks.zoo.widths import inner_width, set_inner_width
from blockzoo.core.position import Position


@register_block(
    "XceptionBlock",
    family="separable",
    year=2016,
    paper="1610.02357",
    source="timm.models.xception.Block",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = shortcut(x) + S(S(S(x))), S = bn conv1x1 dw3x3 relu; s=2: maxpool3x3_2(S(S(x)))",
    aliases=("Xception",),
    notes=(
        "Three separable convolutions where the stride is 1 (middle flow), two and a 3x3 max pool "
        "where it is 2 (entry flow). The shortcut is a 1x1 convolution and BN where the shape "
        "changes. No activation between depthwise and pointwise convolution."
    ),
    knob="width_ratio",
)
def xception_block(
    in_channels: int, out_channels: int, stride: int, position: Position, *, width_ratio: float = 1
) -> nn.Module:
    """Return Xception's block (Chollet, arXiv 1610.02357); the position changes nothing."""
    # The middle flow keeps the shape with three, the entry flow strides with two.
    repetitions = 3 if stride == 1 else 2
    # It begins with ReLU and widens at once, timm's defaults: the rule in the paper's entry flow.
    block: nn.Module = Block(in_channels, out_channels, repetitions, stride)
    # By threes: ReLU, separable convolution, BN; all but the last three lead to the width inside.
    convs = [f"rep.{3 * index + 1}" for index in range(repetitions)]
    norms = [f"rep.{3 * index + 2}" for index in range(repetitions - 1)]
    set_inner_width(
        block,
        inner_width(out_channels, width_ratio),
        enter=[f"{convs[0]}.pointwise"],
        inside=[
            *norms,
            *(f"{name}.conv1" for name in convs[1:]),
            *(f"{name}.pointwise" for name in convs[1:-1]),
        ],
        leave=[f"{convs[-1]}.pointwise"],
    )
    return block
