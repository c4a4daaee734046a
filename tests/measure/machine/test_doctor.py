"""Verdicts on readings that are made up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from blockzoo.measure.machine import containers, hardware, probes
from blockzoo.measure.machine.contention import BusyProcess
from blockzoo.measure.machine.doctor import Finding, Readings, judge, read_machine
from blockzoo.measure.machine.environment import TorchLibraries
from blockzoo.measure.machine.nvml import GpuState
from tests.measure.machine.samples import QUIET

GPU = GpuState(
    clock_default_mhz=1305, clock_max_mhz=1980, clock_mhz=345, power_limit_w=700.0, ecc=True
)


def busy(*percents: float) -> tuple[BusyProcess, ...]:
    return tuple(
        BusyProcess(pid=pid, name="make", cpu_percent=percent)
        for pid, percent in enumerate(percents, start=10)
    )


def finding(subject: str, readings: Readings) -> Finding:
    (found,) = (each for each in judge(readings) if each.subject == subject)
    return found


def test_on_a_quiet_machine_all_is_ok_and_there_is_nothing_to_do() -> None:
    findings = judge(QUIET)
    assert [each.subject for each in findings] == [
        "governor", "boost", "hyper-threading", "heat", "load", "other processes", "CPU quota",
        "hypervisor", "stolen time", "noise", "timer", "memory", "swap", "torch's libraries",
    ]  # fmt: skip
    assert {(each.verdict, each.advice) for each in findings} == {("ok", "")}


@pytest.mark.parametrize(
    ("subject", "changed", "verdict"),
    [
        ("governor", {"governor": "powersave"}, "caution"),
        ("governor", {"governor": None}, "caution"),
        ("boost", {"boost": True}, "caution"),
        ("boost", {"boost": None}, "ok"),
        ("hyper-threading", {"hyper_threading": True}, "caution"),
        ("hyper-threading", {"hyper_threading": None}, "ok"),
        ("heat", {"thermal_events": 9, "new_thermal_events": 0}, "ok"),
        ("heat", {"thermal_events": 9, "new_thermal_events": 2}, "caution"),
        ("heat", {"thermal_events": None}, "ok"),
        ("load", {"load_average": 1.0}, "caution"),
        ("load", {"load_average": 4.0}, "unfit"),
        ("load", {"load_average": None}, "caution"),
        ("other processes", {"busy": busy(100, 100, 100)}, "caution"),
        ("other processes", {"busy": busy(100, 100, 100, 30)}, "unfit"),
        ("CPU quota", {"cpu_quota_cores": 4.0}, "ok"),
        ("CPU quota", {"cpu_quota_cores": 1.5}, "caution"),
        ("CPU quota", {"cpu_quota_cores": 0.5}, "unfit"),
        ("hypervisor", {"virtualised": True}, "caution"),
        ("hypervisor", {"virtualised": None}, "ok"),
        ("stolen time", {"steal_fraction": 0.02}, "caution"),
        ("stolen time", {"steal_fraction": 0.2}, "unfit"),
        ("stolen time", {"steal_fraction": None}, "ok"),
        ("noise", {"noise": probes.Noise(iqr=0.05, worst=2.0)}, "caution"),
        ("noise", {"noise": probes.Noise(iqr=0.01, worst=11.0)}, "caution"),
        ("noise", {"noise": probes.Noise(iqr=0.3, worst=50.0)}, "unfit"),
        ("timer", {"timer_resolution_ns": 1_000}, "caution"),
        ("timer", {"timer_resolution_ns": 15_600_000}, "unfit"),
        ("memory", {"memory_available_bytes": 2**30}, "caution"),
        ("memory", {"memory_available_bytes": 2**28}, "unfit"),
        ("swap", {"swap_used_bytes": 2**30}, "caution"),
    ],
)
def test_each_reading_has_its_verdict(subject: str, changed: dict[str, Any], verdict: str) -> None:
    found = finding(subject, replace(QUIET, **changed))
    assert found.verdict == verdict
    assert (found.advice == "") == (verdict == "ok")


def test_readings_are_told_with_their_units() -> None:
    crowd = replace(QUIET, busy=busy(90, 80, 70, 60), steal_fraction=0.034, load_average=2.5)
    assert finding("load", crowd).reading == "2.50 in the last minute, on 4 core(s)"
    assert finding("stolen time", crowd).reading == "3.4% of the cores' time"
    assert finding("other processes", crowd).reading == (
        "make (10) at 90% of a core; make (11) at 80% of a core; make (12) at 70% of a core"
    )


def test_what_cannot_be_read_says_so() -> None:
    blind = replace(QUIET, boost=None, hyper_threading=None, thermal_events=None)
    subjects = ("boost", "hyper-threading", "heat")
    assert {finding(each, blind).reading for each in subjects} == {"not readable"}


def test_heat_is_told_since_the_start_and_during_the_look(monkeypatch: pytest.MonkeyPatch) -> None:
    events = iter([40, 43])
    monkeypatch.setattr(hardware, "thermal_events", lambda: next(events))
    found = finding("heat", read_machine("cpu", seconds=0.01))
    assert found.verdict == "caution"
    assert found.reading == "43 thermal event(s) since the system started, 3 in the last seconds"


def test_libraries_are_listed_and_missing_ones_are_none() -> None:
    bare = replace(QUIET, libraries=TorchLibraries(openmp="4.5", mkl=None, onednn="3.12.0"))
    assert finding("torch's libraries", bare).reading == "OpenMP 4.5, MKL none, oneDNN 3.12.0"


def test_a_gpu_is_judged_where_it_is_the_device() -> None:
    readings = replace(QUIET, on_cuda=True, gpu=GPU, gpu_users=("python (7) on the GPU",))
    assert finding("GPU", readings).reading == (
        "clock 345 of at most 1980 MHz (default 1305), power limit 700 W, ECC on"
    )
    users = finding("GPU users", readings)
    assert (users.verdict, users.reading) == ("caution", "python (7) on the GPU")
    alone = replace(readings, gpu_users=(), gpu=replace(GPU, power_limit_w=None, ecc=None))
    assert finding("GPU users", alone).verdict == "ok"
    assert finding("GPU", alone).reading.endswith("power limit unknown, ECC unknown")


def test_without_nvml_it_says_what_to_install() -> None:
    found = finding("GPU", replace(QUIET, on_cuda=True))
    assert found.verdict == "caution"
    assert "pip install 'blockzoo[gpu]'" in found.advice


def test_the_memory_of_a_container_is_what_is_available(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "memory_limit_bytes", lambda: 2**20)
    readings = read_machine("cpu", seconds=0.01)
    assert readings.memory_available_bytes == 2**20
    assert (readings.on_cuda, readings.gpu, readings.gpu_users) == (False, None, ())
    assert readings.cores >= 1
    assert finding("memory", readings).verdict == "unfit"
