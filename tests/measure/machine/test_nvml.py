"""The door to NVML, with a library that is made up."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from blockzoo.measure.machine.nvml import Gpu, GpuState


class NVMLError(Exception):
    pass


def refused(*_: object) -> Any:
    raise NVMLError


def library(**changed: Any) -> SimpleNamespace:
    handles = {"GPU-1234": "handle"}
    answers = {
        "NVMLError": NVMLError,
        "NVML_CLOCK_GRAPHICS": 0,
        "NVML_CLOCK_SM": 1,
        "nvmlInit": lambda: None,
        "nvmlDeviceGetHandleByUUID": handles.__getitem__,
        "nvmlDeviceGetDefaultApplicationsClock": lambda handle, clock: 1305 + clock,
        "nvmlDeviceGetMaxClockInfo": lambda handle, clock: 1979 + clock,
        "nvmlDeviceGetClockInfo": lambda handle, clock: 344 + clock,
        "nvmlDeviceGetEnforcedPowerLimit": lambda handle: 700_000,
        "nvmlDeviceGetEccMode": lambda handle: [1, 0],
        "nvmlDeviceGetTotalEnergyConsumption": lambda handle: 12_345,
        "nvmlDeviceGetComputeRunningProcesses": lambda handle: [SimpleNamespace(pid=77)],
        "nvmlDeviceGetCurrentClocksThrottleReasons": lambda handle: 0x44,
    }
    return SimpleNamespace(**{**answers, **changed})


def found(monkeypatch: pytest.MonkeyPatch, **changed: Any) -> Gpu | None:
    monkeypatch.setitem(sys.modules, "pynvml", library(**changed))
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="1234")
    )
    return Gpu.find("cuda:0")


def test_readings_are_in_the_units_of_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = found(monkeypatch)
    assert gpu is not None
    assert gpu.state() == GpuState(
        clock_default_mhz=1305, clock_max_mhz=1980, clock_mhz=345, power_limit_w=700.0, ecc=True
    )
    assert gpu.energy_j() == 12.345
    assert gpu.process_ids() == (77,)
    assert gpu.slowdowns() == ("power limit", "heat, by the hardware")


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({}, 345 / 1305),
        ({"nvmlDeviceGetDefaultApplicationsClock": refused}, None),
        ({"nvmlDeviceGetDefaultApplicationsClock": lambda handle, clock: 0}, None),
        ({"nvmlDeviceGetClockInfo": refused}, None),
    ],
)
def test_the_clock_is_told_as_a_share_of_the_default_one(
    changed: dict[str, Any], told: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = found(monkeypatch, **changed)
    assert gpu is not None
    assert gpu.clock_share() == told


def test_an_idle_or_chosen_clock_is_no_slowdown(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = found(monkeypatch, nvmlDeviceGetCurrentClocksThrottleReasons=lambda handle: 0x113)
    assert gpu is not None
    assert gpu.slowdowns() == ()


def test_what_is_refused_is_none_and_the_rest_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = found(
        monkeypatch,
        nvmlDeviceGetEccMode=refused,
        nvmlDeviceGetDefaultApplicationsClock=refused,
        nvmlDeviceGetTotalEnergyConsumption=refused,
        nvmlDeviceGetComputeRunningProcesses=refused,
        nvmlDeviceGetCurrentClocksThrottleReasons=refused,
    )
    assert gpu is not None
    state = gpu.state()
    assert (state.ecc, state.clock_default_mhz, state.clock_max_mhz) == (None, None, 1980)
    assert gpu.energy_j() is None
    assert gpu.process_ids() is None
    assert gpu.slowdowns() is None


def test_without_package_driver_or_such_a_gpu_there_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert found(monkeypatch, nvmlInit=refused) is None
    assert found(monkeypatch, nvmlDeviceGetHandleByUUID=refused) is None
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert Gpu.find("cuda:0") is None


@pytest.mark.gpu
def test_a_real_gpu_tells_its_clocks() -> None:
    pytest.importorskip("pynvml")
    gpu = Gpu.find("cuda:0")
    assert gpu is not None
    clock_max_mhz = gpu.state().clock_max_mhz
    assert clock_max_mhz is not None
    assert clock_max_mhz > 0
    assert gpu.slowdowns() is not None
