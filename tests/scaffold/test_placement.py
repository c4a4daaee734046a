"""Placements: names resolved once, networks without weights, fingerprints, equal positions."""

from __future__ import annotations

import pickle
import secrets
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from blockzoo.blocks import BlockSpec, fingerprint, get_block, to_deploy
from blockzoo.core.errors import UnknownNameError
from blockzoo.core.position import POSITIONS, Position
from blockzoo.scaffold.net import ScaffoldConfig, ScaffoldNet
from blockzoo.scaffold.placement import Placement, meta_deploy

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


@pytest.mark.parametrize("block", ["ResNetBasicBlock", "InvertedResidual", "MobileOneBlock"])
@pytest.mark.parametrize("position", POSITIONS)
def test_fingerprints_are_those_of_the_real_network(block: str, position: Position) -> None:
    net = ScaffoldNet(block, position, SMALL)
    prints = Placement.of(block, position, SMALL).fingerprints
    assert prints.network == fingerprint(nn.Sequential(*net.parts().values()))
    assert prints.block == fingerprint(net.stage(position))


def test_parts_are_those_of_the_real_network_without_data() -> None:
    net = ScaffoldNet("MobileOneBlock", Position.MID, SMALL)
    parts = Placement.of("MobileOneBlock", "mid", SMALL).meta_parts()
    assert list(parts) == list(net.parts())
    for name, part in net.parts().items():
        shapes = {key: value.shape for key, value in part.state_dict().items()}
        assert {key: value.shape for key, value in parts[name].state_dict().items()} == shapes
        assert all(value.is_meta for value in parts[name].parameters())


def test_the_context_is_one_network_at_all_positions() -> None:
    for position in POSITIONS:
        assert Placement.of("ResNetBasicBlock", position, SMALL).positions == POSITIONS
        assert Placement.of("InvertedResidual", position, SMALL).positions == (position,)


def test_a_block_that_equals_the_context_at_some_positions_coincides_there() -> None:
    context = get_block("ResNetBasicBlock")

    def sometimes(
        in_channels: int, out_channels: int, stride: int, position: Position
    ) -> nn.Module:
        make = conv if position is Position.MID else context.factory
        return make(in_channels, out_channels, stride, position)

    block = spec(sometimes)
    ends = (Position.EARLY, Position.LATE)
    assert Placement.of(block, Position.EARLY, SMALL).positions == ends
    assert Placement.of(block, Position.LATE, SMALL).positions == ends
    assert Placement.of(block, Position.MID, SMALL).positions == (Position.MID,)
    prints = {p: Placement(block, p, SMALL).fingerprints.network for p in POSITIONS}
    assert prints[Position.EARLY] == prints[Position.LATE] != prints[Position.MID]


def test_a_block_that_cannot_be_built_has_no_fingerprint_and_no_twin() -> None:
    block = spec(refuses)
    prints = [Placement(block, position, SMALL).fingerprints for position in POSITIONS]
    assert [each.block for each in prints] == ["", "", ""]
    assert len({each.network for each in prints}) == 3
    assert Placement.of(block, Position.MID, SMALL).positions == (Position.MID,)


class Random(nn.Conv2d):
    """A convolution whose constructor draws from a generator that nobody seeds."""

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, position: Position
    ) -> None:
        super().__init__(in_channels, out_channels, 3, stride, 1)
        self.register_buffer("drawn", torch.full((1,), secrets.randbelow(2**30)))


def test_a_block_that_is_another_at_each_build_is_unsure() -> None:
    block = spec(Random)
    prints = [Placement(block, p, SMALL).fingerprints for p in POSITIONS]
    assert {each.unsure for each in prints} == {("two builds of Made up with one seed differ",)}
    assert Placement.of("MobileOneBlock", "mid", SMALL).fingerprints.unsure == ()


def too_large(in_channels: int, out_channels: int, stride: int, position: Position) -> nn.Module:
    if torch.empty(0).device.type != "meta":
        raise MemoryError("4 TB")
    return nn.Conv2d(in_channels, out_channels, 3, stride, padding=1)


def test_a_block_that_cannot_be_built_with_weights_is_known_but_unsure() -> None:
    found = Placement.of(spec(too_large), "mid", SMALL).fingerprints
    structure = fingerprint(Placement.of(spec(conv), "mid", SMALL).meta_stage())
    assert found.block == structure
    (reason,) = found.unsure
    assert reason.startswith("its start values are not known: block Made up cannot be built")


def test_start_values_count_for_a_users_block_and_not_for_the_zoos() -> None:
    plain, scaled = (spec(partial(with_scale, value)) for value in (1.0, 10.0))
    mid = [Placement.of(each, "mid", SMALL).fingerprints for each in (plain, scaled)]
    structures = [
        fingerprint(Placement.of(each, "mid", SMALL).meta_stage()) for each in (plain, scaled)
    ]
    assert structures[0] == structures[1]
    assert mid[0].block != mid[1].block
    assert mid[0].network != mid[1].network
    zoo = Placement.of("MobileOneBlock", "mid", SMALL)
    assert zoo.fingerprints.block == fingerprint(zoo.meta_stage())


def with_scale(
    value: float, in_channels: int, out_channels: int, stride: int, position: Position
) -> nn.Module:
    module = conv(in_channels, out_channels, stride, position)
    module.register_parameter("scale", nn.Parameter(torch.full((1,), value)))
    return module


def test_fingerprints_go_from_process_to_process() -> None:
    found = Placement.of(spec(Random), "mid", SMALL).fingerprints
    assert pickle.loads(pickle.dumps(found)) == found


def test_an_unknown_context_is_not_taken_for_a_block_that_fails() -> None:
    with pytest.raises(UnknownNameError, match="Nonesuch"):
        Placement.of("ResNetBasicBlock", "mid", ScaffoldConfig(context="Nonesuch"))


def test_a_constructor_that_needs_numbers_is_run_on_the_cpu() -> None:
    net = Placement.of(spec(needs_numbers), "mid", SMALL).meta()
    assert all(value.is_meta for value in net.parameters())
    assert net.stage(Position.MID)[0].weight.shape == (16, 8, 3, 3)


def test_deploy_form_is_the_part_itself_where_nothing_merges() -> None:
    stage = Placement.of("ResNetBasicBlock", "mid", SMALL).meta_stage()
    assert meta_deploy(stage) is stage


@pytest.mark.parametrize("block", ["MobileOneBlock", "RepMixer", "ReparamLargeKernelConv"])
def test_deploy_form_has_the_shapes_of_the_real_one(block: str) -> None:
    stage = Placement.of(block, "mid", SMALL).meta_stage()
    before = [value.shape for value in stage.parameters()]
    real = to_deploy(ScaffoldNet(block, Position.MID, SMALL).stage(Position.MID)).state_dict()
    merged = meta_deploy(stage).state_dict()
    assert {k: v.shape for k, v in merged.items()} == {k: v.shape for k, v in real.items()}
    assert [value.shape for value in stage.parameters()] == before


def test_merging_that_looks_at_weights_is_done_on_the_cpu() -> None:
    stage = Placement.of(spec(Merging), "mid", SMALL).meta_stage()
    merged = meta_deploy(stage)
    assert all(value.is_meta for value in merged.parameters())
    assert sum(1 for _ in merged.parameters()) * 2 == sum(1 for _ in stage.parameters())


def test_the_door_resolves_names_text_and_defaults() -> None:
    placement = Placement.of("MobileOneBlock", "late")
    assert placement == Placement(get_block("MobileOneBlock"), Position.LATE, ScaffoldConfig())
    assert (placement.label, placement.stage_name) == ("MobileOneBlock (late)", "stage_late")
    assert placement.at(Position.MID).position is Position.MID
    assert placement.context.spec.name == "ResNetBasicBlock"
    with pytest.raises(UnknownNameError, match="unknown position 'middle'"):
        Placement.of("MobileOneBlock", "middle")
    with pytest.raises(UnknownNameError, match="unknown block 'MobileTwo'"):
        Placement.of("MobileTwo", "mid")


def test_one_network_has_one_recorded_fingerprint() -> None:
    prints = {Placement.of("ResNetBasicBlock", p, SMALL).recorded_fingerprint for p in POSITIONS}
    assert prints == {Placement.of("ResNetBasicBlock", "early", SMALL).fingerprints.block}
