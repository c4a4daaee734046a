"""What is told about the machine, and which devices can be asked for."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import blockzoo
from blockzoo.core.errors import DeviceError
from blockzoo.measure.machine import environment, hardware
from blockzoo.measure.machine.devices import available_cores, available_devices, resolve_device
from blockzoo.measure.machine.environment import VOLATILE, describe_environment
from blockzoo.measure.machine.nvml import Gpu, GpuState
from blockzoo.results.records import Environment


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def test_the_fields_are_those_of_the_record() -> None:
    described = describe_environment()
    assert set(described) == set(Environment.model_fields)
    record = Environment.model_validate(described, strict=True)
    assert record.blockzoo == blockzoo.__version__
    assert record.torch == torch.__version__
    assert record.processor != ""
    assert record.memory_bytes > 2**20
    assert 1 <= record.cores == available_cores()
    assert record.accelerator is None
    assert record.driver is None


def test_threads_are_those_of_the_moment() -> None:
    before = torch.get_num_threads()
    try:
        for threads in (2, 1):
            torch.set_num_threads(threads)
            assert describe_environment()["threads"] == threads
    finally:
        torch.set_num_threads(before)


def test_the_accelerator_is_told_for_cuda_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU of {device}")
    described = describe_environment(torch.device("cuda:7"))
    assert described["accelerator"] == "GPU of cuda:7"
    environment._accelerator.cache_clear()


def test_only_volatile_fields_change_between_two_readings(monkeypatch: pytest.MonkeyPatch) -> None:
    before = describe_environment()
    monkeypatch.setenv("GOMP_SPINCOUNT", "123")
    monkeypatch.setattr(hardware, "clock_mhz", lambda: 4321.0)
    after = describe_environment()
    changed = {name for name in before if before[name] != after[name]}
    assert {"cpu_mhz", "thread_variables"} <= changed <= VOLATILE <= set(before)
    assert after["thread_variables"] == {**hardware.thread_variables(), "GOMP_SPINCOUNT": "123"}


def test_the_load_is_that_of_the_first_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    before = describe_environment()["load_average"]
    monkeypatch.setattr(hardware, "load_average", lambda: 99.0)
    assert describe_environment()["load_average"] == before


def test_versions_are_those_installed_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    described = describe_environment()
    assert described["numpy"] == np.__version__
    assert environment._version("no-such-package") is None


def test_what_a_gpu_tells_is_recorded_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    state = GpuState(
        clock_default_mhz=1305, clock_max_mhz=1980, clock_mhz=345, power_limit_w=700.0, ecc=True
    )
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "H100")
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91002)
    gpu = SimpleNamespace(state=lambda: state)
    monkeypatch.setattr(Gpu, "find", staticmethod(lambda device: gpu))
    record = Environment.model_validate(describe_environment("cuda:6"), strict=True)
    environment._accelerator.cache_clear()
    assert (record.accelerator, record.cudnn) == ("H100", "91002")
    assert (record.gpu_clock_default_mhz, record.gpu_clock_max_mhz) == (1305, 1980)
    assert (record.gpu_clock_mhz, record.gpu_power_limit_w, record.gpu_ecc) == (345, 700.0, True)


def test_the_driver_comes_from_the_system_file(tmp_path: Path) -> None:
    version = tmp_path / "version"
    version.write_text("570.1\n")
    assert environment._driver(version) == "570.1"
    assert environment._driver(tmp_path / "absent") is None


def test_auto_takes_cuda_where_there_is_one(two_gpus: None) -> None:
    assert resolve_device("auto") == torch.device("cuda:0")
    assert resolve_device("cuda") == torch.device("cuda:0")
    assert resolve_device("cuda:1") == torch.device("cuda:1")
    assert resolve_device("cpu") == torch.device("cpu")
    assert available_devices() == ("cpu", "cuda:0", "cuda:1")


def test_cuda_is_the_current_device_once_it_is_in_use(
    two_gpus: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    assert resolve_device("cuda") == resolve_device("cuda:1") == torch.device("cuda:1")


def test_auto_is_the_cpu_otherwise(no_gpu: None) -> None:
    assert resolve_device("auto") == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "gpu", "", "cuda:x"])
def test_a_device_that_is_absent_is_refused(no_gpu: None, name: str) -> None:
    with pytest.raises(DeviceError, match=rf"device '{name}' is not available; there is: cpu$"):
        resolve_device(name)


def test_a_device_beyond_the_last_is_refused_with_a_list(two_gpus: None) -> None:
    with pytest.raises(DeviceError, match=r"there is: cpu, cuda:0, cuda:1$"):
        resolve_device("cuda:2")
