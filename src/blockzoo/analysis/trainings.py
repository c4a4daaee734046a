"""Trainings that belong together: the seeds of one block in one place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf, isinf
from statistics import median

from blockzoo.results.records import TrainingRecord

Seeds = tuple[TrainingRecord, ...]
"""Trainings of one data set, protocol, block and place that went well, by seed; one at least."""

_Key = tuple[str, str, str, tuple[int, ...]]


def by_seeds(records: Iterable[TrainingRecord]) -> list[Seeds]:
    """Return the trainings of each data set, protocol, block and place, sorted by these.

    Failures are left out. Of a block whose structure has changed only the newest counts, of a seed
    that was run repeatedly the newest result, as in `summarize`.
    """
    found: dict[_Key, list[TrainingRecord]] = {}
    for record in sorted(records, key=lambda record: record.created_at):
        if record.status == "ok":
            found.setdefault(_key(record), []).append(record)
    return [_newest(found[key]) for key in sorted(found)]


def _key(record: TrainingRecord) -> _Key:
    places = tuple(position.stage_index for position in record.positions)
    return record.dataset, record.protocol, record.block, places


def _newest(records: list[TrainingRecord]) -> Seeds:
    structure = records[-1].block_fingerprint
    of_seeds = {r.seed: r for r in records if r.block_fingerprint == structure}
    return tuple(of_seeds[seed] for seed in sorted(of_seeds))


def time_to_accuracy(record: TrainingRecord, accuracy: float) -> float | None:
    """Return the seconds of training until validation accuracy was first `accuracy` or more.

    Whole epochs with their validation count. None where it was not reached.
    """
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
    return None if isinf(middle) else middle
