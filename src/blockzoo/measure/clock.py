"""Clocks, and what times a call with one; a clock may stand still or run backwards."""

from __future__ import annotations

import time
from collections.abc import Callable

Call = Callable[[], object]
Clock = Callable[[], int]
"""Returns nanoseconds."""
Timer = Callable[[Call, int], int]
"""`timer(call, count)` runs `call` `count` times and returns the nanoseconds they took together."""


def wall_clock_timer(clock: Clock = time.perf_counter_ns) -> Timer:
    """Return a timer that reads `clock` before the first call and after the last."""

    def elapsed_ns(call: Call, count: int) -> int:
        start_ns = clock()
        for _ in range(count):
            call()
        return clock() - start_ns

    return elapsed_ns


class Stopwatch:
    """Nanoseconds since it was made, as far as the clock went forwards.

    A clock that is set back costs what passed since the last look at it, not the whole budget.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock, self._seen_ns, self._elapsed_ns = clock, clock(), 0

    def elapsed_ns(self) -> int:
        """Look at the clock and return what passed; never less than at the look before."""
        now_ns = self._clock()
        self._elapsed_ns += max(now_ns - self._seen_ns, 0)
        self._seen_ns = now_ns
        return self._elapsed_ns
