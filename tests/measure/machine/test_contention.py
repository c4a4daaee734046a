"""Which other processes use the device."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from types import SimpleNamespace

import psutil
import pytest
import torch

from blockzoo.measure.machine import contention
from blockzoo.measure.machine.contention import BusyProcess, busy_processes, other_users
from blockzoo.measure.machine.nvml import Gpu

OTHER, OWN, NOBODY = 4_000_001, os.getpid(), 4_000_002


class FakeProcess:
    """A process that has used `seconds[0]` at the first look and `seconds[1]` at the second."""

    def __init__(self, pid: int, *seconds: float | None) -> None:
        self.pid, self._seconds = pid, list(seconds)

    @property
    def info(self) -> dict[str, object]:
        used = self._seconds.pop(0)
        times = None if used is None else SimpleNamespace(user=used - 1, system=1.0)
        return {"cpu_times": times}

    def name(self) -> str:
        if self.pid == NOBODY:
            raise psutil.NoSuchProcess(self.pid)
        return f"program{self.pid}"


def two_seconds_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [10.0]
    clock = SimpleNamespace(
        perf_counter=lambda: now_s[0],
        sleep=lambda seconds: now_s.__setitem__(0, now_s[0] + 2.0),
    )
    monkeypatch.setattr(contention, "time", clock)


def looks(monkeypatch: pytest.MonkeyPatch, *processes: FakeProcess) -> None:
    two_seconds_pass(monkeypatch)
    monkeypatch.setattr(psutil, "process_iter", lambda fields: processes)


def test_the_busiest_comes_first_and_small_ones_and_the_family_do_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks(
        monkeypatch,
        FakeProcess(OWN, 5.0, 7.0),
        FakeProcess(os.getppid(), 5.0, 7.0),
        FakeProcess(OTHER, 5.0, 6.0),
        FakeProcess(NOBODY, 5.0, 8.0),
        FakeProcess(4_000_003, 5.0, 5.2),
        FakeProcess(4_000_004, None, None),
        FakeProcess(4_000_005, None, 9.0),
    )
    assert other_users("cpu") == (
        f"a process that ended ({NOBODY}) at 150% of a core",
        f"program{OTHER} ({OTHER}) at 50% of a core",
    )


def test_a_limit_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    looks(monkeypatch, FakeProcess(OTHER, 5.0, 5.2))
    (found,) = busy_processes(look_s=2.0, least_percent=5.0)
    assert (found.pid, found.name) == (OTHER, f"program{OTHER}")
    assert found.cpu_percent == pytest.approx(10.0)


def test_a_real_look_leaves_out_a_child_that_is_busy() -> None:
    child = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(0.1)
        found = busy_processes(look_s=0.2)
    finally:
        child.kill()
        child.wait()
    assert all(isinstance(process, BusyProcess) for process in found)
    assert not {child.pid, OWN, os.getppid()} & {process.pid for process in found}


def test_on_a_gpu_those_count_that_nvml_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    held = [0]
    gpu = SimpleNamespace(process_ids=lambda: (OWN, OTHER, NOBODY))
    monkeypatch.setattr(Gpu, "find", staticmethod(lambda device: gpu))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: held[0])
    monkeypatch.setattr(psutil, "pid_exists", lambda pid: pid == OTHER)
    monkeypatch.setattr(contention, "_family", lambda: {OWN})
    hidden = f"a process not visible from here ({NOBODY}) on the GPU"
    other = f"a process not visible from here ({OTHER}) on the GPU"
    assert other_users("cuda:0") == (other, hidden)
    held[0] = 1024  # the one that is not known here may be this one
    assert other_users("cuda:0") == (other,)


@pytest.mark.parametrize("gpu", [None, SimpleNamespace(process_ids=lambda: None)])
def test_without_nvml_nobody_is_known(
    gpu: SimpleNamespace | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Gpu, "find", staticmethod(lambda device: gpu))
    assert other_users("cuda:0") == ()
