"""The default track beside the tuned one: what the same tuning budget gave a block."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from blockzoo.analysis.trainings import by_seeds
from blockzoo.core.position import Position
from blockzoo.results.records import TrainingRecord
from blockzoo.stats.paired_seeds import (
    MeanInterval,
    PairedDifference,
    mean_interval,
    paired_difference,
)


@dataclass(frozen=True, kw_only=True)
class TrackComparison:
    """Test accuracies, fractions of 1, of one network, at all its positions, in both tracks.

    `default` is None where that track was not trained, `difference` (tuned minus default) where no
    seed is in both.
    """

    positions: tuple[Position, ...]
    default: MeanInterval | None
    tuned: MeanInterval
    difference: PairedDifference | None


def compare_tracks(
    default: Iterable[TrainingRecord], tuned: Sequence[TrainingRecord]
) -> TrackComparison:
    """Compare the trainings of one network with chosen values to those with the recipe's.

    Of `default` those of the same structure, scaffold, data and kind of device count, of a seed
    that was run repeatedly the last. Raises `ValueError` when `tuned` holds no accuracy.
    """
    like = [record for record in default if _likeness(record) == _likeness(tuned[0])]
    of_default, of_tuned = _by_seed(like), _by_seed(tuned)
    # Paired by seed, so that what a seed does to both tracks cancels in the difference.
    both = sorted(of_default.keys() & of_tuned.keys())
    return TrackComparison(
        positions=tuned[0].positions,
        default=mean_interval(list(of_default.values())) if of_default else None,
        tuned=mean_interval(list(of_tuned.values())),
        difference=paired_difference(
            [of_tuned[seed] for seed in both], [of_default[seed] for seed in both]
        )
        if both
        else None,
    )


def _by_seed(records: Iterable[TrainingRecord]) -> dict[int, float]:
    """Return the test accuracy of each seed that has one, of trainings alike."""
    of_all = (seeds for seeds in by_seeds(records))
    accuracies = {record.seed: record.test_accuracy for seeds in of_all for record in seeds}
    return {seed: value for seed, value in accuracies.items() if value is not None}


def _likeness(record: TrainingRecord) -> tuple[object, ...]:
    # Not the protocol, which is where the two tracks differ.
    return (
        record.block,
        record.block_fingerprint,
        record.identity,
        record.positions,
        record.scaffold,
        record.dataset,
        record.dataset_fingerprint,
        record.device,
    )
