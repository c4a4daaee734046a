"""Which blocks err on other images than which: error consistency from the kept answers.

Within one data set, protocol and position, on the same terms. Trainings of two seeds are paired,
of two blocks as of one, so that what a seed shares between blocks makes none alike, and a block
beside itself says how alike two can be.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blockzoo.analysis.groups import Terms, differences
from blockzoo.analysis.trainings import Seeds, Trained, by_seeds
from blockzoo.core.errors import ResultsError
from blockzoo.core.position import Position
from blockzoo.results.answers import unpacked
from blockzoo.stats.error_consistency import Consistency, kappa_of_pairs, summary_of

MOST_SEEDS = 5
"""Of each block the first so many seeds count: pairs grow with their square."""


@dataclass(frozen=True, kw_only=True)
class ErrorMap:
    """The error consistency of each two blocks of one position, and of each beside itself.

    Attributes:
        terms: On what terms all were trained.
        position: Which stage holds the blocks.
        blocks: By accuracy, the most accurate first.
        accuracies: Of each, over its seeds that count here, fractions of 1.
        images: Test images.
        cells: By the places of two blocks among `blocks`, the first no later than the second; None
            where kappa is not defined, as of a block of one seed beside itself.
        variant: What tells the terms from others of the same names, in words.
    """

    terms: Terms
    position: Position
    blocks: tuple[str, ...]
    accuracies: tuple[float, ...]
    images: int
    cells: dict[tuple[int, int], Consistency | None]
    variant: str = ""


@dataclass(frozen=True, kw_only=True)
class _Answers:
    """A block's answers (seeds, images), and the seeds."""

    block: str
    seeds: tuple[int, ...]
    right: NDArray[np.bool_]


def error_maps(kept: Iterable[Trained], *, most_seeds: int = MOST_SEEDS) -> list[ErrorMap]:
    """Return a map for each data set, protocol, position and terms with two blocks or more.

    Blocks whose answers were not kept, or are to another number of images than most, are in none.

    >>> error_maps([])
    []
    """
    places: dict[tuple[Terms, Position], list[_Answers]] = defaultdict(list)
    for seeds in by_seeds(kept):
        answers = _answers(seeds, most_seeds)
        if answers is not None:
            for position in seeds.records[0].shown:
                places[seeds.terms, position].append(answers)
    maps = [_map(*place, alike) for place, of in places.items() if len(alike := _alike(of)) > 1]
    maps.sort(key=lambda each: (each.terms, each.position.stage_index))
    variants = differences([each.terms for each in maps])
    return [
        ErrorMap(**{**vars(each), "variant": variant})
        for each, variant in zip(maps, variants, strict=True)
    ]


def _answers(seeds: Seeds[Trained], most: int) -> _Answers | None:
    found = []
    for record in seeds.records[:most]:
        if record.test_correct is None or not record.test_images:
            return None
        try:
            found.append(unpacked(record.test_correct, record.test_images))
        except ResultsError:
            return None  # `blockzoo results verify` says which
    if len({len(bits) for bits in found}) > 1:
        return None
    numbers = tuple(record.seed for record in seeds.records[:most])
    return _Answers(block=seeds.block, seeds=numbers, right=np.stack(found))


def _alike(answers: Sequence[_Answers]) -> list[_Answers]:
    """Return those that answered the number of images that most did."""
    sizes = [each.right.shape[1] for each in answers]
    usual = max(sizes, key=sizes.count)
    return [each for each, size in zip(answers, sizes, strict=True) if size == usual]


def _map(terms: Terms, position: Position, answers: Sequence[_Answers]) -> ErrorMap:
    ordered = sorted(answers, key=lambda each: (-float(each.right.mean()), each.block))
    # Once for all trainings: of very many blocks there are very many pairs.
    every = np.concatenate([each.right for each in ordered]).astype(np.float32)
    kappas = kappa_of_pairs(every, every)
    ends = np.cumsum([len(each.seeds) for each in ordered]).tolist()
    parts = [slice(end - len(each.seeds), end) for each, end in zip(ordered, ends, strict=True)]
    return ErrorMap(
        terms=terms,
        position=position,
        blocks=tuple(each.block for each in ordered),
        accuracies=tuple(float(each.right.mean()) for each in ordered),
        images=ordered[0].right.shape[1],
        cells={
            (i, j): _cell(kappas[parts[i], parts[j]], ordered[i], ordered[j])
            for i in range(len(ordered))
            for j in range(i, len(ordered))
        },
    )


def _cell(kappas: NDArray[np.float64], first: _Answers, second: _Answers) -> Consistency | None:
    """Return what the kappas of all trainings of two blocks say."""
    if first is second:
        return summary_of(kappas[np.triu_indices(len(kappas), k=1)])
    same_seed = np.equal.outer(first.seeds, second.seeds)
    # Of one seed each there is no other pair.
    return summary_of(kappas[~same_seed] if not same_seed.all() else kappas.ravel())
