from __future__ import annotations

from blockzoo.analysis.curves import time_to_accuracy
from blockzoo.results.records import EpochMetrics
from tests.record_samples import training


def test_time_until_an_accuracy_is_reached() -> None:
    def epoch(number: int, accuracy: float) -> EpochMetrics:
        return EpochMetrics(
            epoch=number,
            learning_rate=0.1,
            train_loss=1.0,
            train_accuracy=0.5,
            val_loss=1.0,
            val_accuracy=accuracy,
            seconds=2.0 * number,
        )

    record = training(epochs=(epoch(1, 0.4), epoch(2, 0.6), epoch(3, 0.5)))
    found = [time_to_accuracy(record, accuracy) for accuracy in (0.4, 0.5, 0.6, 0.7)]
    assert found == [2.0, 6.0, 6.0, None]
