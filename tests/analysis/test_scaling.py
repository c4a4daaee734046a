"""Ranks at one value of an axis, and how far two values agree on them."""

from __future__ import annotations

import pytest

from blockzoo.analysis.scaling import changed_places, rank_agreement, reversed_pairs, scaling_frame
from blockzoo.core.errors import ResultsError
from blockzoo.results.records import LatencyRecord
from tests import record_samples

# Images per second by block and batch size: B and C change places, A stays in front.
SPEEDS = {"A": {1: 300.0, 64: 900.0}, "B": {1: 200.0, 64: 500.0}, "C": {1: 100.0, 64: 600.0}}


def records() -> list[LatencyRecord]:
    return [
        record_samples.latency(
            f"{block}{batch}",
            block,
            batch_size=batch,
            median_ms=batch / speed * 1e3,
            throughput_images_per_s=speed,
        )
        for block, speeds in SPEEDS.items()
        for batch, speed in speeds.items()
    ]


def test_blocks_are_ranked_among_those_run_alike() -> None:
    frame = scaling_frame(records())
    ranks = frame.set_index(["block", "batch_size"])["rank"].to_dict()
    assert ranks == {
        ("A", 1): 1,
        ("B", 1): 2,
        ("C", 1): 3,
        ("A", 64): 1,
        ("B", 64): 3,
        ("C", 64): 2,
    }
    assert set(frame["resolution"]) == {32}


def test_agreement_is_kendalls_tau_and_names_who_moved() -> None:
    frame = scaling_frame(records())
    # Of three pairs two are in the same order: (2 - 1) / 3.
    assert rank_agreement(frame, "batch_size", 1, 64) == pytest.approx(1 / 3)
    assert rank_agreement(frame, "batch_size", 1, 1) == 1.0
    assert changed_places(frame, "batch_size", 1, 64) == ["B", "C"]


def test_a_pair_is_reversed_only_where_intervals_lie_apart_at_both_values() -> None:
    frame = scaling_frame(records()).assign(low_ms=lambda f: 0.95 * f["latency_ms"])
    narrow = frame.assign(high_ms=lambda f: 1.05 * f["latency_ms"])
    assert reversed_pairs(narrow, "batch_size", 1, 64) == [("B", "C")]
    assert reversed_pairs(narrow, "batch_size", 64, 1) == [("C", "B")]
    # At batch 64 C takes 106.7 ms, at the most 122.7, and B at the least 121.6.
    wide = frame.assign(high_ms=lambda f: 1.15 * f["latency_ms"])
    assert reversed_pairs(wide, "batch_size", 1, 64) == []
    assert reversed_pairs(wide, "batch_size", 64, 1) == []


def test_failed_records_have_no_rank_and_nothing_is_no_frame() -> None:
    failed = record_samples.latency("F", "F", status="failed", reason="out of memory")
    assert set(scaling_frame([*records(), failed])["block"]) == {"A", "B", "C"}
    with pytest.raises(ResultsError, match="nothing to rank"):
        scaling_frame([failed])


def test_a_ranking_needs_two_blocks_at_both_values() -> None:
    frame = scaling_frame(records()[:2])
    with pytest.raises(ResultsError, match="1 block is measured at both"):
        rank_agreement(frame, "batch_size", 1, 64)
    with pytest.raises(ResultsError, match="batch_size 1 and 2 are not both measured"):
        rank_agreement(frame, "batch_size", 1, 2)
