"""Intervals of medians, and the verdict that a ratio's interval allows.

The bootstrap follows the way samples arise: processes first, then rounds within a process, so that
what differs between processes (memory layout, code placement) widens the interval as it should.
Every array here is one process's samples; with one process only the rounds are resampled. With two
or three processes the interval is too narrow, as any bootstrap of so few units is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float64]
Interval = tuple[float, float]
Verdict = Literal["faster", "slower", "same", "undecided"]

RESAMPLES = 2000
SAME_WITHIN = 0.005
_NORMAL_95 = 1.96


def median_interval(
    processes: Sequence[Samples], *, seed: int = 0, resamples: int = RESAMPLES
) -> Interval:
    """Return the 95% bootstrap interval of the median of all samples.

    `processes` holds one array per process. Each resample draws as many processes as there are,
    with replacement, and from each as many rounds as the shortest has. Raises `ValueError` when
    there is no process or one without samples.
    """
    if not processes or min(map(len, processes)) == 0:
        raise ValueError("a median needs at least one process, and each at least one sample")
    medians = np.median(_resampled(processes, seed, resamples), axis=1)
    low, high = np.percentile(medians, (2.5, 97.5))
    return float(low), float(high)


def _resampled(processes: Sequence[Samples], seed: int, resamples: int) -> Samples:
    """Return (resamples, processes x rounds) values drawn by the two levels."""
    generator = np.random.default_rng(seed)
    lengths = np.array([len(samples) for samples in processes])
    pool, offsets = np.concatenate(processes), np.cumsum(lengths) - lengths
    drawn = generator.integers(len(processes), size=(resamples, len(processes), 1))
    shape = (resamples, len(processes), int(lengths.min()))
    rounds = generator.integers(lengths[drawn], size=shape)
    values: Samples = pool[offsets[drawn] + rounds].reshape(resamples, -1)
    return values


def order_interval(samples: Samples) -> Interval:
    """Return the 95% interval of the median from two order statistics, which needs no resampling.

    Cheap enough to be asked after every round. With n samples its ends are the ranks
    n/2 -+ 0.98 sqrt(n), the normal form of the binomial sign test, or the extremes.
    """
    count = len(samples)
    rank = max(round(count / 2 - _NORMAL_95 * np.sqrt(count) / 2), 1)
    ordered = np.sort(samples)
    return float(ordered[rank - 1]), float(ordered[count - rank])


def verdict_of(ratio_interval: Interval) -> Verdict:
    """Say what the 95% interval of (latency / latency of the baseline) allows to say.

    "same" when all of it lies within 1 +- 0.005, even where 1 is outside; "undecided" when it
    holds 1 and reaches beyond.
    """
    low, high = ratio_interval
    if low >= 1 - SAME_WITHIN and high <= 1 + SAME_WITHIN:
        return "same"
    if high < 1:
        return "faster"
    return "slower" if low > 1 else "undecided"
