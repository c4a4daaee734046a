"""The initialisation policy: deviations by fan-out per group, and what it leaves alone."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from blockzoo.blocks import get_block, initialise
from blockzoo.core.position import Position


@pytest.fixture(autouse=True)
def _seed() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.mark.parametrize(
    ("conv", "fan_out"),
    [
        (nn.Conv2d(64, 128, 3), 128 * 9),
        (nn.Conv2d(256, 64, 1), 64),
        (nn.Conv2d(512, 512, 5, groups=512), 25),
        (nn.Conv2d(128, 256, 3, groups=8), 32 * 9),
        (nn.Conv2d(512, 512, (5, 1), groups=512), 5),
        (nn.Conv1d(64, 128, 3), 128 * 3),
    ],
    ids=["dense", "pointwise", "depthwise", "grouped", "one-sided", "over-sequences"],
)
def test_convolutions_are_drawn_by_fan_out_per_group(
    conv: nn.Conv1d | nn.Conv2d, fan_out: int
) -> None:
    initialise(conv)
    assert conv.weight.std().item() == pytest.approx(math.sqrt(2 / fan_out), rel=0.05)
    assert abs(conv.weight.mean().item()) < 0.1 * math.sqrt(2 / fan_out)
    assert conv.bias is not None
    assert not conv.bias.any()


def test_linear_layers_are_drawn_narrow_and_cut_at_two_deviations() -> None:
    linear = nn.Linear(256, 256)
    initialise(linear)
    # A normal distribution cut at two deviations has 0.8796 of its deviation left.
    assert linear.weight.std().item() == pytest.approx(0.02 * 0.8796, rel=0.03)
    assert linear.weight.abs().max().item() <= 0.04
    assert not linear.bias.any()


@pytest.mark.parametrize("norm", [nn.BatchNorm2d(8), nn.GroupNorm(2, 8), nn.LayerNorm(8)])
def test_normalisation_starts_as_the_identity(norm: nn.Module) -> None:
    nn.init.zeros_(norm.get_parameter("weight"))
    nn.init.ones_(norm.get_parameter("bias"))
    initialise(nn.Sequential(norm))
    assert torch.equal(norm.get_parameter("weight"), torch.ones(8))
    assert torch.equal(norm.get_parameter("bias"), torch.zeros(8))


def test_normalisation_without_parameters_is_left_alone() -> None:
    norm = nn.BatchNorm2d(8, affine=False)
    initialise(norm)
    assert norm.weight is None


@pytest.mark.parametrize("name", ["TinyViTMBConv", "SHViTBlock", "EfficientViTCGA"])
def test_no_branch_starts_silent_because_its_library_zeroes_the_last_norm(name: str) -> None:
    block = get_block(name).build(16, 16, 1, Position.MID)
    norms = [layer for layer in block.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert norms
    assert all(torch.equal(norm.weight, torch.ones_like(norm.weight)) for norm in norms)


def test_everything_else_keeps_what_its_constructor_gave() -> None:
    scales = [
        parameter
        for name, parameter in get_block("RepMixer").build(8, 8, 1, Position.MID).named_parameters()
        if name.endswith("gamma")
    ]
    assert len(scales) == 2
    assert all(torch.allclose(scale, torch.tensor(1e-5)) for scale in scales)


def test_classic_blocks_keep_their_librarys_initialisation() -> None:
    faithful = get_block("MBConvLNBlock").build(64, 64, 1, Position.MID)
    classic = get_block("classic/MBConvLNBlock").build(64, 64, 1, Position.MID)
    weights = [block.get_parameter("conv2_kxk.weight") for block in (faithful, classic)]
    # Depthwise 3x3: the policy has sqrt(2 / 9); torch's default is uniform up to 1 / 3.
    assert weights[0].std().item() == pytest.approx(math.sqrt(2 / 9), rel=0.05)
    assert weights[1].std().item() == pytest.approx(1 / 3 / math.sqrt(3), rel=0.05)
    assert weights[1].abs().max().item() <= 1 / 3
