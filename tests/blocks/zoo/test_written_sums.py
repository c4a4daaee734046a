"""Parameters and MACs of blocks written from papers, each as a sum of its layers written out here.

The sums know no forward pass: a layer costs its weights once for every place of its output.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from blockzoo.blocks import get_block, to_deploy
from blockzoo.core.position import POSITIONS, Position

EARLY, MID, LATE = POSITIONS
# (in_channels, out_channels, stride of the first block, input height and width) of each stage.
STAGE = {EARLY: (64, 64, 1, 32), MID: (64, 128, 2, 32), LATE: (128, 256, 2, 16)}


@dataclass
class Sum:
    """What has been added up, and on how many places the layers that come next stand."""

    places: int
    parameters: int = 0
    macs: int = 0

    def conv(
        self, before: int, after: int, area: int = 1, *, groups: int = 1, bias: bool = True
    ) -> None:
        """Add a convolution whose kernel has `area` weights for each pair of channels."""
        weights = before // groups * after * area
        self.parameters += weights + (after if bias else 0)
        self.macs += weights * self.places

    def depthwise(self, channels: int, area: int, *, bias: bool = True) -> None:
        """Add a depthwise convolution."""
        self.conv(channels, channels, area, groups=channels, bias=bias)

    def conv_bn(self, before: int, after: int, area: int = 1, groups: int = 1) -> None:
        """Add a convolution without bias and its BN."""
        self.conv(before, after, area, groups=groups, bias=False)
        self.norm(after)

    def norm(self, channels: int) -> None:
        """Add a weight and a bias of each channel."""
        self.parameters += 2 * channels

    def scale(self, channels: int) -> None:
        """Add a layer scale."""
        self.parameters += channels

    def product(self, macs: int) -> None:
        """Add a product of two things that are computed."""
        self.macs += macs


Layers = Callable[[Sum, int, Position], None]
Downsampling = Callable[[Sum, int, int], None]


def slak(add: Sum, channels: int, position: Position) -> None:
    length = {EARLY: 49, MID: 47, LATE: 13}[position]
    for area in (length * 5, length * 5, 25):
        add.conv_bn(channels, channels, area, channels)
    add.norm(channels)
    add.conv(channels, 4 * channels)
    add.conv(4 * channels, channels)
    add.scale(channels)


def _spatial_selection(add: Sum, channels: int, position: Position) -> None:
    hidden = channels * {EARLY: 8, MID: 8, LATE: 4}[position]
    for _ in range(2):
        add.norm(channels)
        add.scale(channels)
        add.conv(channels, channels)
    add.conv(channels, hidden)
    add.depthwise(hidden, 9)
    add.conv(hidden, channels)


def lsk(add: Sum, channels: int, position: Position) -> None:
    _spatial_selection(add, channels, position)
    add.depthwise(channels, 25)
    add.depthwise(channels, 49)
    for before, after in ((channels, channels // 2),) * 2 + ((channels // 2, channels),):
        add.conv(before, after)
    add.conv(2, 2, 49)


def strip(add: Sum, channels: int, position: Position) -> None:
    _spatial_selection(add, channels, position)
    for area in (25, 19, 19):
        add.depthwise(channels, area)
    add.conv(channels, channels)


def efficient_mod(add: Sum, channels: int, position: Position) -> None:
    for expansion in (1, 6):
        add.norm(channels)
        add.scale(channels)
        add.conv(channels, expansion * channels)
        add.conv(channels, channels)
        add.depthwise(channels, 49)
        add.conv(channels, channels)
        add.conv(expansion * channels, channels)


def smt(add: Sum, channels: int, position: Position) -> None:
    add.norm(channels)
    add.norm(channels)
    for _ in range(3):
        add.conv(channels, channels)
    for area in (9, 25, 49, 81):
        add.depthwise(channels // 4, area)
    add.conv(channels, 2 * channels, groups=channels // 4)
    add.norm(2 * channels)
    add.conv(2 * channels, channels)
    add.conv(channels, 4 * channels)
    add.depthwise(4 * channels, 9)
    add.conv(4 * channels, channels)


def conv_glu(add: Sum, channels: int, position: Position) -> None:
    hidden = {EARLY: 341, MID: 682, LATE: 682}[position]  # two thirds of 512, 1024, 1024
    add.norm(channels)
    add.conv(channels, 2 * hidden)
    add.depthwise(hidden, 9)
    add.conv(hidden, channels)


def casvit(add: Sum, channels: int, position: Position) -> None:
    for _ in range(3):
        add.norm(channels)
    add.conv(channels, channels)
    add.conv(channels, channels)
    add.conv(channels, 3 * channels, bias=False)
    for _ in range(2):
        add.depthwise(channels, 9)
        add.norm(channels)
        add.conv(channels, 1, bias=False)
        add.parameters += channels**2  # the gate of channels, on one place
        add.macs += channels**2
    for _ in range(3):
        add.depthwise(channels, 9)
    add.conv(channels, 4 * channels)
    add.conv(4 * channels, channels)


def recnext(add: Sum, channels: int, position: Position) -> None:
    levels = {EARLY: 4, MID: 3, LATE: 2}[position]
    side = round(add.places**0.5)
    add.parameters += 25 * channels * (levels + 2)  # one that strides, one at each scale
    for level in range(levels + 1):
        # At each smaller scale the one that strides and the scale's own.
        add.macs += 25 * channels * (side >> level) ** 2 * (2 if level else 1)
    add.norm(channels)
    add.conv_bn(channels, 2 * channels)
    add.conv_bn(2 * channels, channels)


def ls_conv(add: Sum, channels: int, position: Position) -> None:
    half, weights = channels // 2, channels // 8 * 9
    add.conv_bn(channels, half)
    add.conv_bn(half, half, 49, half)
    add.conv_bn(half, half)
    add.conv(half, weights)
    add.norm(weights)
    add.norm(channels)
    add.conv_bn(channels, 2 * channels)
    add.conv_bn(2 * channels, channels)


def uniconvnet(add: Sum, channels: int, position: Position) -> None:
    quarter = channels // 4
    for parts, area in ((1, 49), (2, 81), (3, 121)):
        width = parts * quarter
        add.norm(channels if parts == 1 else width)
        add.conv(width, width)
        add.depthwise(width, area)
        add.conv(width, width)
        add.conv(width, width)
        if parts > 1:
            add.conv(width, quarter)
        add.conv(quarter, quarter)
        add.depthwise(quarter, 9)
    groups = channels // 8
    add.norm(channels)
    add.depthwise(channels, 9)
    add.norm(channels)
    for after in (groups * 18, groups * 9, channels, channels):
        add.conv(channels, after)
    add.norm(channels)
    add.conv(channels, 4 * channels)
    add.conv(4 * channels, channels)
    for _ in range(3):
        add.scale(channels)


def _attention(add: Sum, queries: int, keys: int, channels: int, windows: int = 1) -> None:
    """Add queries by keys and weights by values, of all heads together."""
    add.product(2 * windows * queries * keys * channels)


def transxnet(add: Sum, channels: int, position: Position) -> None:
    half, places = channels // 2, add.places
    shrunk = {EARLY: 4, MID: 2, LATE: 1}[position]
    add.depthwise(channels, 49)
    # The kernels: two candidates, the shares of each place of 7x7, and those of the biases.
    add.parameters += 2 * half * 49 + 2 * half
    add.macs += half * 49 * places
    for part in (49, 1):
        add.places = part
        before = add.parameters
        add.conv_bn(half, half // 4)
        add.conv(half // 4, 2 * half)
    add.parameters = before  # the same layers for both
    add.places = places
    add.conv(half, half)
    add.places = places // shrunk**2
    if shrunk > 1:
        add.conv_bn(half, half, (shrunk + 3) ** 2, half)
        add.conv_bn(half, half, 1, half)
    add.depthwise(half, 9)
    add.conv(half, 2 * half)
    _attention(add, places, add.places, half)
    add.places = places
    squeezed = max(16, channels // 8)
    add.depthwise(channels, 9)
    add.norm(channels)
    add.conv(channels, squeezed)
    add.norm(squeezed)
    add.conv(squeezed, channels)
    add.norm(channels)
    add.conv(channels, 4 * channels, bias=False)
    add.norm(4 * channels)
    for area in (1, 9, 25, 49):
        add.depthwise(channels, area)
    add.norm(4 * channels)
    add.conv_bn(4 * channels, channels)
    for _ in range(4):
        add.norm(channels)  # two group norms, two scales with a bias


def _bn(add: Sum, before: int, after: int) -> None:
    add.conv_bn(before, after)


def _overlapping(add: Sum, before: int, after: int) -> None:
    add.conv(before, after, 9)
    add.norm(after)


def _convnext(add: Sum, before: int, after: int) -> None:
    add.norm(before)
    add.conv(before, after, 4)


def _normed(add: Sum, before: int, after: int) -> None:
    add.norm(before)
    add.conv(before, after, 9)


def _without_bias(add: Sum, before: int, after: int) -> None:
    add.conv_bn(before, after, 9)


def _lsnet(add: Sum, before: int, after: int) -> None:
    add.conv_bn(before, before, 9, before)
    add.conv_bn(before, after)


def _recnext(add: Sum, before: int, after: int) -> None:
    add.conv(before, after, 49, groups=before)
    add.norm(after)
    add.conv_bn(after, 2 * after)
    add.conv_bn(2 * after, after)


KEEPING_THEIR_SHAPE: dict[str, tuple[Layers, Downsampling]] = {
    "CASViTBlock": (casvit, _overlapping),
    "ConvGLU": (conv_glu, _overlapping),
    "EfficientModBlock": (efficient_mod, _overlapping),
    "LSConvBlock": (ls_conv, _lsnet),
    "LSKBlock": (lsk, _overlapping),
    "RecNeXtRecConv": (recnext, _recnext),
    "SLaKBlock": (slak, _convnext),
    "SMTModulation": (smt, _overlapping),
    "StripBlock": (strip, _overlapping),
    "TransXNetDMixer": (transxnet, _without_bias),
    "UniConvNetBlock": (uniconvnet, _normed),
}


def _stage_of(layers: Layers, downsampling: Downsampling, position: Position) -> Sum:
    before, after, stride, side = STAGE[position]
    add = Sum((side // stride) ** 2)
    if stride == 2:
        downsampling(add, before, after)
    for _ in range(3):
        layers(add, after, position)
    return add


def built_stage(name: str, position: Position) -> nn.Sequential:
    """Return a stage of three blocks without data."""
    before, after, stride, _ = STAGE[position]
    build = get_block(name).build
    with torch.device("meta"):
        first = build(before, after, stride, position)
        return nn.Sequential(first, *(build(after, after, 1, position) for _ in range(2)))


def counted(stage: nn.Module, position: Position) -> tuple[int, int]:
    """Return parameters and MACs."""
    before, _, _, side = STAGE[position]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        stage.eval()(torch.empty(1, before, side, side, device="meta"))
    flops: int = counter.get_total_flops()
    return sum(parameter.numel() for parameter in stage.parameters()), flops // 2


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("name", KEEPING_THEIR_SHAPE)
def test_stage_costs_the_sum_of_its_layers(name: str, position: Position) -> None:
    expected = _stage_of(*KEEPING_THEIR_SHAPE[name], position)
    found = counted(built_stage(name, position), position)
    assert found == (expected.parameters, expected.macs)


def _strided_sum(name: str, position: Position) -> Sum:
    """Return the stage of a block that changes its shape itself."""
    before, after, stride, side = STAGE[position]
    add = Sum((side // stride) ** 2)
    for number in range(3):
        first = number == 0
        CHANGING_THEIR_SHAPE[name](
            add, before if first else after, after, stride if first else 1, position
        )
    return add


def vanilla(add: Sum, before: int, after: int, stride: int, position: Position) -> None:
    add.places *= stride**2  # the pool comes after them
    add.conv(before, before)
    add.norm(before)
    add.conv(before, after)
    add.norm(after)
    add.places //= stride**2
    add.depthwise(after, 49, bias=False)
    add.norm(after)


def _entering(add: Sum, before: int, after: int, stride: int) -> int:
    """Add the strided convolution of a detector; return how many channels leave it."""
    if stride == 1:
        return before
    add.conv_bn(before, after, 9)
    return after


def c2f(add: Sum, before: int, after: int, stride: int, position: Position) -> None:
    before, inner = _entering(add, before, after, stride), after // 2
    repeats = {EARLY: 2, MID: 2, LATE: 1}[position]
    add.conv_bn(before, 2 * inner)
    for _ in range(2 * repeats):
        add.conv_bn(inner, inner, 9)
    add.conv_bn((2 + repeats) * inner, after)


def c3k2(add: Sum, before: int, after: int, stride: int, position: Position) -> None:
    before = _entering(add, before, after, stride)
    inner = after // 2 if position is LATE else after // 4
    half = inner // 2
    add.conv_bn(before, 2 * inner)
    if position is LATE:
        add.conv_bn(inner, half)
        add.conv_bn(inner, half)
        for _ in range(4):
            add.conv_bn(half, half, 9)
        add.conv_bn(2 * half, inner)
    else:
        add.conv_bn(inner, half, 9)
        add.conv_bn(half, inner, 9)
    add.conv_bn(3 * inner, after)


def gelan(add: Sum, before: int, after: int, stride: int, position: Position) -> None:
    before = _entering(add, before, after, stride)
    part = after // 2 if position is LATE else after // 4
    half = part // 2
    add.conv_bn(before, 2 * part)
    for _ in range(2):
        add.conv_bn(part, half)
        add.conv_bn(part, half)
        for area in (9, 1, 9):
            add.conv_bn(half, half, area)
        add.conv_bn(2 * half, part)
        add.conv_bn(part, part, 9)
    add.conv_bn(4 * part, after)


def a2c2f(add: Sum, before: int, after: int, stride: int, position: Position) -> None:
    before, inner = _entering(add, before, after, stride), after // 2
    areas = 1 if position is LATE else 4
    add.conv_bn(before, inner)
    for _ in range(2):
        add.conv_bn(inner, 3 * inner)
        add.conv_bn(inner, inner, 49, inner)
        add.conv_bn(inner, inner)
        _attention(add, add.places // areas, add.places // areas, inner, areas)
        add.conv_bn(inner, 2 * inner)
        add.conv_bn(2 * inner, inner)
    add.conv_bn(2 * inner, after)


def irmb(add: Sum, before: int, after: int, stride: int, position: Position) -> None:
    expansion = (3 if position is EARLY else 4) * stride
    hidden = expansion * before
    add.norm(before)
    if stride == 1 and position is not EARLY:
        add.parameters += 2 * before * before + 2 * before
        windows = (-(-round(add.places**0.5) // 7)) ** 2
        add.macs += 2 * before * before * 49 * windows
        _attention(add, 49, 49, before, windows)
        add.conv(before, hidden)
    else:
        add.parameters += before * hidden + hidden
        add.macs += before * hidden * add.places * stride**2
    add.conv_bn(hidden, hidden, 9 if position is EARLY else 25, hidden)
    add.conv(hidden, after, bias=False)


def rdnet(add: Sum, before: int, after: int, stride: int, position: Position) -> None:
    growth = after // 4
    add.norm(before)
    add.conv(before, growth, stride**2)
    for width in (growth, 2 * growth, 3 * growth):
        add.depthwise(width, 49)
        add.norm(width)
        add.conv(width, 4 * width)
        add.conv(4 * width, growth)
        add.scale(growth)
        if position is LATE:
            add.parameters += growth**2 + growth  # the gate, on one place
            add.macs += growth**2


def _bottleneck(
    add: Sum, before: int, after: int, expansion: int, sizes: tuple[int, int], stride: int
) -> None:
    """Add MobileNetV5's, with kernels of these sizes at its start and in the middle, or none."""
    hidden, (start, middle) = expansion * before, sizes
    places = add.places
    add.places = places * stride**2
    if start:
        add.conv(before, before, start**2, groups=before, bias=False)
        add.scale(before)
    add.conv(before, hidden, bias=False)
    add.places = places
    if middle:
        add.conv(hidden, hidden, middle**2, groups=hidden, bias=False)
        add.scale(hidden)
    add.conv(hidden, after, bias=False)
    add.scale(hidden)  # RMS norms have weights alone
    add.scale(after)
    add.scale(after)


def mobilenetv5(add: Sum, before: int, after: int, stride: int, position: Position) -> None:
    if position is EARLY:
        add.conv(before, 4 * before, 9, bias=False)
        add.scale(4 * before)
        add.conv(4 * before, after, bias=False)
        add.scale(after)
        return
    if stride == 2:
        _bottleneck(add, before, after, 6, (5, 5), 2)
    elif position is MID:
        _bottleneck(add, after, after, 4, (5, 0), 1)
    if position is LATE:
        heads = after // 64
        add.scale(after)
        add.conv(after, heads * 64, bias=False)
        add.conv(after, 64, bias=False)
        add.conv(after, 64, bias=False)
        _attention(add, add.places, add.places, heads * 64)
        add.conv(heads * 64, after, bias=False)
        add.scale(after)
        _bottleneck(add, after, after, 2, (0, 0), 1)


CHANGING_THEIR_SHAPE: dict[str, Callable[[Sum, int, int, int, Position], None]] = {
    "A2C2f": a2c2f,
    "C2f": c2f,
    "C3k2": c3k2,
    "MobileNetV5Block": mobilenetv5,
    "RDNetBlock": rdnet,
    "RepNCSPELAN4": gelan,
    "VanillaNetBlock": vanilla,
    "iRMB": irmb,
}


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("name", CHANGING_THEIR_SHAPE)
def test_stage_that_strides_itself_costs_the_sum_of_its_layers(
    name: str, position: Position
) -> None:
    expected = _strided_sum(name, position)
    assert counted(built_stage(name, position), position) == (expected.parameters, expected.macs)


def _merged(name: str, position: Position) -> int:
    """Return by how many parameters the deploy form of a stage is smaller."""
    before, after, *_ = STAGE[position]
    widths = [(before, after), (after, after), (after, after)]
    if name == "SLaKBlock":
        # Three BN of which two biases stay, and the 5x5.
        return 3 * after * (6 - 2 + 25)
    if name == "VanillaNetBlock":
        # The first convolution with its bias and BN, the second's BN, and half of the last one.
        return sum(b * b + 3 * b + 2 * a + a for b, a in widths)
    half = after // (4 if position is LATE else 8)
    # Of each of two parts: two BN of which one bias stays, and the 1x1.
    return 3 * 2 * (4 * half - half + half * half)


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("name", ["RepNCSPELAN4", "SLaKBlock", "VanillaNetBlock"])
def test_deploy_form_lacks_what_was_merged(name: str, position: Position) -> None:
    stage = built_stage(name, position)
    parameters, _ = counted(stage, position)
    deployed, _ = counted(to_deploy(stage), position)
    assert parameters - deployed == _merged(name, position)
