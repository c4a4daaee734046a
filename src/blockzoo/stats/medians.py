"""Means of processes' medians with their intervals.

Samples arise in two levels: processes first, then rounds within a process. The estimate is the mean
of the processes' medians: within a process a median keeps out what interrupts single calls, and
over few processes a mean is the steadier of the two. What differs between processes (memory layout,
code placement) and what their rounds leave open are both in the spread of those medians, so
Student's t over them is the interval of several processes. A bootstrap over three or five of them
is not: it sees too little of their spread, or with the rounds' spread added counts that twice. One
process has the interval of its median by order statistics, and says nothing of others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float64]
Interval = tuple[float, float]

_NORMAL_95 = 1.959964


def mean_of_medians(processes: Sequence[Samples]) -> float:
    """Return the mean of the processes' medians; raises `ValueError` without samples.

    >>> mean_of_medians([np.array([1.0, 2.0, 9.0]), np.array([4.0])])
    3.0
    """
    _require_samples(processes)
    return float(np.mean([np.median(samples) for samples in processes]))


def median_interval(processes: Sequence[Samples]) -> Interval:
    """Return the 95% interval of `mean_of_medians`: Student's t over the processes' medians.

    `processes` holds one array per process. One process has the `order_interval` of its samples.
    Raises `ValueError` when there is no process or one without samples.

    >>> median_interval([np.array([0.9, 1.0, 1.1]), np.array([1.0]), np.array([1.0])])
    (1.0, 1.0)
    >>> low, high = median_interval([np.array([1.0]), np.array([2.0]), np.array([3.0])])
    >>> round(low, 2), round(high, 2)
    (-0.48, 4.48)
    """
    _require_samples(processes)
    if len(processes) == 1:
        return order_interval(processes[0])
    medians = np.array([np.median(samples) for samples in processes])
    middle = float(medians.mean())
    half = student_95(len(medians) - 1) * float(medians.std(ddof=1)) / math.sqrt(len(medians))
    return middle - half, middle + half


def _require_samples(processes: Sequence[Samples]) -> None:
    if not processes or min(map(len, processes)) == 0:
        raise ValueError("a median needs at least one process, and each at least one sample")


def student_95(freedom: int) -> float:
    """Return Student's t of that many degrees of freedom for a two-sided interval of 95%.

    >>> round(student_95(2), 3), round(student_95(19), 3)
    (4.303, 2.093)
    """
    from scipy.special import stdtrit  # a tenth of a second, for commands that time nothing

    return float(stdtrit(freedom, 0.975))


def within_one_process(processes: int) -> float:
    """Return how much wider than the interval over `processes` alike ones that of one may be.

    Their medians spread by what their rounds leave open, at the least; Student's t then makes of
    that the interval over all. One or two processes have no interval worth aiming at.

    >>> [round(within_one_process(count), 2) for count in (1, 3, 5, 20)]
    [1.0, 0.79, 1.58, 4.19]
    """
    if processes < 3:
        return math.sqrt(processes)
    return math.sqrt(processes) * _NORMAL_95 / student_95(processes - 1)


def order_interval(samples: Samples) -> Interval:
    """Return the 95% interval of the median from two order statistics, which needs no resampling.

    Cheap enough to be asked after every round. With n samples its ends are the ranks
    n/2 -+ 0.98 sqrt(n), the normal form of the binomial sign test, or the extremes.

    >>> order_interval(np.arange(1.0, 101.0))
    (40.0, 61.0)
    """
    count = len(samples)
    # For few samples the formula falls below the first rank: then the interval is all of them.
    rank = max(round(count / 2 - _NORMAL_95 * np.sqrt(count) / 2), 1)
    ordered = np.sort(samples)
    return float(ordered[rank - 1]), float(ordered[count - rank])
