"""What one network leaves when it is sampled, and what samples of one round say of several.

Noise that is common to a round cancels in whatever is computed round by round.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from blockzoo.core.errors import InputError
from blockzoo.stats.medians import Interval, Samples, mean_of_medians, median_interval


@dataclass(frozen=True, kw_only=True)
class NetworkSamples:
    """What one network left: nanoseconds per call, and the round of each sample.

    A network that raised has `failure` ("Type: message") and `traceback`, and its samples so far.
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


def paired_ratios(network: NetworkSamples, baseline: NetworkSamples) -> Samples:
    """Return network / baseline for every round in which both were sampled, in order of the rounds.

    >>> ours = NetworkSamples(samples_ns=(8.0, 9.0), rounds=(0, 1))
    >>> theirs = NetworkSamples(samples_ns=(10.0, 20.0), rounds=(0, 2))
    >>> paired_ratios(ours, theirs).tolist()
    [0.8]
    """
    ours = middle_by_round(network.rounds, network.samples_ns)
    theirs = middle_by_round(baseline.rounds, baseline.samples_ns)
    return np.array([ns / theirs[index] for index, ns in ours.items() if index in theirs])


def mean_ratio(processes: Sequence[Samples]) -> tuple[float, Interval]:
    """Return the geometric mean of the processes' median ratios, and its 95% interval.

    `processes` holds one array of ratios per process. Of logarithms: the arithmetic mean of A over
    B and that of B over A are both above 1 where A and B are alike. Raises what `median_interval`
    raises.

    >>> ratio, (low, high) = mean_ratio([np.array([0.5]), np.array([1.0]), np.array([2.0])])
    >>> round(ratio, 12), round(low * high, 12)
    (1.0, 1.0)
    """
    logarithms = [np.log(ratios) for ratios in processes]
    low, high = median_interval(logarithms)
    return math.exp(mean_of_medians(logarithms)), (math.exp(low), math.exp(high))


def middle_by_round(rounds: Sequence[int], samples: Sequence[float]) -> dict[int, float]:
    """Return the middle one of each round's samples; a baseline has several in a round.

    Of an even number the last is left out. The median of two or four is the mean of two samples,
    which for skewed noise lies above the median of one: a network compared with itself would come
    out faster. The middle one of an odd number is as likely above a further sample as below it.

    >>> middle_by_round([0, 0, 0, 1, 2, 2], [3.0, 1.0, 2.0, 5.0, 4.0, 9.0])
    {0: 2.0, 1: 5.0, 2: 4.0}
    """
    by_round: dict[int, list[float]] = {}
    for index, sample in zip(rounds, samples, strict=True):
        by_round.setdefault(index, []).append(sample)
    return {
        index: statistics.median(of_round[: len(of_round) - (len(of_round) + 1) % 2])
        for index, of_round in by_round.items()
    }


class Sampled(Protocol):
    """What was sampled of one network: a latency result or record."""

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


def paired(compute: Callable[..., float], *networks: Sampled) -> Paired:
    """Return `compute(ms of the first network, ms of the second, ...)` over the rounds all share.

    The networks are of one session. Raises `InputError` where no round has all of them.

    >>> from types import SimpleNamespace
    >>> one = SimpleNamespace(samples_ms=(2.0, 4.0), rounds=(0, 1), process_counts=(2,))
    >>> two = SimpleNamespace(samples_ms=(1.0, 2.0), rounds=(0, 1), process_counts=(2,))
    >>> paired(lambda one_ms, two_ms: one_ms / two_ms, one, two).value
    2.0
    """
    kept = _by_process(compute, networks)
    return Paired(
        value=mean_of_medians(kept),
        interval=median_interval(kept),
        rounds=sum(map(len, kept)),
    )


def ratios_by_process(network: Sampled, reference: Sampled) -> list[Samples]:
    """Return network / reference for every round that both have, one array for each process.

    Both are of one session. Raises `InputError` where no round has both. For `mean_ratio`.

    >>> from types import SimpleNamespace
    >>> one = SimpleNamespace(samples_ms=(2.0, 4.0), rounds=(0, 0), process_counts=(1, 1))
    >>> two = SimpleNamespace(samples_ms=(1.0, 4.0), rounds=(0, 0), process_counts=(1, 1))
    >>> [ratios.tolist() for ratios in ratios_by_process(one, two)]
    [[2.0], [1.0]]
    """
    return _by_process(lambda own_ms, reference_ms: own_ms / reference_ms, [network, reference])


def _by_process(compute: Callable[..., float], networks: Sequence[Sampled]) -> list[Samples]:
    """Return what was computed of each round that all share, by process."""
    processes = [_by_round(network) for network in networks]
    if len({len(of_network) for of_network in processes}) != 1:
        raise InputError("networks were sampled in different numbers of processes")
    values = [
        np.array([compute(*(of[index] for of in each)) for index in _shared(each)])
        for each in zip(*processes, strict=True)
    ]
    # A process that was cut short may share no round; the others still say something.
    kept: list[Samples] = [array for array in values if len(array)]
    if not kept:
        raise InputError("no round has a sample of every network")
    return kept


def _by_round(network: Sampled) -> list[dict[int, float]]:
    # Every process counts its rounds from zero, so they are told apart before they are paired.
    ends = np.cumsum(network.process_counts).tolist()
    starts = [0, *ends][:-1]
    return [
        middle_by_round(network.rounds[start:end], network.samples_ms[start:end])
        for start, end in zip(starts, ends, strict=True)
    ]


def _shared(of_networks: Sequence[dict[int, float]]) -> list[int]:
    return sorted(set.intersection(*(set(of_network) for of_network in of_networks)))
