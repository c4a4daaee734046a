"""Was the device slowed down while samples were taken: by heat, by its power limit or by a quota.

Three counters tell: Linux's of thermal throttling of the cores, the control groups' of time that
their CPU quota withheld, and NVML's reasons why a GPU's clock is lower than it could be. NVML also
tells that clock, sample by sample. What cannot be read says nothing, and then nothing is told.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from blockzoo.measure.machine import containers, hardware
from blockzoo.measure.machine.nvml import Gpu

_WITHHELD_SHARE = 0.01
"""A quota that withholds less than this share of the time cannot move a median."""
_LEAST_CLOCK_SHARE = 0.75
"""Of a GPU's default clock; samples taken at a lower one do not count."""
_LOOK_S = 0.1
"""Between two looks at a GPU, so that they stay a small part of the session."""


@dataclass(frozen=True, kw_only=True)
class CpuCounters:
    """Thermal events of all cores, and seconds withheld by a quota; None is not readable."""

    thermal_events: int | None
    withheld_s: float | None


def read_cpu() -> CpuCounters:
    """Return the counters at this moment; they only ever grow."""
    return CpuCounters(thermal_events=hardware.thermal_events(), withheld_s=containers.withheld_s())


def slowed(before: CpuCounters, after: CpuCounters, elapsed_s: float) -> bool:
    """Tell whether a core was hot between two readings, or a quota withheld 1% of the time.

    >>> before = CpuCounters(thermal_events=3, withheld_s=1.0)
    >>> slowed(before, CpuCounters(thermal_events=3, withheld_s=1.5), elapsed_s=10.0)
    True
    """
    hot = _rise(before.thermal_events, after.thermal_events) > 0
    withheld_s = _rise(before.withheld_s, after.withheld_s)
    return hot or (withheld_s > 0 and withheld_s >= _WITHHELD_SHARE * elapsed_s)


def _rise(before: float | None, after: float | None) -> float:
    return 0.0 if before is None or after is None else after - before


class ThrottleWatch:
    """Watches the CPU and the CUDA devices among `devices`, from `start` on."""

    def __init__(
        self,
        devices: Iterable[str],
        *,
        read: Callable[[], CpuCounters] = read_cpu,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        on_cuda = {name for name in devices if name.startswith("cuda")}
        self._gpus = {name: gpu for name in on_cuda if (gpu := Gpu.find(name)) is not None}
        self._read, self._clock = read, clock
        self._slow: set[str] = set()
        self.start()

    def start(self) -> None:
        """Forget what was; what comes from now on counts."""
        self._before, self._start_s = self._read(), self._clock()
        self._next_look_s = self._start_s
        self._slow.clear()

    def look(self) -> None:
        """Ask the GPUs for their reasons, unless that was just done."""
        if not self._gpus or self._clock() < self._next_look_s:
            return
        # All looks count: a limit that holds for a moment has slowed the samples of that moment.
        self._slow.update(name for name, gpu in self._gpus.items() if gpu.slowdowns())
        self._next_look_s = self._clock() + _LOOK_S

    def at_speed(self, device: str) -> bool:
        """Tell whether the clock of `device` is at 75% of its default, as far as can be read."""
        gpu = self._gpus.get(device)
        # A clock that cannot be read refuses no sample.
        share = None if gpu is None else gpu.clock_share()
        return share is None or share >= _LEAST_CLOCK_SHARE

    def throttled(self) -> tuple[str, ...]:
        """Return which devices were slowed down, "cpu" first; a GPU if any look at it said so."""
        by_cpu = slowed(self._before, self._read(), self._clock() - self._start_s)
        return (*(("cpu",) if by_cpu else ()), *sorted(self._slow))
