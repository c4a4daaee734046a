"""The scaffold: paired weights, shapes, and errors that name the block at fault."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from blockzoo.blocks import BlockSpec, fingerprint, get_block, list_available_blocks
from blockzoo.core.errors import BlockError, InputError, UnknownNameError
from blockzoo.core.position import POSITIONS, Position
from blockzoo.core.seeding import preserved
from blockzoo.experiments.part_costs import measured_parts
from blockzoo.scaffold.net import ScaffoldConfig, ScaffoldNet
from blockzoo.scaffold.placement import Placement

_SMALL = ScaffoldConfig(depth=2, width=8, classes=5, input_shape=(3, 16, 16))


def _spec(factory: Any, name: str = "Mine") -> BlockSpec:
    return BlockSpec(
        name=name,
        family="plain",
        year=2020,
        paper="2001.00001",
        source="this test",
        licence="Apache-2.0",
        formula="y = f(x)",
        factory=factory,
    )


def _equal_states(one: nn.Module, other: nn.Module) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(
        torch.equal(value, second[key]) for key, value in first.items()
    )


class _Faulty(nn.Module):
    """A 3x3 convolution whose output `fault` spoils."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, fault: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1)
        self.fault = fault

    def forward(self, x: Tensor) -> Any:
        return self.fault(self.conv(x))


def _faulty(fault: Any) -> BlockSpec:
    return _spec(lambda i, o, s, _: _Faulty(i, o, s, fault))


def _needs_data() -> BlockSpec:
    # `item` reads a value, which tensors on the meta device do not have.
    return _faulty(lambda y: y if y.sum().item() < float("inf") else y[:1])


@pytest.mark.parametrize("position", Position)
@pytest.mark.parametrize("block", list_available_blocks())
def test_every_block_fits_every_position(block: str, position: Position) -> None:
    net = ScaffoldNet(block, position, ScaffoldConfig(context="Identity", depth=1, width=8)).eval()
    with torch.no_grad():
        logits = net(torch.randn(2, 3, 32, 32))
    assert logits.shape == (2, 10)
    assert torch.isfinite(logits).all()
    assert net.stage(position) is net.parts()[f"stage_{position}"]


def test_parts_are_in_the_order_of_the_forward_pass() -> None:
    net = ScaffoldNet("ResNetBasicBlock", "mid", _SMALL).eval()
    images = torch.randn(2, 3, 16, 16)
    assert list(net.parts()) == ["stem", "stage_early", "stage_mid", "stage_late", "head"]
    features = images
    shapes = []
    for part in net.parts().values():
        features = part(features)
        shapes.append(tuple(features.shape[1:]))
    assert shapes == [(8, 16, 16), (8, 16, 16), (16, 8, 8), (32, 4, 4), (5,)]
    assert torch.equal(net(images), features)


@pytest.mark.parametrize("position", Position)
@pytest.mark.parametrize("block", ["InvertedResidual", "DYMicroBlock", "Identity"])
def test_one_seed_gives_all_blocks_the_same_surroundings(block: str, position: Position) -> None:
    baseline = ScaffoldNet("ResNetBasicBlock", position, _SMALL, seed=3)
    net = ScaffoldNet(block, position, _SMALL, seed=3)
    surroundings = [name for name in net.parts() if name != f"stage_{position}"]
    assert len(surroundings) == 4
    for name in surroundings:
        assert _equal_states(net.parts()[name], baseline.parts()[name]), name


def test_weights_follow_the_seed_and_only_the_seed() -> None:
    first = ScaffoldNet("MobileOneBlock", "mid", _SMALL, seed=1)
    torch.rand(7)
    assert _equal_states(first, ScaffoldNet("MobileOneBlock", "mid", _SMALL, seed=1))
    other = ScaffoldNet("MobileOneBlock", "mid", _SMALL, seed=2)
    for name, part in first.parts().items():
        assert not _equal_states(part, other.parts()[name]), name


def test_parts_do_not_share_their_random_numbers() -> None:
    config = ScaffoldConfig(depth=2, width=8)
    net = ScaffoldNet("ResNetBasicBlock", "early", config)
    stage = net.stage(Position.EARLY)
    assert not torch.equal(
        stage.get_parameter("0.conv2.weight"), stage.get_parameter("1.conv2.weight")
    )
    mid = net.stage(Position.MID).get_parameter("0.conv1.weight").flatten()
    early = stage.get_parameter("0.conv1.weight").flatten()
    # The same draws would differ only by the factor between their deviations.
    assert not torch.allclose(early / early[0], mid[: len(early)] / mid[0])


def test_building_leaves_the_global_generators_alone() -> None:
    states = (torch.get_rng_state(), random.getstate(), repr(np.random.get_state()))
    ScaffoldNet("DYMicroBlock", "late", _SMALL, seed=9)
    ScaffoldNet(_needs_data(), "mid", _SMALL, seed=9)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert repr(np.random.get_state()) == states[2]


class _DrawsElsewhere(nn.Module):
    """A block whose constructor draws from all three global generators, whose forward from two."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1, stride)
        self.drawn = nn.Parameter(
            torch.tensor(
                [random.random(), float(np.random.standard_normal()), float(torch.rand(()))]
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x) * (random.random() + float(np.random.rand()))
        return y


def test_a_block_that_draws_from_numpy_and_random_follows_the_seed_alone() -> None:
    spec = _spec(lambda i, o, s, _: _DrawsElsewhere(i, o, s), "DrawsElsewhere")
    first = ScaffoldNet(spec, "mid", _SMALL, seed=1)
    states = (torch.get_rng_state(), random.getstate(), repr(np.random.get_state()))
    with preserved():
        drawn = random.random(), np.random.rand()
        second = ScaffoldNet(spec, "mid", _SMALL, seed=1)
        other = ScaffoldNet(spec, "mid", _SMALL, seed=2)
    assert all(0 <= value < 1 for value in drawn)
    assert _equal_states(first, second)
    mine, theirs = (net.get_parameter("stage_mid.0.drawn") for net in (first, other))
    assert bool((mine != theirs).all())
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert repr(np.random.get_state()) == states[2]


def test_a_block_in_its_own_context_is_one_network_at_all_positions() -> None:
    nets = [ScaffoldNet("ResNetBasicBlock", position, _SMALL, seed=4) for position in POSITIONS]
    assert len({fingerprint(nn.Sequential(*net.parts().values())) for net in nets}) == 1
    assert len({fingerprint(net.stage(net.position)) for net in nets}) == 3
    assert all(_equal_states(nets[0], net) for net in nets[1:])


def test_another_block_is_another_network_at_each_position() -> None:
    nets = [ScaffoldNet("InvertedResidual", position, _SMALL) for position in POSITIONS]
    assert len({fingerprint(nn.Sequential(*net.parts().values())) for net in nets}) == 3


def test_identity_context_isolates_the_block() -> None:
    config = ScaffoldConfig(context="Identity", depth=2, width=8, classes=5)
    net = ScaffoldNet("ResNetBasicBlock", "mid", config)
    assert not list(net.stage(Position.EARLY).parameters())
    assert not list(net.stage(Position.LATE).parameters())
    loss = net(torch.randn(2, 3, 32, 32)).square().sum()
    loss.backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


@pytest.mark.parametrize(("stem_bias", "parameters"), [(False, 3 * 8 * 9), (True, 3 * 8 * 9 + 8)])
def test_stem_bias(stem_bias: bool, parameters: int) -> None:
    config = ScaffoldConfig(depth=1, width=8, stem_bias=stem_bias)
    conv = ScaffoldNet("Identity", "early", config).stem[0]
    assert sum(parameter.numel() for parameter in conv.parameters()) == parameters


@pytest.mark.parametrize(
    ("height", "breadth", "stem", "kind"),
    [
        (127, 500, "auto", "small"),
        (128, 128, "auto", "large"),
        (224, 160, "auto", "large"),
        (224, 224, "small", "small"),
        (9, 6, "large", "large"),
        (9, 6, "half", "half"),
        (130, 128, "half", "half"),
    ],
)
def test_large_inputs_have_the_stem_of_resnet(
    height: int, breadth: int, stem: Literal["auto", "small", "half", "large"], kind: str
) -> None:
    config = ScaffoldConfig(
        context="Identity", depth=1, width=4, input_shape=(3, height, breadth), stem=stem
    )
    assert config.stem_kind == kind
    net = ScaffoldNet("ResNetBasicBlock", "mid", config)
    images = torch.randn(2, 3, height, breadth)
    assert net.stem(images).shape == (2, 4, *config.stem_size)
    assert net(images).shape == (2, 10)
    side = 7 if kind == "large" else 3
    assert sum(p.numel() for p in net.stem[0].parameters()) == 3 * 4 * side**2
    if kind == "large":
        assert config.stem_size == (-(-height // 4), -(-breadth // 4))
        torch.testing.assert_close(net.stem(images).amax(), net.stem[:3](images).amax())
    if kind == "half":
        assert config.stem_size == (-(-height // 2), -(-breadth // 2))


def test_the_costs_of_a_large_stem_by_hand() -> None:
    config = ScaffoldConfig(width=8, input_shape=(3, 130, 128))
    cost = measured_parts(Placement.of("Identity", Position.MID, config))["stem"].cost
    assert cost.deploy.params_total == 3 * 8 * 49 + 2 * 8
    assert cost.deploy.macs == 65 * 64 * 8 * 3 * 49
    early = measured_parts(Placement.of("Identity", Position.MID, config))["stage_early"].cost
    # Six 3x3 convolutions at 33x32.
    assert early.deploy.macs == 6 * 33 * 32 * 8 * 8 * 9


def test_a_half_stem_takes_a_quarter_of_the_work() -> None:
    costs = [
        measured_parts(Placement.of("ResNetBasicBlock", Position.MID, each))
        for each in (_SMALL, replace(_SMALL, stem="half"))
    ]
    small, half = ({name: part.cost.deploy for name, part in each.items()} for each in costs)
    assert half.keys() == small.keys()
    for name in ("stem", "stage_early", "stage_mid", "stage_late"):
        assert (half[name].macs, half[name].params_total) == (
            small[name].macs // 4,
            small[name].params_total,
        )


@settings(max_examples=20, deadline=None)
@given(
    depth=st.integers(1, 3),
    width=st.integers(1, 6),
    classes=st.integers(2, 7),
    height=st.integers(4, 21),
    breadth=st.integers(4, 21),
    position=st.sampled_from(Position),
)
def test_any_allowed_scaffold_maps_images_to_logits(
    depth: int, width: int, classes: int, height: int, breadth: int, position: Position
) -> None:
    config = ScaffoldConfig(
        context="Identity",
        depth=depth,
        width=width,
        classes=classes,
        input_shape=(3, height, breadth),
    )
    net = ScaffoldNet("ResNetBasicBlock", position, config)
    assert len(net.stage(position)) == depth
    assert net(torch.randn(2, 3, height, breadth)).shape == (2, classes)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"depth": 0}, "depth is 0; it must be 1 or more"),
        ({"width": -8}, "width is -8; it must be 1 or more"),
        ({"depth": 10**6}, "depth is 1000000; it must be within 1..1000"),
        ({"width": 10**5000}, "width is a number of 16610 bits; it must be within 1..4096"),
        ({"width": 8.0}, "width is 8.0; it must be a whole number within 1..4096"),
        ({"classes": 10**7}, "classes is 10000000; it must be within 2..1000000"),
        ({"input_shape": (3, 32, 10**9)}, "is 1000000000; it must be within 4..8192"),
        ({"classes": 1}, "classes is 1; it must be 2 or more"),
        ({"input_shape": (1, 28, 28)}, r"input shape is \(1, 28, 28\); it must be \(3, H, W\)"),
        (
            {"input_shape": (3, 3, 32)},
            "is 3; it must be 4 or more",
        ),
        ({"stem": "huge"}, "stem is 'huge'; it must be auto, small, half or large"),
        ({"input_shape": (2, 3, 32, 32)}, r"input shape is \(2, 3, 32, 32\)"),
    ],
)
def test_values_that_cannot_work_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ScaffoldConfig(**values)


def test_unknown_names_are_refused_with_near_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown block .* did you mean ResNetBasicBlock"):
        ScaffoldNet("ResnetBasicBlok", "mid")
    with pytest.raises(UnknownNameError, match="unknown position 'middle'; did you mean mid"):
        ScaffoldNet("ResNetBasicBlock", "middle")
    with pytest.raises(UnknownNameError, match="unknown block 'Nothing'"):
        ScaffoldNet("ResNetBasicBlock", "mid", ScaffoldConfig(context="Nothing"))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lambda y: y[:, 1:], r"maps \(2, 8, 8, 8\) to \(2, 15, 4, 4\); it must be \(2, 16, 4, 4\)"),
        (lambda y: y[..., 1:], r"to \(2, 16, 4, 3\); it must be \(2, 16, 4, 4\)"),
        (lambda y: (y, y), "returns tuple, not a tensor"),
        (lambda y: y @ y.flatten(), r"raises on input \(2, 8, 8, 8\): RuntimeError"),
        (lambda y: y.undefined, "raises on input .*: AttributeError"),
    ],
    ids=["channels", "size", "tuple", "raises", "attribute"],
)
def test_a_faulty_block_is_named_at_construction(fault: Any, message: str) -> None:
    config = ScaffoldConfig(context="Identity", depth=1, width=8, input_shape=(3, 8, 8))
    with pytest.raises(BlockError, match=rf"block Mine \(mid\) .*{message}"):
        ScaffoldNet(_faulty(fault), "mid", config)


def test_a_faulty_later_block_of_the_stage_is_found() -> None:
    spec = _spec(lambda i, o, s, _: _Faulty(i, o, s, lambda y: y if s == 2 else y[:, 1:]))
    with pytest.raises(BlockError, match=r"block Mine \(late\) maps \(2, 32, 4, 4\)"):
        ScaffoldNet(spec, "late", _SMALL)


def test_a_block_that_cannot_run_without_data_is_tried_with_data() -> None:
    net = ScaffoldNet(_needs_data(), "mid", _SMALL)
    assert net(torch.randn(2, 3, 16, 16)).shape == (2, 5)


def test_checking_shapes_leaves_statistics_untouched() -> None:
    net = ScaffoldNet("ResNetBasicBlock", "mid", _SMALL)
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms
    assert all(norm.num_batches_tracked == 0 for norm in norms)
    spec = _faulty(nn.BatchNorm2d(16))
    spec_net = ScaffoldNet(spec, "mid", _SMALL)
    counted = [value for name, value in spec_net.named_buffers() if "num_batches" in name]
    assert all(value == 0 for value in counted)


def test_a_block_that_refuses_the_width_is_named() -> None:
    with pytest.raises(BlockError, match="block ResNetBottleneck cannot be built with in=10"):
        ScaffoldNet("ResNetBottleneck", "early", ScaffoldConfig(width=10))


def test_a_spec_can_be_scaffolded_without_being_registered() -> None:
    net = ScaffoldNet(_faulty(nn.Identity()), Position.LATE, _SMALL)
    assert net.block.name == "Mine"
    assert "Mine" not in list_available_blocks()
    assert net.position is Position.LATE
    assert get_block("ResNetBasicBlock") is ScaffoldNet("ResNetBasicBlock", "mid", _SMALL).block


class _Coordinates(nn.Module):
    def __init__(self, into: int, out: int, stride: int, position: Position) -> None:
        super().__init__()
        self.conv = nn.Conv2d(into + 1, out, 3, stride, 1)
        self.kept: dict[torch.Size, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[-2:]
        if size not in self.kept:
            self.kept[size] = torch.ones(1, 1, *size, device=x.device)
        grid = self.kept[size].expand(len(x), -1, -1, -1)
        y: Tensor = self.conv(torch.cat([x, grid], 1))
        return y


def test_a_grid_kept_by_size_does_not_outlast_the_check_of_shapes() -> None:
    network = ScaffoldNet(_spec(_Coordinates), "mid", _SMALL)
    assert not any(block.kept for block in network.stage(Position.MID))
    assert network(torch.zeros(2, 3, 16, 16)).shape == (2, 5)


@pytest.mark.parametrize("device", ["any", "cpu"])
def test_weights_made_in_the_first_forward_are_named(device: str) -> None:
    class Late(nn.Module):
        def __init__(self, into: int, out: int, stride: int, position: Position) -> None:
            super().__init__()
            self.first = nn.Conv2d(into, out, 3, stride, 1)
            self.second: Any = None

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x)
            if self.second is None:
                if device == "cpu" and not bool(x.isfinite().all()):  # needs numbers
                    raise AssertionError
                self.second = nn.Conv2d(x.shape[1], x.shape[1], 3, 1, 1).to(x.device)
            y: Tensor = self.second(x)
            return y

    message = r"^block Mine \(mid\) makes weights in its first forward \(second.weight\)"
    with pytest.raises(BlockError, match=message):
        ScaffoldNet(_spec(Late), "mid", _SMALL)
