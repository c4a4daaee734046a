"""Trainings that belong together: the seeds of one block in one place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf, isinf
from statistics import median

from blockzoo.results.records import TrainingRecord
from blockzoo.results.selection import counting

Seeds = tuple[TrainingRecord, ...]
"""Trainings of one data set, protocol, block, place and kind of identity that went well, by seed;
one at least."""

_Key = tuple[str, str, str, tuple[int, ...], str]


def by_seeds(records: Iterable[TrainingRecord]) -> list[Seeds]:
    """Return the trainings of each data set, protocol, block, place and kind of identity, sorted.

    Failures are left out; which of several results counts is said in `results/selection.py`.
    """
    groups: dict[_Key, list[TrainingRecord]] = {}
    for record in sorted(records, key=lambda record: record.created_at):
        if record.status == "ok":
            groups.setdefault(_key(record), []).append(record)
    return [_counting(groups[key]) for key in sorted(groups)]


def _key(record: TrainingRecord) -> _Key:
    places = tuple(position.stage_index for position in record.positions)
    return record.dataset, record.protocol, record.block, places, record.identity


def _counting(records: list[TrainingRecord]) -> Seeds:
    """Return the trainings of one block in one place that count, by seed."""
    kept = counting(
        [record.block_fingerprint for record in records],
        [record.seed for record in records],
        [True] * len(records),
    )
    return tuple(sorted((records[index] for index in kept), key=lambda record: record.seed))


def time_to_accuracy(record: TrainingRecord, accuracy: float) -> float | None:
    """Return the seconds of training until validation accuracy was first `accuracy` or more.

    Whole epochs with their validation count. None where it was not reached.
    """
    # Epochs of a training that was resumed are all here, so the sum is of training alone.
    seconds = 0.0
    for metrics in record.epochs:
        seconds += metrics.seconds
        if metrics.val_accuracy >= accuracy:
            return seconds
    return None


def median_time_to_accuracy(records: Sequence[TrainingRecord], accuracy: float) -> float | None:
    """Return the median of `time_to_accuracy`; one that did not reach it took longer than all.

    None where the median is of such.
    """
    times = (time_to_accuracy(record, accuracy) for record in records)
    middle = median(inf if time is None else time for time in times)
    # Infinite also where the mean of the middle two holds one that did not get there.
    return None if isinf(middle) else middle
