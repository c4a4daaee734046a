"""What the curve of a training tells."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, isinf
from statistics import median

from blockzoo.results.records import TrainingRecord


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
