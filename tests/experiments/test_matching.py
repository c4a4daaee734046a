from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from blockzoo.blocks import get_block, register_block, registry
from blockzoo.blocks.registry import BlockSpec
from blockzoo.core.errors import InputError, UnknownNameError
from blockzoo.core.names import settings_of
from blockzoo.core.position import Position
from blockzoo.experiments.matching import TOLERANCE, Fit, fit
from blockzoo.experiments.part_costs import stage_cost
from blockzoo.experiments.protocol import get_protocol
from blockzoo.experiments.sweep.plan import SweepRequest, make_plan
from blockzoo.results.budgets import Match
from blockzoo.results.store.database import Store
from blockzoo.scaffold.net import ScaffoldConfig, ScaffoldNet
from blockzoo.scaffold.placement import Placement

_SCAFFOLD = ScaffoldConfig(width=16, depth=2)


@pytest.mark.parametrize("cost", ["macs", "params"])
@pytest.mark.parametrize("position", list(Position))
def test_a_stage_is_fitted_to_the_context_blocks(cost: str, position: Position) -> None:
    match = Match(cost=cost)  # type: ignore[arg-type]
    found = fit(Placement.of("InvertedResidual", position, _SCAFFOLD), match)
    context = stage_cost("ResNetBasicBlock", position, _SCAFFOLD).deploy
    built = stage_cost(found.fitted, position, _SCAFFOLD).deploy
    assert found.target == match.of(context)
    assert found.cost == match.of(built)
    assert found.reached
    assert abs(match.of(built) / match.of(context) - 1) <= TOLERANCE


def test_a_block_that_is_at_its_target_stays_as_published() -> None:
    found = fit(Placement.of("ResNetBasicBlock", "mid", _SCAFFOLD), Match(cost="macs"))
    assert (found.fitted, found.off, found.reason) == ("ResNetBasicBlock", 0.0, "")


def test_a_block_without_a_knob_is_stacked() -> None:
    # ConvBNAct at 16 channels: 9 x 16 x 16 weights and 2 x 16 of the norm, of which the folded
    # form keeps both; a stage of two ResNetBasicBlocks holds four such convolutions.
    found = fit(Placement.of("ConvBNAct", "early", _SCAFFOLD), Match(cost="params"))
    assert (found.fitted, found.knob, found.off) == ("ConvBNAct[depth=4]", "depth", 0.0)
    stage = Placement.of(found.fitted, "early", _SCAFFOLD).meta_stage()
    assert len(list(stage.children())) == 4


@pytest.mark.parametrize("cost", ["macs", "params"])
def test_a_knob_that_ends_above_the_target_is_turned_in_a_shallower_stage(cost: str) -> None:
    match = Match(cost=cost)  # type: ignore[arg-type]
    found = fit(Placement.of("MobileViTBlock", "late", ScaffoldConfig()), match)
    assert settings_of(found.fitted).keys() == {"width_ratio", "depth"}
    assert settings_of(found.fitted)["depth"] < ScaffoldConfig().depth
    assert found.reached
    built = Placement.of(found.fitted, "late", ScaffoldConfig())
    assert len(list(built.meta_stage().children())) == settings_of(found.fitted)["depth"]
    assert match.of(stage_cost(found.fitted, built.position, ScaffoldConfig()).deploy) == found.cost


def test_a_block_has_one_name_in_whatever_order_its_settings_are_given() -> None:
    named = "MobileViTBlock[width_ratio=0.5][depth=2]"
    assert get_block("MobileViTBlock[depth=2][width_ratio=0.5]").name == named
    assert get_block(named).at_capacity(1).name == "MobileViTBlock[width_ratio=1][depth=2]"


@pytest.mark.parametrize(("block", "budget"), [("Identity", 1.0), ("ConvBNAct", 0.01)])
def test_a_target_out_of_reach_says_what_is_nearest(block: str, budget: float) -> None:
    found = fit(Placement.of(block, "early", _SCAFFOLD), Match(cost="macs", budget=budget))
    assert not found.reached
    assert found.reason == (
        f"{block} cannot reach the target; nearest is {found.fitted}, {found.off:+.1%}"
    )


class _Wide(nn.Module):
    def __init__(
        self, in_channels: int, out_channels: int, stride: int, *, hidden: float = 1.0
    ) -> None:
        super().__init__()
        inner = round(in_channels * hidden)
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, inner, 1, stride, bias=False),
            nn.Conv2d(inner, out_channels, 1, bias=False),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.layers(x)
        return y


@pytest.fixture
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registry", dict(registry._registry))


@pytest.fixture
def wide(_own_registry: None) -> BlockSpec:
    register_block("Wide", knob="hidden")(_Wide)
    return get_block("Wide")


def test_a_users_block_declares_its_knob(wide: BlockSpec) -> None:
    found = fit(Placement.of(wide, "early", _SCAFFOLD), Match(cost="params", budget=0.5))
    # Two blocks of two 16 x 16h matrices: 1024 h; the target is half of 4 x (2304 + 32).
    assert found.target == 4672
    assert found.cost in range(4672 - 140, 4672 + 141)
    value = float(found.fitted.partition("=")[2].rstrip("]"))
    assert found.cost == 1024 * round(16 * value) / 16


@pytest.mark.usefixtures("_own_registry")
def test_a_knob_that_the_block_does_not_take_is_refused() -> None:
    with pytest.raises(InputError, match="block Wide declares the knob 'width'; it takes"):
        register_block("Wide", knob="width")(_Wide)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("InvertedResidual[width=3]", "takes no width; its knob is expansion, or depth"),
        ("ConvBNAct[width=3]", "takes no width; it takes depth alone"),
        ("InvertedResidual[expansion=0]", r"expansion is 0; it must be above 0"),
        ("ConvBNAct[depth=0]", r"depth is 0; it must be 1 or more"),
        ("ConvBNAct[depth=2.5]", r"depth is 2.5; it must be a whole number"),
    ],
)
def test_values_that_cannot_be_are_refused(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        get_block(name)


def test_the_published_value_is_the_published_block() -> None:
    published, named = (
        Placement.of(name, "late", _SCAFFOLD).fingerprints
        for name in ("InvertedResidual", "InvertedResidual[expansion=6]")
    )
    assert named == published


def test_a_track_is_a_protocol_of_its_own() -> None:
    quick = get_protocol("quick")
    track = quick.changed(match=Match(cost="macs", budget=0.5))
    assert track.label == "quick+macs@0.5x"
    assert get_protocol(track.label) == track
    assert quick.changed(match=Match(cost="params")).label == "quick+params"
    assert quick.changed(width=32, match=Match(cost="macs")).label.endswith("+macs")
    with pytest.raises(UnknownNameError, match=r"unknown protocol 'v1\+flops'; allowed"):
        get_protocol("v1+flops")
    with pytest.raises(UnknownNameError, match="unknown cost to match 'flops'"):
        Match(cost="flops")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="budget is 0; it must be above 0"):
        get_protocol("v1+macs@0x")
    with pytest.raises(UnknownNameError, match="unknown protocol"):
        get_protocol("v7+macs")


def test_a_sweep_of_a_track_runs_what_was_fitted_and_leaves_out_what_cannot_be(
    tmp_path: Path,
) -> None:
    protocol = get_protocol("quick+macs").changed(
        blocks=("ResNetBasicBlock", "InvertedResidual", "Identity"), positions=(Position.MID,)
    )
    request = SweepRequest(protocol=protocol, device="cpu")
    basic, inverted = request.blocks_at(Position.MID)
    assert basic == "ResNetBasicBlock"
    assert inverted.startswith("InvertedResidual[expansion=")
    with Store(tmp_path, create=True) as store:
        plan = make_plan(request, store)
    ran = {block for trial in plan.trials for block in trial.blocks}
    assert ran == {basic, inverted}
    nothing = request.protocol.changed(blocks=("Identity",))
    with pytest.raises(InputError, match="no block reaches its budget at mid: Identity cannot"):
        SweepRequest(protocol=nothing, device="cpu").blocks_at(Position.MID)


def test_deeper_stages_skip_blocks_in_training_as_others_do() -> None:
    net = ScaffoldNet("ConvBNAct[depth=4]", "early", _SCAFFOLD)
    paths = torch.ones(4 + 2 + 2, 2)
    images = torch.rand(2, 3, 32, 32)
    assert torch.allclose(net(images, paths), net(images), atol=1e-5)


def matched(true_off: float, standard_error: float) -> float:
    """Return how often a stage so far off is called matched, timed with that standard error."""
    found = np.random.default_rng(3).normal(1 + true_off, standard_error, size=4000)
    one = Fit(
        block="A",
        position=Position.MID,
        fitted="A[depth=2]",
        knob="depth",
        cost=1.0,
        target=1.0,
        half_width=1.96 * standard_error,
    )
    return sum(replace(one, cost=each).reached for each in found) / len(found)


@pytest.mark.parametrize("standard_error", [0.001, 0.005, 0.01, 0.014])
def test_what_is_off_by_the_tolerance_is_rarely_called_matched(standard_error: float) -> None:
    # An interval of 95% leaves 2.5% on either side; three standard deviations of 4,000 draws.
    assert matched(TOLERANCE, standard_error) <= 0.025 + 0.008
    assert matched(-TOLERANCE, standard_error) <= 0.025 + 0.008


def test_what_is_not_off_is_called_matched_where_it_is_timed_well() -> None:
    # Half-widths of 2% leave 1% for the estimate, 0.98 standard errors: 67%.
    assert matched(0.0, 0.02 / 1.96) == pytest.approx(0.673, abs=0.03)
    assert matched(0.0, 0.005) > 0.99
