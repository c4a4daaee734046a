"""The knobs of the zoo: what they leave as published, that they turn one way, what they reach."""

from __future__ import annotations

import inspect
from functools import cache
from typing import Literal

import pytest
import torch

from blockzoo.blocks import describe, get_block, list_available_blocks
from blockzoo.core.position import POSITIONS, Position
from blockzoo.measure.costs.complexity import count_complexity, count_parameters
from blockzoo.measure.costs.meta import in_mode
from blockzoo.scaffold.net import ScaffoldConfig
from blockzoo.scaffold.placement import Placement, meta_deploy

Budget = Literal["macs", "params"]
BUDGETS: tuple[Budget, ...] = ("macs", "params")
TOLERANCE = 0.03
LEAST, MOST = 0.01, 1000.0

WITHOUT_KNOB = {
    "Identity": "has no parameters",
    "ConvBNAct": "one convolution",
    "RepVGGBlock": "one convolution in deploy form",
    "classic/MobileOneBlock": "one convolution in deploy form",
    "MobileOneBlock": "a depthwise and a pointwise convolution, with the input's channels between",
    "DSConvMobileNetV1": "the same",
    "PPLCNetDepthSepConv": "the same",
    "PPLCNetV2RepDepthSep": "the same early and mid; a width inside late only",
    "ConvMixerLayer": "the same",
    "VanillaNetBlock": "a pointwise and a depthwise convolution in deploy form",
    "classic/ReparamLargeKernelConv": "one depthwise convolution in deploy form",
}
PUBLISHED_BY_POSITION: dict[str, tuple[float, float, float]] = {
    "C3k2": (1 / 4, 1 / 4, 1 / 2),
    "ConvGLU": (8, 8, 4),
    "DenseNetBC": (32, 32, 32),
    "EdgeResidual": (4, 8, 8),
    "EdgeResidualTimm": (4, 8, 8),
    "GhostBottleneckV1": (3, 3, 6),
    "GhostBottleneckV2": (3, 3, 6),
    "GhostBottleneckV3": (3, 3, 6),
    "HGNetV2Block": (1 / 4, 1 / 8, 1 / 8),
    "LSKBlock": (8, 8, 4),
    "MBConvMnasNet": (3, 3, 6),
    "MobileNetV3Block": (3, 3, 6),
    "MobileViTBlock": (1.25, 1.5, 1.5),
    "MogaNetBlock": (8, 8, 4),
    "OSAeSE": (1 / 2, 1 / 2, 5 / 16),
    "RepGhostBottleneck": (1.5, 1.5, 3),
    "RepNCSPELAN4": (1 / 2, 1 / 2, 1),
    "SandGlassMobileNeXt": (1 / 4, 1 / 4, 3 / 16),
    "StripBlock": (8, 8, 4),
    "VANBlock": (8, 8, 4),
    "classic/EdgeResidual": (4, 4, 6),
    "classic/GhostBottleneckV3": (3, 3, 5),
    "classic/InvertedResidual": (4, 4, 6),
    "classic/UniversalInvertedBottleneck": (4, 4, 6),
    "iRMB": (3, 4, 4),
}
# By how much the nearest misses the context's stage: two 3x3 convolutions that no knob sets, of all
# channels and of twice as many, cost more than the two of the context; so does an attention of all
# channels with a dense transposed 4x4.
OUT_OF_REACH: dict[tuple[str, Position, Budget], float] = {
    ("LowFormerBlock", Position.EARLY, "params"): 0.101,
    ("MobileViTBlock", Position.EARLY, "macs"): 0.566,
    ("MobileViTBlock", Position.EARLY, "params"): 0.512,
    ("MobileViTBlock", Position.MID, "macs"): 0.751,
    ("MobileViTBlock", Position.MID, "params"): 0.689,
    ("MobileViTBlock", Position.LATE, "macs"): 0.744,
    ("MobileViTBlock", Position.LATE, "params"): 0.684,
}
# Their merges need numbers, so each stage is merged with weights of ones.
SLOW_TO_MERGE = {
    "EfficientViTCGA",
    "EfficientViMBlock",
    "GhostBottleneckV3",
    "RepMixer",
    "classic/GhostBottleneckV3",
    "classic/RepMixer",
}
ZOO = [name for name in list_available_blocks() if get_block(name).from_zoo]
BLOCKS = [name for name in ZOO if get_block(name).knob]
QUICK = [
    pytest.param(name, marks=pytest.mark.slow) if name in SLOW_TO_MERGE else name for name in BLOCKS
]


def _published(block: str, position: Position) -> float:
    spec = get_block(block)
    default: float | None = inspect.signature(spec.factory).parameters[spec.knob].default
    if default is not None:
        return default
    return PUBLISHED_BY_POSITION[block][POSITIONS.index(position)]


@cache
def _costs(block: str, position: Position, capacity: float | None) -> dict[Budget, int]:
    """Return MACs and parameters of the stage in deploy form."""
    spec = get_block(block)
    placed = Placement.of(spec if capacity is None else spec.at_capacity(capacity), position)
    stage = meta_deploy(placed.meta_stage())
    channels, _, _ = ScaffoldConfig().stage_shape(position)
    size = 16 if position is Position.LATE else 32
    with in_mode(stage, training=False):
        macs = count_complexity(stage, torch.empty(1, channels, size, size, device="meta")).macs
    return {"macs": macs, "params": count_parameters(stage).total}


def test_every_block_of_the_zoo_has_a_knob_or_a_reason_to_have_none() -> None:
    assert set(ZOO) - set(BLOCKS) == set(WITHOUT_KNOB)
    assert len(BLOCKS) >= 101


@pytest.mark.parametrize("block", BLOCKS)
def test_the_knob_is_a_keyword_of_the_factory_whose_published_value_is_its_default(
    block: str,
) -> None:
    spec = get_block(block)
    parameter = inspect.signature(spec.factory).parameters[spec.knob]
    assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
    assert (parameter.default is None) == (block in PUBLISHED_BY_POSITION)


@pytest.mark.parametrize("block", BLOCKS)
def test_at_its_published_capacity_a_block_is_the_published_one(block: str) -> None:
    spec = get_block(block)
    two = ScaffoldConfig(depth=2)  # further blocks of a stage are as its second
    for position in POSITIONS:
        turned = spec.at_capacity(_published(block, position))
        found = describe(Placement.of(turned, position, two).meta_stage())
        assert found.digest == describe(Placement.of(spec, position, two).meta_stage()).digest


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS)
def test_a_larger_value_never_makes_a_smaller_stage(block: str) -> None:
    published = _published(block, Position.MID)
    values = [LEAST, *(factor * published for factor in (0.3, 0.7, 1, 1.1, 2.5))]
    costs = [_costs(block, Position.MID, value) for value in values]
    for budget in BUDGETS:
        spent = [cost[budget] for cost in costs]
        assert spent == sorted(spent)
        assert spent[0] < spent[3] < spent[-1]
        assert spent[3] == _costs(block, Position.MID, None)[budget]


@pytest.mark.parametrize("block", QUICK)
def test_the_context_s_costs_are_in_reach_at_mid(block: str) -> None:
    _check_reach(block, Position.MID)


@pytest.mark.slow
@pytest.mark.parametrize("position", [Position.EARLY, Position.LATE])
@pytest.mark.parametrize("block", BLOCKS)
def test_the_context_s_costs_are_in_reach(block: str, position: Position) -> None:
    _check_reach(block, position)


def _check_reach(block: str, position: Position) -> None:
    for budget in BUDGETS:
        missed = _nearest(block, position, budget)
        known = OUT_OF_REACH.get((block, position, budget))
        if known is None:
            assert abs(missed) <= TOLERANCE
        else:
            assert missed == pytest.approx(known, abs=0.001)


def _nearest(block: str, position: Position, budget: Budget) -> float:
    """Return how far from the context's cost the nearest capacity of four digits leaves it."""
    target = _costs("ResNetBasicBlock", position, None)[budget]

    def missed(value: float) -> float:
        return _costs(block, position, value)[budget] / target - 1

    low = high = float(f"{_published(block, position):.4g}")
    while missed(low) > 0 and low > LEAST:
        low = max(float(f"{low / 2:.4g}"), LEAST)
    while missed(high) < 0 and high < MOST:
        high = min(2 * high, MOST)
    while min(abs(missed(low)), abs(missed(high))) > TOLERANCE and missed(low) < 0 < missed(high):
        # Costs are nearly straight lines, so the crossing is near where a line would cross.
        share = missed(low) / (missed(low) - missed(high))
        value = float(f"{low + (high - low) * min(max(share, 0.1), 0.9):.4g}")
        if value in (low, high):
            break
        low, high = (value, high) if missed(value) < 0 else (low, value)
    return min(missed(low), missed(high), key=abs)
