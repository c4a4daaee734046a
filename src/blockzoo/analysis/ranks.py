"""Which block learns better than which: ranks with what is open of them, and how far they agree.

Within one data set, protocol and position, on the same terms. A rank says how many blocks are
surely better, so that it does not depend on who else is in the table.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from blockzoo.analysis.groups import Terms, differences
from blockzoo.analysis.trainings import Seeds, Trained, by_seeds, trained
from blockzoo.core.position import Position
from blockzoo.results.records import TrainingRecord
from blockzoo.stats.paired_seeds import MeanInterval, mean_interval
from blockzoo.stats.ranks import (
    Agreement,
    rank_agreement,
    rank_intervals,
    separated,
    tie_groups,
)

LEAST_IN_COMMON = 3
"""Two rankings of fewer blocks agree, or not, by chance."""
# Of other data a protocol has another label.
_DATA = frozenset({"dataset", "dataset_fingerprint", "out_dim", "input_shape", "protocol"})
_DEVICE = frozenset({"device", "precision", "memory_format", "compiled", "micro_batch_size"})
_PROTOCOL = frozenset(
    {"protocol", "context", "num_blocks", "base_channels", "stem", "stem_bias", "input_shape"}
)
"""What of the terms goes with what: a protocol has a scaffold, data have a size."""


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """A block in a ranking; accuracy is a fraction of 1, of the test set.

    `best`, `worst`: between these its rank is, 1 being the best block's. `groups`: the numbers of
    the tie groups that it is in, neighbours of which none is surely better than another.
    """

    block: str
    accuracy: MeanInterval
    failed: int
    best: int
    worst: int
    groups: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """The blocks of one data set, protocol and position, the best mean first.

    `variant` says in words what tells it from others of the same names, "" where nothing does.
    """

    terms: Terms
    position: Position
    rows: tuple[Ranked, ...]
    variant: str = ""


@dataclass(frozen=True, kw_only=True)
class RankingsAgreement:
    """How far two rankings that differ in one thing (`by`) order the blocks alike."""

    first: Ranking
    second: Ranking
    by: str
    agreement: Agreement


def rankings(trainings: Iterable[TrainingRecord]) -> list[Ranking]:
    """Return a ranking for each data set, protocol, position and terms with two blocks or more.

    A network that is the same at several positions is ranked at each of them. Trainings without a
    test accuracy do not count.
    """
    return rankings_of(trained(trainings))


def rankings_of(kept: Iterable[Trained]) -> list[Ranking]:
    """Return what `rankings` does, of what was kept of trainings.

    >>> rankings_of([])
    []
    """
    places: dict[tuple[Terms, Position], list[Seeds[Trained]]] = defaultdict(list)
    for seeds in by_seeds(kept):
        for position in seeds.records[0].positions:
            places[seeds.terms, position].append(seeds)
    found = [
        Ranking(terms=terms, position=position, rows=rows)
        for (terms, position), group in places.items()
        if len(rows := _ranked(group)) > 1
    ]
    found.sort(key=lambda each: (each.terms, each.position.stage_index))
    variants = differences([each.terms for each in found])
    return [
        Ranking(terms=each.terms, position=each.position, rows=each.rows, variant=variant)
        for each, variant in zip(found, variants, strict=True)
    ]


def _ranked(group: Sequence[Seeds[Trained]]) -> tuple[Ranked, ...]:
    known = [(each, each.accuracies) for each in group if each.accuracies]
    seeds = sorted({seed for _, accuracies in known for seed in accuracies})
    results = np.array([[a.get(seed, np.nan) for seed in seeds] for _, a in known])
    if len(known) < 2:
        return ()
    better = separated(results)
    means = np.nanmean(results, axis=1)
    ties = tie_groups(means, better)
    ranks = rank_intervals(better)
    return tuple(
        Ranked(
            block=known[index][0].records[0].block,
            accuracy=mean_interval(list(known[index][1].values())),
            failed=known[index][0].failed,
            best=ranks[index][0],
            worst=ranks[index][1],
            groups=tuple(n for n, tied in enumerate(ties, start=1) if index in tied),
        )
        for index in np.argsort(-means, kind="stable")
    )


def agreements(found: Sequence[Ranking]) -> list[RankingsAgreement]:
    """Return how far each two rankings agree that differ in position, data, protocol or device."""
    pairs = []
    for first, second in combinations(found, 2):
        by = _differ_in(first, second)
        means = [{row.block: row.accuracy.mean for row in each.rows} for each in (first, second)]
        common = sorted(means[0].keys() & means[1].keys())
        if by is not None and len(common) >= LEAST_IN_COMMON:
            agreement = rank_agreement(*([of[name] for name in common] for of in means))
            pairs.append(RankingsAgreement(first=first, second=second, by=by, agreement=agreement))
    return pairs


def _differ_in(first: Ranking, second: Ranking) -> str | None:
    """Return the one thing in which two rankings differ, None for none or several."""
    differing = {
        name for name in Terms._fields if getattr(first.terms, name) != getattr(second.terms, name)
    }
    if first.position != second.position:
        return None if differing else "position"
    kinds = {"protocol": _PROTOCOL, "data": _DATA, "device": _DEVICE}
    return next((kind for kind, names in kinds.items() if differing and differing <= names), None)
