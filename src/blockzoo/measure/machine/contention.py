"""Other processes that use the device at the same time, and so take from what is measured."""

from __future__ import annotations

import time
from dataclasses import dataclass

import psutil
import torch

from blockzoo.measure.machine.nvml import Gpu

LOOK_S = 0.3
LEAST_PERCENT = 20.0
"""Of one core; below that, a process is not worth a warning."""


@dataclass(frozen=True, kw_only=True)
class BusyProcess:
    """A process and how much of one core it took, in percent."""

    pid: int
    name: str
    cpu_percent: float

    def __str__(self) -> str:
        return f"{self.name} ({self.pid}) at {self.cpu_percent:.0f}% of a core"


def other_users(device: str | torch.device) -> tuple[str, ...]:
    """Return what else uses `device`, one short text each; this process's family does not count.

    On a CPU that takes a look of 0.3 s at all processes; on CUDA it is what NVML lists as
    computing, nothing where NVML does not tell.
    """
    if torch.device(device).type == "cuda":
        return gpu_users(device)
    return tuple(str(process) for process in busy_processes())


def busy_processes(
    *, look_s: float = LOOK_S, least_percent: float = LEAST_PERCENT
) -> tuple[BusyProcess, ...]:
    """Return the other processes that took at least that much of a core, the busiest first."""
    start_s, before = time.perf_counter(), _cpu_seconds()
    time.sleep(look_s)
    after = _cpu_seconds()
    percent = 100 / (time.perf_counter() - start_s)
    # Not the parents, which wait for this one, nor the children, which are what is measured.
    family = _family()
    processes = [
        BusyProcess(pid=process.pid, name=_name(process), cpu_percent=percent * (used - start))
        for process, used in after.items()
        if process.pid not in family and (start := before.get(process)) is not None
    ]
    busy = (process for process in processes if process.cpu_percent >= least_percent)
    return tuple(sorted(busy, key=lambda process: -process.cpu_percent))


def gpu_users(device: str | torch.device) -> tuple[str, ...]:
    """Return the other processes that compute on the GPU.

    NVML counts processes as the host does. In a container these ids mean nothing, so where this
    process holds memory on the GPU, one id that is not known here is taken to be its own.
    """
    gpu = Gpu.find(device)
    others = set((gpu.process_ids() if gpu else None) or ()) - _family()
    unknown = sorted(pid for pid in others if not psutil.pid_exists(pid))
    if unknown and torch.cuda.memory_reserved(device) > 0:
        others.discard(unknown[0])
    return tuple(f"{_name_of(pid)} ({pid}) on the GPU" for pid in sorted(others))


def _cpu_seconds() -> dict[psutil.Process, float]:
    seconds = {}
    for process in psutil.process_iter(["cpu_times"]):
        times = process.info["cpu_times"]
        if times is not None:  # None: not allowed to look
            seconds[process] = times.user + times.system
    return seconds


def _family() -> set[int]:
    """Return the ids of this process, those it descends from and those that descend from it."""
    own = psutil.Process()
    return {own.pid, *(each.pid for each in (*own.parents(), *own.children(recursive=True)))}


def _name_of(pid: int) -> str:
    try:
        return _name(psutil.Process(pid))
    except psutil.Error:
        return "a process not visible from here"


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return "a process that ended"
