"""Short looks at the machine: how even its time is, and how much of it others take."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import torch

_STAT = Path("/proc/stat")
_MATRIX = 256
_STEPS = 50


@dataclass(frozen=True, kw_only=True)
class Noise:
    """How the times of one fixed piece of work differ: relative to their median."""

    iqr: float
    worst: float


def probe_noise(seconds: float = 1.0) -> Noise:
    """Time one product of two 256x256 matrices on one thread, again and again; 34 MFLOPs each."""
    left = torch.ones(_MATRIX, _MATRIX)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        times_ns = _times_ns(lambda: left @ left, seconds)
    finally:
        torch.set_num_threads(threads)
    return spread(times_ns[len(times_ns) // 10 :])  # without the warm-up


def spread(times_ns: list[int]) -> Noise:
    """Return the interquartile range and the longest of some times, both over the median.

    >>> spread([90, 100, 100, 110, 300])
    Noise(iqr=0.1, worst=3.0)
    """
    low, median, high = np.quantile(times_ns, (0.25, 0.5, 0.75))
    return Noise(iqr=float((high - low) / median), worst=float(max(times_ns) / median))


def timer_resolution_ns() -> int:
    """Return the smallest step seen on the clock that times the samples."""
    return min(_step_ns() for _ in range(_STEPS))


def _step_ns() -> int:
    start_ns = now_ns = time.perf_counter_ns()
    while now_ns == start_ns:
        now_ns = time.perf_counter_ns()
    return now_ns - start_ns


def steal_fraction(seconds: float = 1.0, stat: Path = _STAT) -> float | None:
    """Return the share of the cores' time that the hypervisor gave to others; None off Linux.

    The first line of /proc/stat counts, over all cores: user, nice, system, idle, iowait, irq,
    softirq, steal (proc(5)); guest times, after them, are in user already.
    """
    before = _cpu_times(stat)
    time.sleep(seconds)
    after = _cpu_times(stat)
    if len(before) < 8 or len(after) < 8:
        return None
    spent = [later - earlier for earlier, later in zip(before, after, strict=True)]
    return spent[7] / sum(spent) if sum(spent) > 0 else 0.0


def swap_used_bytes() -> int:
    """Return how much memory lies in swap."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about counters of pages that are not asked for here
        return int(psutil.swap_memory().used)


def _cpu_times(stat: Path) -> list[int]:
    try:
        fields = stat.read_text().partition("\n")[0].split()
    except OSError:
        return []
    return [int(field) for field in fields[1:9]]


def _times_ns(work: Callable[[], object], seconds: float) -> list[int]:
    times_ns, start_ns = [], time.perf_counter_ns()
    now_ns, end_ns = start_ns, start_ns + int(seconds * 1e9)
    while now_ns < end_ns:
        begin_ns = time.perf_counter_ns()
        work()
        now_ns = time.perf_counter_ns()
        times_ns.append(now_ns - begin_ns)
    return times_ns
