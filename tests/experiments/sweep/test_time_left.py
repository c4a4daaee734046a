"""The time that is left: what is known of each kind of trial, and nothing that is not."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from blockzoo.core.position import POSITIONS, Position
from blockzoo.experiments.sweep.plan import Trial
from blockzoo.experiments.sweep.time_left import TimeLeft
from tests.record_samples import cost

BLOCKS = ("A", "B", "C", "D")
SECONDS = {"cost": 0.7, "latency": 31.0, "training": 640.0}
HIGHEST_RISE = 1.25
"""The estimate never rises by more than this factor while trials of a kind take about as long."""


def trial(kind: str, blocks: tuple[str, ...], position: Position, seed: int | None = None) -> Trial:
    return Trial(
        kind=kind,  # type: ignore[arg-type]
        blocks=blocks,
        position=position,
        seed=seed,
        trial_ids=(f"{kind} {blocks} {position} {seed}",),
        expected_s={"cost": 0.1, "latency": 60.0 * len(blocks), "training": 9.0}[kind],
    )


def sweep() -> list[Trial]:
    costs = [trial("cost", (b,), p) for b in BLOCKS for p in POSITIONS]
    latencies = [trial("latency", BLOCKS, p) for p in POSITIONS]
    trainings = [
        trial("training", (b,), p, seed) for seed in range(5) for b in BLOCKS for p in POSITIONS
    ]
    return [*costs, *latencies, *trainings]


def estimates(
    left: TimeLeft, trials: Sequence[Trial], took: Callable[[Trial], float]
) -> list[float | None]:
    left.plan(trials)
    found = [left.seconds]
    for each in trials:
        left.finished(each, took(each))
        found.append(left.seconds)
    return found


@pytest.mark.parametrize("shuffled", [False, True])
def test_with_constant_durations_it_falls_once_it_is_known(shuffled: bool) -> None:
    trials = sweep()
    if shuffled:
        random.Random(3).shuffle(trials)
    found = estimates(TimeLeft(), trials, lambda each: SECONDS[each.kind])
    known = [seconds for seconds in found if seconds is not None]
    first = next(i for i, each in enumerate(trials) if each.kind == "training")
    assert found[: first + 1] == [None] * (first + 1)
    assert found[first + 1] is not None
    assert all(after <= HIGHEST_RISE * before for before, after in itertools.pairwise(known))
    assert known[-1] == pytest.approx(0.0)


def test_blocks_of_unequal_work_make_no_jump_where_their_costs_are_known() -> None:
    macs = {"A": 1_000, "B": 10_000, "C": 5_000, "D": 30_000}
    left, trials = TimeLeft(), sweep()
    left.plan(trials)
    for each in trials[:12]:
        block = each.blocks[0]
        left.finished(
            each, 0.7, [cost(block, block, ("early", "mid", "late"), training_macs=macs[block])]
        )
    found = estimates(left, trials[15:], lambda each: macs[each.blocks[0]] / 100)
    known = [seconds for seconds in found if seconds is not None]
    assert known[0] == pytest.approx(sum(macs.values()) / 100 * 15 - 10)
    assert all(after <= before for before, after in itertools.pairwise(known))


def test_the_store_says_at_once_what_trainings_take() -> None:
    left = TimeLeft({"A": 100.0, "B": 300.0}, at_once=2)
    left.plan([trial("training", (b,), Position.MID, 0) for b in ("A", "B", "C")])
    # C as the others did, 200 s; two at a time.
    assert left.seconds == pytest.approx(300.0)
    assert str(left) == "5:00 left"


def test_a_block_at_its_position_goes_before_the_block_elsewhere() -> None:
    left = TimeLeft()
    left.plan([trial("training", ("A",), position, 0) for position in POSITIONS])
    left.finished(trial("training", ("A",), Position.EARLY, 0), 10.0)
    left.finished(trial("training", ("A",), Position.MID, 0), 30.0)
    assert left.seconds == pytest.approx(20.0)
    left.plan([trial("training", ("A",), Position.EARLY, 1)])
    assert left.seconds == pytest.approx(10.0)


def test_a_session_that_others_took_blocks_of_is_still_that_session() -> None:
    whole = trial("latency", BLOCKS, Position.MID)
    left = TimeLeft()
    left.plan([whole, trial("latency", BLOCKS, Position.LATE)])
    fewer = replace(whole, blocks=BLOCKS[1:], trial_ids=("B", "C", "D"))
    left.finished(fewer, 31.0)
    assert left.seconds == 31.0
    left.gone(replace(fewer, position=Position.LATE))
    assert left.seconds == 0.0
