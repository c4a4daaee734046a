"""Trainings that belong together: the seeds of one block in one place."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import inf, isinf
from statistics import median
from typing import Any, Generic, TypeVar

from blockzoo.analysis.groups import Terms, with_failures
from blockzoo.core.position import Position
from blockzoo.results.records import ScaffoldSettings, TrainingRecord
from blockzoo.results.selection import counting
from blockzoo.results.store.series import Skimmed


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """What of a training says where it belongs and how well it went; the fields are a record's.

    A record takes many kilobytes, and a store may hold a hundred thousand. Of records as listings
    read them `test_correct` is None and there is no curve.
    """

    trial_id: str
    block: str
    block_fingerprint: str
    positions: tuple[Position, ...]
    shown: tuple[Position, ...]
    scaffold: ScaffoldSettings
    identity: str
    terms: Terms
    seed: int
    status: str
    reason: str | None
    created_at: datetime
    training_seconds: float | None
    test_accuracy: float | None
    test_images: int | None
    test_correct: str | None
    val_accuracies: Sequence[float] = field(default=(), compare=False)
    """By epoch, where the record was skimmed."""


def trained(records: Iterable[TrainingRecord]) -> Iterator[Trained]:
    """Yield what is kept of each; what many have in common is there once."""
    yield from trained_of((record, Skimmed(array("d"), record.test_correct)) for record in records)


def trained_of(skimmed: Iterable[tuple[TrainingRecord, Skimmed]]) -> Iterator[Trained]:
    """Yield the same of trainings as listings read them, with their curves and answers.

    >>> list(trained_of([]))
    []
    """
    seen: dict[Any, Any] = {}
    for record, series in skimmed:
        common = {
            "block": record.block,
            "block_fingerprint": record.block_fingerprint,
            "positions": record.positions,
            "shown": record.shown,
            "scaffold": record.scaffold,
            "identity": record.identity,
            "terms": Terms.of(record),
        }
        yield Trained(
            trial_id=record.trial_id,
            **{name: seen.setdefault(value, value) for name, value in common.items()},
            seed=record.seed,
            status=record.status,
            reason=record.reason,
            created_at=record.created_at,
            training_seconds=record.training_seconds,
            test_accuracy=record.test_accuracy,
            test_images=record.test_images,
            test_correct=series.test_correct,
            val_accuracies=series.val_accuracies,
        )


Training = TypeVar("Training", TrainingRecord, Trained)


def _terms(training: TrainingRecord | Trained) -> Terms:
    return training.terms if isinstance(training, Trained) else Terms.of(training)


@dataclass(frozen=True, kw_only=True)
class Seeds(Generic[Training]):
    """The trainings of one block in one place on the same terms, by seed.

    `records` went well, one at least; `failed` seeds did not.
    """

    records: tuple[Training, ...]
    failed: int

    @property
    def block(self) -> str:
        """The block's name."""
        return self.records[0].block

    @property
    def terms(self) -> Terms:
        """On what terms all of them were trained."""
        return _terms(self.records[0])

    @property
    def accuracies(self) -> dict[int, float]:
        """Test accuracy by seed, of those that have one."""
        return {r.seed: r.test_accuracy for r in self.records if r.test_accuracy is not None}


def by_seeds(records: Iterable[Training]) -> list[Seeds[Training]]:
    """Return the trainings of each data set, protocol, block, place and terms, sorted.

    Terms are all that `analysis/groups.py` names. Which of several results counts is said in
    `results/selection.py`. Where every seed failed there is nothing to return.
    """
    every = map(_seeds, with_failed_seeds(records))
    return [seeds for seeds in every if seeds.records]


def with_failed_seeds(records: Iterable[Training]) -> list[list[Training]]:
    """Return the trainings that `by_seeds` groups, those that failed among them, by seed.

    A group of which every seed failed is there too.

    >>> with_failed_seeds([])
    []
    """
    by_time = sorted(records, key=lambda record: record.created_at)
    groups = with_failures(
        [(_subject(record), _terms(record)) for record in by_time],
        [record.status == "ok" for record in by_time],
    )
    # By name and place first, and only then by what tells groups of one name apart.
    found = sorted(groups, key=lambda group: (group[1].title, group[0], group[1]))
    return [_counting([by_time[index] for index in groups[group]]) for group in found]


def _subject(record: TrainingRecord | Trained) -> tuple[str, tuple[int, ...]]:
    return record.block, tuple(position.stage_index for position in record.positions)


def _counting(records: list[Training]) -> list[Training]:
    """Return the trainings of one block in one place that count, by seed."""
    kept = counting(
        [record.block_fingerprint for record in records],
        [record.seed for record in records],
        [record.status == "ok" for record in records],
    )
    return sorted((records[index] for index in kept), key=lambda record: record.seed)


def _seeds(counted: list[Training]) -> Seeds[Training]:
    well = tuple(record for record in counted if record.status == "ok")
    return Seeds(records=well, failed=len(counted) - len(well))


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
