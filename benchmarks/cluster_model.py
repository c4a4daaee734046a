"""How long a sweep takes on many nodes: a model of one driver and its workers, event by event.

A driver hands trials out one at a time: each takes it `driver_s`, for the claim, the record and
what is told of it. A worker is there `startup_s` after the start, takes `round_trip_s` longer than
the trial itself, and asks again. Nothing else is shared: each node has its own cores and data.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence
from dataclasses import dataclass

EFFICIENT = 0.8
"""The knee is the largest number of nodes of which that share is used."""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """What was measured of driver and workers, in seconds."""

    startup_s: float
    driver_s: float
    round_trip_s: float

    def wall_s(self, durations_s: Sequence[float], workers: int) -> float:
        """Return when the last record is kept, from the start.

        Args:
            durations_s: What each trial takes on a worker, in their order.
            workers: How many there are.

        Example:
            >>> Cluster(startup_s=1, driver_s=0, round_trip_s=0).wall_s([2, 2, 2], 2)
            5
        """
        idle = [(self.startup_s, worker) for worker in range(workers)]
        heapq.heapify(idle)
        driver_free_s, end_s = self.startup_s, 0.0
        for duration_s in durations_s:
            asks_s, worker = heapq.heappop(idle)
            # One at a time: half of the driver's work is before the trial and half behind it, and
            # what is queued for is the sum.
            driver_free_s = max(driver_free_s, asks_s) + self.driver_s
            done_s = driver_free_s + self.round_trip_s + duration_s
            heapq.heappush(idle, (done_s, worker))
            end_s = max(end_s, done_s)
        return end_s

    def efficiency(self, durations_s: Sequence[float], workers: int) -> float:
        """Return the share of the workers' time in which trials run.

        Args:
            durations_s: As in `wall_s`.
            workers: As in `wall_s`.

        Example:
            >>> Cluster(startup_s=0, driver_s=1, round_trip_s=0).efficiency([1, 1], 1)
            0.5
        """
        return sum(durations_s) / (workers * self.wall_s(durations_s, workers))

    def knee(self, durations_s: Sequence[float], counts: Sequence[int]) -> int:
        """Return the largest of the counts whose workers are used well, 0 where none is.

        Args:
            durations_s: As in `wall_s`.
            counts: Numbers of workers, the least first.

        Example:
            >>> Cluster(startup_s=0, driver_s=1, round_trip_s=0).knee([9.0] * 64, [1, 2, 4, 16])
            4
        """
        well = [n for n in counts if self.efficiency(durations_s, n) >= EFFICIENT]
        return max(well, default=0)


def drawn(measured_s: Sequence[float], *, mean_s: float, count: int, seed: int = 0) -> list[float]:
    """Return durations of that mean, which vary as the measured ones do.

    Args:
        measured_s: What trials took.
        mean_s: Of the durations that are drawn, on average.
        count: How many.
        seed: Of the draws.

    Example:
        >>> drawn([1.0], mean_s=60.0, count=2)
        [60.0, 60.0]
    """
    generator = random.Random(seed)
    scale = mean_s * len(measured_s) / sum(measured_s)
    return [scale * each for each in generator.choices(measured_s, k=count)]
