"""What parts of the scaffold cost, in both modes."""

from __future__ import annotations

import importlib

import pytest
from torch import Tensor, nn

from blockzoo.blocks import list_available_blocks
from blockzoo.experiments import part_costs
from blockzoo.experiments.part_costs import stage_cost
from blockzoo.scaffold.net import ScaffoldConfig


class OneMoreInTraining(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.aux = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.conv(x)
        return output + self.aux(x) if self.training else output


def test_a_branch_of_training_alone_is_in_the_macs_of_training_alone() -> None:
    tiny = ScaffoldConfig(width=4, depth=1, input_shape=(3, 8, 8))
    cost = stage_cost(f"{__name__}:OneMoreInTraining", "mid", tiny)
    once = 8 * 4 * 9 * 4 * 4
    assert cost.train.macs == once
    assert cost.training_macs == 2 * 3 * once


@pytest.mark.parametrize("layer", sorted(part_costs._MODE_CHANGES_NO_PRODUCT))
def test_a_layer_that_is_told_to_multiply_alike_in_both_modes_is_there_to_look_at_the_mode(
    layer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, _, name = layer.rpartition(".")
    kind = getattr(importlib.import_module(module), name)
    assert not part_costs._heeds_mode(kind)
    monkeypatch.setattr(part_costs, "_MODE_CHANGES_NO_PRODUCT", frozenset())
    assert part_costs._heeds_mode(kind)


@pytest.mark.slow
@pytest.mark.parametrize("block", list_available_blocks())
def test_blocks_of_the_zoo_cost_the_same_counted_in_either_mode(
    block: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = stage_cost(block, "mid")
    monkeypatch.setattr(part_costs, "_heeds_mode", lambda kind: True)
    # Where a product is shared by the images of a batch, half of two is not quite one.
    assert stage_cost(block, "mid").training_macs == pytest.approx(once.training_macs, rel=1e-5)
