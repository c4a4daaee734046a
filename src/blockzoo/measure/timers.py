"""The clock that times calls on a device, and the number of threads they run with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from blockzoo.measure.clock import Call, Timer, wall_clock_timer
from blockzoo.measure.cold_cache import Evictor, cold_timer


def timer_of(device: torch.device) -> Timer:
    """Return the clock of that device: the wall clock for the CPU, events for CUDA."""
    return wall_clock_timer() if device.type == "cpu" else device_timer(device)


class Timers:
    """Hands out the timer of a device and cache regime; one buffer empties a device's caches."""

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
            torch.cuda.synchronize()
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
def fixed_threads(threads: int) -> Iterator[None]:
    """Within it torch uses that many threads in an operation."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
