"""What one cell leaves when it is sampled, and samples of several cells paired by round."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from blockzoo.measure.bootstrap import Samples


@dataclass(frozen=True, kw_only=True)
class CellSamples:
    """What one cell left: nanoseconds per call, and the round of each sample.

    A cell that raised has `failure` ("Type: message") and `traceback`, and its samples so far.
    `dropped` samples were discarded because the clock did not advance, `refused` ones because they
    were not to count.
    """

    samples_ns: tuple[float, ...] = ()
    rounds: tuple[int, ...] = ()
    calls_per_sample: int = 1
    converged: bool = False
    failure: str | None = None
    traceback: str | None = None
    dropped: int = 0
    refused: int = 0


@dataclass(kw_only=True)
class Spent:
    """Nanoseconds of a session after warm-up: in all, and within forward passes."""

    total_ns: int = 0
    forward_ns: int = 0

    @property
    def overhead_fraction(self) -> float | None:
        """The share spent outside forward passes; None before any time passed."""
        return 1 - self.forward_ns / self.total_ns if self.total_ns > 0 else None


def paired_ratios(cell: CellSamples, baseline: CellSamples) -> Samples:
    """Return cell / baseline for every round in which both were sampled, in order of the rounds."""
    ours = median_by_round(cell.rounds, cell.samples_ns)
    theirs = median_by_round(baseline.rounds, baseline.samples_ns)
    return np.array([ns / theirs[index] for index, ns in ours.items() if index in theirs])


def median_by_round(rounds: Sequence[int], samples: Sequence[float]) -> dict[int, float]:
    """Return the median of each round's samples; a baseline has several in a round."""
    by_round: dict[int, list[float]] = {}
    for index, sample in zip(rounds, samples, strict=True):
        by_round.setdefault(index, []).append(sample)
    return {index: statistics.median(of_round) for index, of_round in by_round.items()}
