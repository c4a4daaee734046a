"""The batch size at which a device maps most images per second, found by doubling."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from blockzoo.core.errors import InputError
from blockzoo.measure.out_of_memory import is_out_of_memory

Stop = Literal["no gain", "out of memory", "largest batch"]
_GAIN = 0.02
_PATIENCE = 2


@dataclass(frozen=True, kw_only=True)
class ThroughputPoint:
    """One batch size that was tried: milliseconds per batch and images per second."""

    batch_size: int
    latency_ms: float

    @property
    def images_per_s(self) -> float:
        """Images per second."""
        return self.batch_size / self.latency_ms * 1e3


@dataclass(frozen=True, kw_only=True)
class ThroughputSearch:
    """The points tried, in order, and why the search ended; `best` is the fastest point."""

    points: tuple[ThroughputPoint, ...]
    stopped_by: Stop

    @property
    def best(self) -> ThroughputPoint:
        """The point of most images per second."""
        return max(self.points, key=lambda point: point.images_per_s)


def search_throughput(
    latency_ms: Callable[[int], float], *, largest_batch: int = 4096
) -> ThroughputSearch:
    """Double the batch from 1 until it no longer pays, memory ends or `largest_batch` is passed.

    `latency_ms(batch_size)` returns the milliseconds of one batch. It no longer pays when two
    doublings in a row gain less than 2% on the best images per second before them. Raises
    `InputError` for a largest batch below 1, and what `latency_ms` raises where that is not a lack
    of memory, or where even one image does not fit.
    """
    if largest_batch < 1:
        raise InputError(f"largest batch is {largest_batch}; it must be 1 or more")
    points: list[ThroughputPoint] = []
    batch_size, without_gain = 1, 0
    stopped_by: Stop = "largest batch"
    while batch_size <= largest_batch:
        try:
            point = ThroughputPoint(batch_size=batch_size, latency_ms=latency_ms(batch_size))
        except (MemoryError, RuntimeError) as error:
            if not points or not is_out_of_memory(error):
                raise
            stopped_by = "out of memory"
            break
        best = max((p.images_per_s for p in points), default=0.0)
        without_gain = 0 if point.images_per_s > best * (1 + _GAIN) else without_gain + 1
        points.append(point)
        if without_gain == _PATIENCE:
            stopped_by = "no gain"
            break
        batch_size *= 2
    return ThroughputSearch(points=tuple(points), stopped_by=stopped_by)
