"""The default track beside the tuned one: what the same tuning budget gave a block."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from blockzoo.analysis.groups import Terms
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
    seed is in both. `default_failed` and `tuned_failed` seeds failed and are in no mean.
    """

    positions: tuple[Position, ...]
    default: MeanInterval | None
    tuned: MeanInterval
    difference: PairedDifference | None
    default_failed: int = 0
    tuned_failed: int = 0


def compare_tracks(
    default: Iterable[TrainingRecord], tuned: Sequence[TrainingRecord]
) -> TrackComparison:
    """Compare the trainings of one network with chosen values to those with the recipe's.

    Of `default` those of the same structure, scaffold, data, kind of device and arithmetic count,
    of a seed that was run repeatedly the last. Raises `ValueError` when `tuned` holds no accuracy.
    """
    first = next((record for record in tuned if record.status == "ok"), tuned[0])
    (of_default, default_failed), (of_tuned, tuned_failed) = (
        _by_seed(records, like=first) for records in (default, tuned)
    )
    # Paired by seed, so that what a seed does to both tracks cancels in the difference.
    both = sorted(of_default.keys() & of_tuned.keys())
    return TrackComparison(
        positions=first.positions,
        default_failed=default_failed,
        tuned_failed=tuned_failed,
        default=mean_interval(list(of_default.values())) if of_default else None,
        tuned=mean_interval(list(of_tuned.values())),
        difference=paired_difference(
            [of_tuned[seed] for seed in both], [of_default[seed] for seed in both]
        )
        if both
        else None,
    )


def _by_seed(
    records: Iterable[TrainingRecord], *, like: TrainingRecord
) -> tuple[dict[int, float], int]:
    """Return the test accuracy of each seed that has one, and how many seeds failed."""
    # One that failed may not know its structure, and counts; another structure's do not.
    structures = ("", like.block_fingerprint)
    of_structure = (record for record in records if record.block_fingerprint in structures)
    of_all = (s for s in by_seeds(of_structure) if _likeness(s.records[0]) == _likeness(like))
    accuracies: dict[int, float] = {}
    failed = 0
    for seeds in of_all:
        failed += seeds.failed
        accuracies |= {
            record.seed: record.test_accuracy
            for record in seeds.records
            if record.test_accuracy is not None
        }
    return accuracies, failed


def _likeness(record: TrainingRecord) -> tuple[object, ...]:
    # Not the protocol, which is where the two tracks differ.
    terms = Terms.of(record)._replace(protocol="")
    return record.block, record.positions, terms
