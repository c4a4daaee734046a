"""Networks without weights: the same structure, fingerprints and coinciding positions."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest
import torch
from torch import Tensor, nn

from blockzoo.blocks import BlockSpec, get_block, to_deploy
from blockzoo.core.errors import UnknownNameError
from blockzoo.core.position import POSITIONS, Position
from blockzoo.scaffold.net import (
    ScaffoldConfig,
    ScaffoldNet,
    block_fingerprint,
    network_fingerprint,
)
from blockzoo.scaffold.placement import (
    build_without_data,
    deploy_without_data,
    fingerprints,
    parts_without_data,
    same_positions,
    scaffold_identity,
    scaffold_settings,
    stage_without_data,
)

SMALL = ScaffoldConfig(width=8, depth=2, classes=3, input_shape=(3, 16, 16))


def spec(factory: object, name: str = "Made up") -> BlockSpec:
    assert callable(factory)
    return BlockSpec(
        name=name,
        family="test",
        year=2024,
        paper="",
        source="here",
        licence="Apache-2.0",
        formula="y = f(x)",
        factory=factory,
    )


def conv(in_channels: int, out_channels: int, stride: int, position: Position) -> nn.Module:
    return nn.Conv2d(in_channels, out_channels, 3, stride, padding=1)


def refuses(in_channels: int, out_channels: int, stride: int, position: Position) -> nn.Module:
    raise ValueError("not today")


def needs_numbers(
    in_channels: int, out_channels: int, stride: int, position: Position
) -> nn.Module:
    kernel = 1 + 2 * int(torch.ones(1).item())
    return nn.Conv2d(in_channels, out_channels, kernel, stride, padding=1)


class Merging(nn.Module):
    """y = conv(x) + conv(x), merged with a look at the weights."""

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, position: Position
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1, stride)
        self.other: nn.Conv2d | None = nn.Conv2d(in_channels, out_channels, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return y if self.other is None else y + self.other(x)

    def reparameterize(self) -> None:
        assert self.other is not None
        if float(self.other.weight.detach().sum()) == float("inf"):
            raise ValueError("infinite")
        self.other = None


def test_settings_are_the_configuration() -> None:
    settings = scaffold_settings(SMALL)
    assert (settings.width, settings.depth, settings.classes) == (8, 2, 3)
    assert ScaffoldConfig(**settings.model_dump()) == replace(SMALL, stem="small")


def test_the_small_stem_is_no_part_of_an_identity() -> None:
    """So that trials from before there was a large one keep their ids."""
    known = asdict(SMALL)
    del known["stem"]
    assert scaffold_identity(SMALL) == scaffold_identity(replace(SMALL, stem="small")) == known
    large = replace(SMALL, input_shape=(3, 128, 128))
    assert scaffold_identity(large) == scaffold_identity(replace(large, stem="large"))
    assert scaffold_identity(large)["stem"] == scaffold_settings(large).stem == "large"


@pytest.mark.parametrize("block", ["ResNetBasicBlock", "InvertedResidual", "MobileOneBlock"])
@pytest.mark.parametrize("position", POSITIONS)
def test_fingerprints_are_those_of_the_real_network(block: str, position: Position) -> None:
    net = ScaffoldNet(block, position, SMALL)
    found = fingerprints(block, position, SMALL)
    assert found.network == network_fingerprint(net)
    assert found.block == block_fingerprint(net)


def test_parts_are_those_of_the_real_network_without_data() -> None:
    net = ScaffoldNet("MobileOneBlock", Position.MID, SMALL)
    parts = parts_without_data("MobileOneBlock", Position.MID, SMALL)
    assert list(parts) == list(net.parts())
    for name, part in net.parts().items():
        shapes = {key: value.shape for key, value in part.state_dict().items()}
        assert {key: value.shape for key, value in parts[name].state_dict().items()} == shapes
        assert all(value.is_meta for value in parts[name].parameters())


def test_the_context_is_one_network_at_all_positions() -> None:
    for position in POSITIONS:
        assert same_positions("ResNetBasicBlock", position, SMALL) == POSITIONS
        assert same_positions("InvertedResidual", position, SMALL) == (position,)


def test_a_block_that_equals_the_context_at_some_positions_coincides_there() -> None:
    context = get_block("ResNetBasicBlock")

    def sometimes(
        in_channels: int, out_channels: int, stride: int, position: Position
    ) -> nn.Module:
        make = conv if position is Position.MID else context.factory
        return make(in_channels, out_channels, stride, position)

    block = spec(sometimes)
    ends = (Position.EARLY, Position.LATE)
    assert same_positions(block, Position.EARLY, SMALL) == ends
    assert same_positions(block, Position.LATE, SMALL) == ends
    assert same_positions(block, Position.MID, SMALL) == (Position.MID,)
    prints = {p: network_fingerprint(ScaffoldNet(block, p, SMALL)) for p in POSITIONS}
    assert prints[Position.EARLY] == prints[Position.LATE] != prints[Position.MID]


def test_a_block_that_cannot_be_built_has_no_fingerprint_and_no_twin() -> None:
    block = spec(refuses)
    found = [fingerprints(block, position, SMALL) for position in POSITIONS]
    assert [one.block for one in found] == ["", "", ""]
    assert len({one.network for one in found}) == 3
    assert same_positions(block, Position.MID, SMALL) == (Position.MID,)


def test_an_unknown_context_is_not_taken_for_a_block_that_fails() -> None:
    with pytest.raises(UnknownNameError, match="Nonesuch"):
        fingerprints("ResNetBasicBlock", Position.MID, ScaffoldConfig(context="Nonesuch"))


def test_a_constructor_that_needs_numbers_is_run_on_the_cpu() -> None:
    net = build_without_data(spec(needs_numbers), Position.MID, SMALL)
    assert all(value.is_meta for value in net.parameters())
    assert net.stage(Position.MID)[0].weight.shape == (16, 8, 3, 3)


def test_deploy_form_is_the_part_itself_where_nothing_merges() -> None:
    stage = stage_without_data(get_block("ResNetBasicBlock"), Position.MID, SMALL)
    assert deploy_without_data(stage) is stage


@pytest.mark.parametrize("block", ["MobileOneBlock", "RepMixer", "ReparamLargeKernelConv"])
def test_deploy_form_has_the_shapes_of_the_real_one(block: str) -> None:
    stage = stage_without_data(get_block(block), Position.MID, SMALL)
    before = [value.shape for value in stage.parameters()]
    real = to_deploy(ScaffoldNet(block, Position.MID, SMALL).stage(Position.MID)).state_dict()
    merged = deploy_without_data(stage).state_dict()
    assert {k: v.shape for k, v in merged.items()} == {k: v.shape for k, v in real.items()}
    assert [value.shape for value in stage.parameters()] == before


def test_merging_that_looks_at_weights_is_done_on_the_cpu() -> None:
    stage = stage_without_data(spec(Merging), Position.MID, SMALL)
    merged = deploy_without_data(stage)
    assert all(value.is_meta for value in merged.parameters())
    assert sum(1 for _ in merged.parameters()) * 2 == sum(1 for _ in stage.parameters())
