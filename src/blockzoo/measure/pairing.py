"""Quantities computed round by round from several cells of one session, and their interval.

What differs between rounds (clock, neighbors, heat) meets all cells of a round alike, so a
difference or a ratio within rounds is freer of it than one of medians.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from blockzoo.core.errors import InputError
from blockzoo.measure.bootstrap import Interval, Samples, mean_of_medians, median_interval
from blockzoo.measure.samples import median_by_round


class Sampled(Protocol):
    """What was sampled of one cell: a latency result or record."""

    @property
    def samples_ms(self) -> tuple[float, ...]:
        """All samples, one process after the other."""

    @property
    def rounds(self) -> tuple[int, ...]:
        """The round of each sample within its process."""

    @property
    def process_counts(self) -> tuple[int, ...]:
        """How many samples are of each process."""


@dataclass(frozen=True, kw_only=True)
class Paired:
    """The median of a quantity over rounds, mean over processes, and its 95% interval."""

    value: float
    interval: Interval
    rounds: int


def paired(compute: Callable[..., float], *cells: Sampled, seed: int = 0) -> Paired:
    """Return `compute(ms of the first cell, ms of the second, ...)` over the rounds all share.

    The cells are of one session. Raises `InputError` where no round has all of them.
    """
    processes = [_by_round(cell) for cell in cells]
    if len({len(of_cell) for of_cell in processes}) != 1:
        raise InputError("cells were sampled in different numbers of processes")
    values = [
        np.array([compute(*(of[index] for of in each)) for index in _shared(each)])
        for each in zip(*processes, strict=True)
    ]
    kept: list[Samples] = [array for array in values if len(array)]
    if not kept:
        raise InputError("no round has a sample of every cell")
    return Paired(
        value=mean_of_medians(kept),
        interval=median_interval(kept, seed=seed),
        rounds=sum(map(len, kept)),
    )


def _by_round(cell: Sampled) -> list[dict[int, float]]:
    ends = np.cumsum(cell.process_counts).tolist()
    starts = [0, *ends][:-1]
    return [
        median_by_round(cell.rounds[start:end], cell.samples_ms[start:end])
        for start, end in zip(starts, ends, strict=True)
    ]


def _shared(of_cells: Sequence[dict[int, float]]) -> list[int]:
    return sorted(set.intersection(*(set(of_cell) for of_cell in of_cells)))
