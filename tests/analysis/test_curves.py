from __future__ import annotations

from blockzoo.analysis.trainings import median_time_to_accuracy, time_to_accuracy
from blockzoo.results.records import EpochMetrics, TrainingRecord
from tests.record_samples import training


def curve(*accuracies: float, pace: float = 2.0) -> TrainingRecord:
    """A training whose n-th epoch takes n times `pace` seconds."""
    return training(
        epochs=tuple(
            EpochMetrics(
                epoch=number,
                learning_rate=0.1,
                train_loss=1.0,
                train_accuracy=0.5,
                val_loss=1.0,
                val_accuracy=accuracy,
                seconds=pace * number,
            )
            for number, accuracy in enumerate(accuracies, start=1)
        )
    )


def test_time_until_an_accuracy_is_reached() -> None:
    record = curve(0.4, 0.6, 0.5)
    found = [time_to_accuracy(record, accuracy) for accuracy in (0.4, 0.5, 0.6, 0.7)]
    assert found == [2.0, 6.0, 6.0, None]


def test_what_is_not_reached_takes_longer_than_all() -> None:
    fast, slow, never = curve(0.6), curve(0.4, 0.6, pace=3.0), curve(0.1, 0.1)
    assert median_time_to_accuracy([fast, slow], 0.5) == 5.5  # 2 s and 9 s
    assert median_time_to_accuracy([never, slow, fast], 0.5) == 9.0
    assert median_time_to_accuracy([never, fast], 0.5) is None
    assert median_time_to_accuracy([fast, slow, never], 0.7) is None
