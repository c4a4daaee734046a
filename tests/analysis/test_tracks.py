from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from blockzoo.analysis.tracks import compare_tracks
from blockzoo.core.position import Position
from blockzoo.results.records import TrainingRecord
from tests.record_samples import training

START = datetime(2026, 1, 1, tzinfo=timezone.utc)


def record(seed: int, accuracy: float | None, **changes: object) -> TrainingRecord:
    sample = training().model_copy(update={"seed": seed, "test_accuracy": accuracy})
    return sample.model_copy(update={"created_at": START, **changes})


def test_both_tracks_have_a_mean_and_common_seeds_a_paired_difference() -> None:
    default = [record(0, 0.60), record(1, 0.70), record(2, 0.80)]
    tuned = [record(1, 0.75), record(2, 0.83), record(3, 0.90)]
    tracks = compare_tracks(default, tuned)
    assert tracks.positions == record(0, 0.5).positions
    assert tracks.default is not None
    assert (tracks.default.n, tracks.tuned.n) == (3, 3)
    assert tracks.default.mean == pytest.approx(0.70)
    assert tracks.tuned.mean == pytest.approx(0.8266667)
    assert tracks.difference is not None
    assert tracks.difference.n == 2
    assert tracks.difference.mean == pytest.approx(0.04)


def test_without_a_default_track_or_common_seeds_there_is_no_difference() -> None:
    alone = compare_tracks([], [record(0, 0.5)])
    assert (alone.default, alone.difference) == (None, None)
    apart = compare_tracks([record(1, 0.5)], [record(0, 0.5)])
    assert apart.default is not None
    assert apart.difference is None


@pytest.mark.parametrize(
    "change",
    [
        {"block_fingerprint": "another"},
        {"dataset_fingerprint": "another"},
        {"positions": (Position.LATE,)},
        {"device": "cuda"},
        {"precision": "bf16"},
        {"channels_last": True},
        {"compiled": True},
        {"block": "Another"},
    ],
)
def test_only_what_differs_in_the_recipe_alone_is_compared(change: dict[str, object]) -> None:
    tracks = compare_tracks([record(0, 0.1, **change)], [record(0, 0.5)])
    assert tracks.default is None


def test_the_last_result_of_a_seed_counts_and_none_is_no_result() -> None:
    later = START + timedelta(days=1)
    default = [record(0, 0.9, created_at=later), record(0, 0.1), record(1, None)]
    tracks = compare_tracks(default, [record(0, 0.5)])
    assert tracks.default is not None
    assert (tracks.default.n, tracks.default.mean) == (1, 0.9)


def test_failed_seeds_of_both_tracks_are_counted() -> None:
    lost = {"status": "failed", "reason": "diverged", "block_fingerprint": ""}
    default = [record(0, 0.5), *(record(seed, None, **lost) for seed in range(1, 4))]
    tracks = compare_tracks(default, [record(0, 0.6), record(1, None, **lost)])
    assert (tracks.default_failed, tracks.tuned_failed) == (3, 1)
    assert tracks.default is not None
    assert (tracks.default.n, tracks.tuned.n) == (1, 1)
