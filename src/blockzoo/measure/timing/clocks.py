"""Clocks, and what times a call with one; a clock may stand still or run backwards."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from blockzoo.measure.machine.hardware import last_level_cache_bytes

_CACHES_FULL = 2
_USUAL_CPU_BYTES = 64 * 2**20
"""Of a last-level cache whose size the system does not tell."""


def cache_bytes(device: torch.device) -> int:
    """Return the size of the last cache before memory: level 2 on CUDA."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).L2_cache_size)
    return last_level_cache_bytes() or _USUAL_CPU_BYTES


class Evictor:
    """Reads and writes, when called, twice as many bytes as the last cache of `device` holds."""

    def __init__(self, device: torch.device) -> None:
        size = _CACHES_FULL * cache_bytes(device)
        self.buffer = torch.zeros(size, dtype=torch.uint8, device=device)

    def __call__(self) -> None:
        """Put the buffer into the caches, in the place of what was there."""
        self.buffer.add_(1)


def cold_timer(timer: Timer, evict: Call) -> Timer:
    """Return a timer of calls one by one, each after `evict`, which is not in the time.

    >>> evicted = []
    >>> cold = cold_timer(lambda call, count: 5, lambda: evicted.append("all"))
    >>> cold(lambda: None, 3), len(evicted)
    (15, 3)
    """

    def elapsed_ns(call: Call, count: int) -> int:
        total_ns = 0
        for _ in range(count):
            evict()
            total_ns += timer(call, 1)
        return total_ns

    return elapsed_ns


Call = Callable[[], object]
Clock = Callable[[], int]
"""Returns nanoseconds."""
Timer = Callable[[Call, int], int]
"""`timer(call, count)` runs `call` `count` times and returns the nanoseconds they took together."""


def wall_clock_timer(clock: Clock = time.perf_counter_ns) -> Timer:
    """Return a timer that reads `clock` before the first call and after the last.

    >>> readings = iter([100, 350])
    >>> wall_clock_timer(lambda: next(readings))(lambda: None, 10)
    250
    """

    def elapsed_ns(call: Call, count: int) -> int:
        start_ns = clock()
        for _ in range(count):
            call()
        return clock() - start_ns

    return elapsed_ns


class Stopwatch:
    """Nanoseconds since it was made, as far as the clock went forwards.

    A clock that is set back costs what passed since the last look at it, not the whole budget.

    >>> readings = iter([100, 130, 50, 60])
    >>> watch = Stopwatch(lambda: next(readings))
    >>> [watch.elapsed_ns() for _ in range(3)]
    [30, 30, 40]
    """

    def __init__(self, clock: Clock) -> None:
        self._clock, self._seen_ns, self._elapsed_ns = clock, clock(), 0

    def elapsed_ns(self) -> int:
        """Look at the clock and return what passed; never less than at the look before."""
        now_ns = self._clock()
        self._elapsed_ns += max(now_ns - self._seen_ns, 0)
        self._seen_ns = now_ns
        return self._elapsed_ns


def timer_of(device: torch.device) -> Timer:
    """Return the clock of that device: the wall clock for the CPU, events for CUDA."""
    return wall_clock_timer() if device.type == "cpu" else device_timer(device)


class Timers:
    """Hands out a device's timer, by hot or cold caches; one buffer empties a device's caches."""

    def __init__(self) -> None:
        self._evictors: dict[torch.device, Call] = {}

    def __call__(self, device: torch.device, cache: str) -> Timer:
        """Return the timer of calls on `device` that find its caches "hot" or "cold"."""
        timer = timer_of(device)
        if cache == "hot":
            return timer
        if device not in self._evictors:
            self._evictors[device] = Evictor(device)
        return cold_timer(timer, self._evictors[device])


def device_timer(device: torch.device) -> Timer:
    """Return a timer by the device's own events, which leaves out the host's wait for the end."""

    def elapsed_ns(call: Call, count: int) -> int:
        with torch.cuda.device(device):
            torch.cuda.synchronize()  # what was launched before is not in the time
            event: Callable[..., torch.cuda.Event] = torch.cuda.Event  # untyped in torch
            start, end = event(enable_timing=True), event(enable_timing=True)
            start.record()
            for _ in range(count):
                call()
            end.record()
            end.synchronize()
        return int(start.elapsed_time(end) * 1e6)

    return elapsed_ns


@contextmanager
def threads_restored() -> Iterator[None]:
    """After it torch uses as many threads in an operation as before it.

    >>> before = torch.get_num_threads()
    >>> with threads_restored():
    ...     torch.set_num_threads(before + 1)
    >>> torch.get_num_threads() == before
    True
    """
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def fixed_threads(threads: int) -> Iterator[None]:
    """Within it torch uses that many threads in an operation.

    >>> with fixed_threads(3):
    ...     torch.get_num_threads()
    3
    """
    with threads_restored():
        torch.set_num_threads(threads)
        yield
