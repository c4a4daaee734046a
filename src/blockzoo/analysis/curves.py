"""Curves with bands: what was learned epoch by epoch, and accuracy over the budget of a stage."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from blockzoo.analysis.groups import Terms
from blockzoo.analysis.trainings import Seeds, Trained, by_seeds
from blockzoo.core.errors import UnknownNameError
from blockzoo.core.names import published_name
from blockzoo.core.position import Position
from blockzoo.results.budgets import Match, MatchedCost
from blockzoo.results.records import EpochMetrics, TrainingRecord
from blockzoo.stats.paired_seeds import MeanInterval, mean_interval

EpochMeasure = Literal["val_accuracy", "val_loss", "train_accuracy", "train_loss"]
EPOCH_MEASURES: tuple[EpochMeasure, ...] = get_args(EpochMeasure)


@dataclass(frozen=True, kw_only=True)
class Point:
    """A place on a curve, and what was found there: a mean over seeds with its 95% interval."""

    x: float
    y: MeanInterval


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One block at one position on the same terms; `failed` seeds are in no mean."""

    block: str
    position: Position
    terms: Terms
    points: tuple[Point, ...]
    failed: int = 0


def as_measure(name: str) -> EpochMeasure:
    """Return what of an epoch that name stands for; raises `UnknownNameError` for none.

    >>> as_measure("val_loss")
    'val_loss'
    """
    for measure in EPOCH_MEASURES:
        if name == measure:
            return measure
    raise UnknownNameError("measure of an epoch", name, EPOCH_MEASURES)


def learning_curves(records: Iterable[TrainingRecord], measure: EpochMeasure) -> list[Curve]:
    """Return a curve over epochs for each block, position and terms; accuracies are fractions of 1.

    An epoch counts that all seeds have.

    >>> learning_curves([], "val_loss")
    []
    """
    return [
        Curve(
            block=seeds.block,
            position=position,
            terms=seeds.terms,
            points=points,
            failed=seeds.failed,
        )
        for seeds in by_seeds(records)
        if (points := _epochs(seeds, measure))  # an imported record may have none
        for position in seeds.records[0].shown
    ]


def accuracy_curves(every: Iterable[Seeds[Trained]]) -> list[Curve]:
    """Return what `learning_curves` does of validation accuracy, of trainings that were skimmed.

    >>> accuracy_curves([])
    []
    """
    return [
        Curve(
            block=seeds.block,
            position=position,
            terms=seeds.terms,
            points=points,
            failed=seeds.failed,
        )
        for seeds in every
        if (points := _skimmed_epochs(seeds))
        for position in seeds.records[0].shown
    ]


def _skimmed_epochs(seeds: Seeds[Trained]) -> tuple[Point, ...]:
    by_epoch = zip(*(record.val_accuracies for record in seeds.records), strict=False)
    return tuple(
        Point(x=number, y=mean_interval(values)) for number, values in enumerate(by_epoch, start=1)
    )


def _epochs(seeds: Seeds[TrainingRecord], measure: EpochMeasure) -> tuple[Point, ...]:
    def value(epoch: EpochMetrics) -> float:
        return float(getattr(epoch, measure))

    by_epoch = zip(*(record.epochs for record in seeds.records), strict=False)
    return tuple(
        Point(x=epochs[0].epoch, y=mean_interval([value(each) for each in epochs]))
        for epochs in by_epoch
    )


def budget_curves(records: Iterable[TrainingRecord]) -> dict[MatchedCost, list[Curve]]:
    """Return by cost a curve of test accuracy for each block fitted to two budgets or more.

    A point is at the multiple of the context block's cost, see `Match`. Blocks go by their
    published names, terms by the protocol without its track.

    >>> budget_curves([])
    {}
    """
    points: dict[tuple[MatchedCost, Terms, str, Position], list[tuple[Point, int]]]
    points = defaultdict(list)
    for seeds in by_seeds(records):
        protocol, match = Match.of_label(seeds.terms.protocol)
        accuracies = list(seeds.accuracies.values())
        if match is None or not accuracies:
            continue
        terms, block = seeds.terms._replace(protocol=protocol), published_name(seeds.block)
        point = Point(x=match.budget, y=mean_interval(accuracies))
        for position in seeds.records[0].shown:
            points[match.cost, terms, block, position].append((point, seeds.failed))
    found: dict[MatchedCost, list[Curve]] = defaultdict(list)
    for (cost, terms, block, position), there in points.items():
        if len(there) > 1:
            curve = Curve(
                block=block,
                position=position,
                terms=terms,
                points=tuple(sorted((point for point, _ in there), key=lambda each: each.x)),
                failed=sum(failed for _, failed in there),
            )
            found[cost].append(curve)
    return dict(found)
