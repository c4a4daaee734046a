"""What the curve of a training tells."""

from __future__ import annotations

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
