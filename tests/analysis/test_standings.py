"""Standings: accuracy with both intervals, failures, costs and timings of one block at a place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from blockzoo.analysis.ranks import rankings_of
from blockzoo.analysis.standings import Standing, standings
from blockzoo.analysis.trainings import trained, with_failed_seeds
from blockzoo.core.position import Position
from blockzoo.results.answers import packed
from blockzoo.results.records import Record, TrainingRecord
from blockzoo.stats.paired_seeds import mean_interval
from tests.record_samples import after, cost, latency, training


def stood(*records: Record) -> list[Standing]:
    kept = list(trained(r for r in records if isinstance(r, TrainingRecord)))
    beside = [r for r in records if not isinstance(r, TrainingRecord)]
    return standings(kept, beside, rankings_of(kept))


def answered(name: str, seed: int, right: int, images: int = 100, **changes: Any) -> TrainingRecord:
    bits = np.random.default_rng(seed).permutation(np.arange(images) < right)
    return training(
        f"{name} {seed}",
        name,
        seed=seed,
        test_accuracy=right / images,
        test_correct=packed(bits),
        test_images=images,
        **changes,
    )


def test_both_intervals_and_what_stands_beside() -> None:
    records = [answered("A", seed, 80 + seed) for seed in range(3)]
    (found,) = stood(*records, cost(), latency(created_at=after(60)))
    expected = mean_interval([0.80, 0.81, 0.82])
    assert found.accuracy == expected
    assert (found.seeds, found.failed, found.ranked) == ((0, 1, 2), 0, None)
    assert found.new_images is not None
    low, high = found.new_images
    # About 1.96 x sqrt(0.81 x 0.19 / 100 / seeds) at the least; seeds answer other images rightly.
    assert low < 0.81 - 0.02 < 0.81 + 0.02 < high
    assert found.cost is not None
    assert found.latency is not None
    assert found.newest_at == after(60)


def test_two_seeds_have_no_interval_and_ends_lie_within_what_can_be() -> None:
    (two,) = stood(answered("A", 0, 80), answered("A", 1, 90))
    assert two.accuracy is not None
    assert two.accuracy.mean == pytest.approx(0.85)
    assert (two.accuracy.low, two.new_images) == (None, None)
    (high,) = stood(*(answered("A", seed, 98 + seed) for seed in range(3)))
    assert high.accuracy is not None
    assert high.accuracy.high == 1.0
    assert high.new_images is not None
    assert high.new_images[1] == 1.0


def test_answers_that_were_not_kept_or_are_damaged_give_no_interval() -> None:
    kept = [answered("A", seed, 80) for seed in range(3)]
    (lacking,) = stood(*kept, training("A 3", "A", seed=3))
    assert lacking.new_images is None
    assert lacking.seeds == (0, 1, 2, 3)
    (damaged,) = stood(*kept[:2], answered("A", 2, 80).model_copy(update={"test_correct": "!"}))
    assert damaged.new_images is None


def test_failures_stand_with_their_reasons_also_where_all_failed() -> None:
    lost = training("l", "A", seed=7, status="failed", reason="loss is not finite")
    gone = training("g", "B", status="failed", reason="out of memory", test_accuracy=None)
    found = {each.block: each for each in stood(answered("A", 0, 80), lost, gone)}
    assert (found["A"].failed, found["A"].reasons) == (1, ("loss is not finite",))
    assert (found["B"].accuracy, found["B"].seeds) == (None, ())
    assert found["B"].reasons == ("out of memory",)


def test_what_was_only_measured_stands_without_terms() -> None:
    timed = latency("t", "C", ("early", "late"), asked=(Position.LATE,))
    (found,) = stood(timed, latency("o", "C", ("late",), backend="onnxruntime"))
    assert (found.block, found.position, found.terms) == ("C", Position.LATE, None)
    assert {each.backend for each in found.latencies} == {"eager", "onnxruntime"}


def test_a_network_at_several_positions_stands_where_it_was_asked_for() -> None:
    record = training("t", "A", ("early", "mid", "late"), asked=(Position.MID, Position.LATE))
    found = stood(record)
    assert [each.position for each in found] == [Position.MID, Position.LATE]


def test_seeds_that_failed_are_in_their_group() -> None:
    lost = training("l", "A", seed=7, status="failed", reason="diverged")
    (group,) = with_failed_seeds([training("t", "A", seed=0), lost])
    assert [(each.seed, each.status) for each in group] == [(0, "ok"), (7, "failed")]
