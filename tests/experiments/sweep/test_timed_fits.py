import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from blockzoo.core.errors import InputError
from blockzoo.core.position import Position
from blockzoo.experiments.protocol import get_protocol
from blockzoo.experiments.sweep import timed_fits
from blockzoo.experiments.sweep.plan import SweepRequest, make_plan
from blockzoo.experiments.sweep.timed_fits import SESSIONS, fitted_by_timing, is_fitted
from blockzoo.experiments.trial_identity import latency_trial_id, machine_digest
from blockzoo.results.records import LatencyRecord, Record
from blockzoo.results.store.database import Store
from blockzoo.scaffold.placement import Placement
from tests.record_samples import latency

_EMPTY = 0.6
"""What the simulated scaffold takes with Identity, as a share of that with the context block."""


@dataclass
class _Machine:
    """Stands for the clock: a stage takes `slope` for each 1 of its knob, and `fixed` besides."""

    slope: float = 0.1
    fixed: float = 0.0
    half_width: float = 0.001
    sessions: list[tuple[str, ...]] = field(default_factory=list)

    def __call__(
        self, blocks: Sequence[str], positions: Sequence[Position], **how: Any
    ) -> list[LatencyRecord]:
        self.sessions.append(tuple(blocks))
        context = Placement.of(how["baseline"], positions[0], how["config"])
        return [self._record(context, name, how) for name in blocks]

    def _record(self, context: Placement, name: str, how: dict[str, Any]) -> LatencyRecord:
        placement = Placement.of(name, context.position, how["config"])
        ratio = _EMPTY + (1 - _EMPTY) * self.share(name)
        return latency(
            latency_trial_id(placement, settings=how["settings"], baseline=context),
            name,
            (str(context.position),),
            ratio=ratio,
            ratio_interval=(ratio - self.half_width, ratio + self.half_width),
        )

    def share(self, name: str) -> float:
        if name == "Identity":
            return 0.0
        found = re.fullmatch(r".*=([\d.]+)\]", name)
        assert found is not None
        return self.fixed + self.slope * float(found[1])


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> _Machine:
    stands_for = _Machine()
    monkeypatch.setattr(timed_fits, "benchmark_blocks", stands_for)
    return stands_for


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path, create=True) as opened:
        yield opened


def _request(*blocks: str, budget: str = "", **changes: Any) -> SweepRequest:
    protocol = get_protocol(f"quick+latency{budget}").changed(
        blocks=blocks, positions=("mid",), seeds=(0,), width=8, depth=2, **changes
    )
    return SweepRequest(protocol=protocol, device="cpu")


def test_a_stage_is_fitted_to_what_the_context_blocks_takes(
    machine: _Machine, store: Store
) -> None:
    fitted = fitted_by_timing(_request("ResNetBasicBlock", "InvertedResidual"), store)
    context, turned = fitted.timed[Position.MID]
    assert (context.fitted, context.cost, context.target) == ("ResNetBasicBlock", 1.0, 1.0)
    # 0.1 of the context's for each 1 of the expansion: at 10 it takes as long.
    assert turned.reached
    assert turned.cost == pytest.approx(machine.share(turned.fitted))
    assert turned.cost == pytest.approx(1.0, abs=0.015)
    # The scaffold's own share is not the stage's: 0.001 of the whole is 0.0025 of the stage.
    assert turned.half_width == pytest.approx(0.001 / (1 - _EMPTY), rel=0.02)
    assert len(machine.sessions) <= 3


@pytest.mark.parametrize(
    ("fixed", "slope", "expected"), [(0.8, 0.1, 2.0), (0.5, 0.02, 25.0), (-0.2, 0.3, 4.0)]
)
def test_what_does_not_follow_the_knob_is_allowed_for(
    machine: _Machine, store: Store, fixed: float, slope: float, expected: float
) -> None:
    machine.fixed, machine.slope = fixed, slope
    (turned,) = fitted_by_timing(_request("InvertedResidual"), store).timed[Position.MID]
    assert turned.reached
    value = float(turned.fitted.split("=")[1].rstrip("]"))
    assert machine.fixed + machine.slope * value == pytest.approx(1.0, abs=0.015)
    assert value == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("budget", [0.5, 2.0])
def test_other_budgets_are_shares_of_the_stage(
    machine: _Machine, store: Store, budget: float
) -> None:
    request = _request("InvertedResidual", budget=f"@{budget:g}x")
    (turned,) = fitted_by_timing(request, store).timed[Position.MID]
    assert (turned.target, turned.reached) == (budget, True)
    assert float(turned.fitted.split("=")[1].rstrip("]")) == pytest.approx(10 * budget, rel=0.015)


def test_a_block_without_a_knob_is_stacked(machine: _Machine, store: Store) -> None:
    machine.slope = 0.25
    (stacked,) = fitted_by_timing(_request("ConvBNAct"), store).timed[Position.MID]
    assert (stacked.fitted, stacked.knob, stacked.reached) == ("ConvBNAct[depth=4]", "depth", True)


def test_fits_are_kept_so_that_the_same_are_found_again_without_timing(
    machine: _Machine, store: Store
) -> None:
    first = fitted_by_timing(_request("InvertedResidual", "RepMixer"), store)
    timed = len(machine.sessions)
    machine.slope = 0.3  # a machine in another mood
    again = fitted_by_timing(_request("InvertedResidual", "RepMixer"), store, measure=False)
    assert again.timed == first.timed
    assert len(machine.sessions) == timed


def test_what_is_fitted_is_not_looked_for_again(machine: _Machine, store: Store) -> None:
    fitted = fitted_by_timing(_request("InvertedResidual"), store)
    assert fitted_by_timing(fitted, store) is fitted
    more = replace(fitted, protocol=fitted.protocol.changed(blocks=("RepMixer",)))
    assert not is_fitted(more)
    assert [fit.block for fit in fitted_by_timing(more, store).timed[Position.MID]] == ["RepMixer"]


def test_without_measuring_nothing_is_timed(machine: _Machine, store: Store) -> None:
    asked = fitted_by_timing(_request("InvertedResidual"), store, measure=False)
    assert not is_fitted(asked)
    assert machine.sessions == []
    with pytest.raises(InputError, match="matched by latency only where they are timed first"):
        make_plan(asked, store)


def test_an_interval_that_leaves_the_tolerance_is_no_match(machine: _Machine, store: Store) -> None:
    # 0.0121 of the whole is 3.025% of the stage; 0.0059 is 1.475%.
    machine.half_width = 0.0121
    (wide,) = fitted_by_timing(_request("InvertedResidual"), store).timed[Position.MID]
    assert not wide.reached
    assert re.fullmatch(
        r"InvertedResidual\[expansion=[\d.]+\] is off by [+-]\d\.\d% \+-3\.0%, and all of that "
        r"must be within 3%, so give latencies more processes, or a larger budget",
        wide.reason,
    )


def test_what_is_far_off_is_out_of_reach_however_well_it_is_timed(
    machine: _Machine, store: Store
) -> None:
    machine.half_width, machine.slope = 0.0061, 0.0001
    (far,) = fitted_by_timing(_request("InvertedResidual"), store).timed[Position.MID]
    assert not far.is_uncertain
    assert far.reason.startswith("InvertedResidual cannot reach the target; nearest is ")


def test_an_interval_within_the_tolerance_is_a_match(machine: _Machine, store: Store) -> None:
    machine.half_width = 0.0059
    (narrow,) = fitted_by_timing(_request("InvertedResidual"), store).timed[Position.MID]
    assert narrow.reached


def test_a_target_out_of_reach_has_a_row(machine: _Machine, store: Store) -> None:
    machine.slope = 0.0001
    (far,) = fitted_by_timing(_request("InvertedResidual"), store).timed[Position.MID]
    assert len(machine.sessions) == SESSIONS
    assert far.reason == (
        f"InvertedResidual cannot reach the target; nearest is {far.fitted}, {far.off:+.1%}"
    )


def test_what_cannot_be_timed_says_why(
    machine: _Machine, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(blocks: Sequence[str], *where: Any, **how: Any) -> list[LatencyRecord]:
        return [
            record
            if record.block == "Identity"
            else record.model_copy(update={"status": "failed", "reason": "too narrow"})
            for record in machine(blocks, *where, **how)
        ]

    monkeypatch.setattr(timed_fits, "benchmark_blocks", failing)
    (failed,) = fitted_by_timing(_request("InvertedResidual"), store).timed[Position.MID]
    assert (failed.reached, failed.reason) == (
        False,
        "InvertedResidual cannot be fitted: too narrow",
    )


def test_the_track_names_the_machine(machine: _Machine, store: Store) -> None:
    request = _request("InvertedResidual")
    fitted = fitted_by_timing(request, store)
    digest = machine_digest(request.latency)
    assert fitted.protocol.label.endswith(f"+latency#{digest}")
    assert get_protocol(f"quick+latency#{digest}").match == fitted.protocol.match
    # The same label is understood here, and refused where fits are another machine's.
    assert fitted_by_timing(fitted, store).timed == fitted.timed
    other = "000000" if digest != "000000" else "111111"
    assert fitted.protocol.match is not None
    foreign = replace(
        request,
        protocol=request.protocol.changed(match=replace(fitted.protocol.match, machine=other)),
    )
    with pytest.raises(InputError, match=f"fitted on machine {other}; this is {digest}"):
        fitted_by_timing(foreign, store)


def test_the_plan_runs_blocks_as_fitted(machine: _Machine, store: Store) -> None:
    fitted = fitted_by_timing(_request("InvertedResidual"), store)
    (turned,) = fitted.timed[Position.MID]
    assert {block for trial in make_plan(fitted, store).trials for block in trial.blocks} == {
        turned.fitted
    }
    kept: list[Record] = list(store.records(kind="latency"))
    assert {record.block for record in kept} >= {"Identity", turned.fitted}
