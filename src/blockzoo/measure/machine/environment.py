"""The machine and the software a result is made with, and the devices that can be asked for."""

from __future__ import annotations

import platform
import re
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil
import torch

from blockzoo.core.commit import PACKAGE, commit_of
from blockzoo.core.version import VERSION
from blockzoo.measure.machine import containers, hardware
from blockzoo.measure.machine.devices import available_cores
from blockzoo.measure.machine.nvml import Gpu, GpuState

_OPENMP = re.compile(r"OpenMP (\d+)(?: \(a\.k\.a\. OpenMP ([\d.]+)\))?")
_MKL = re.compile(r"Math Kernel Library Version (\d[\w.]*)")
_ONEDNN = re.compile(r"(?:MKL-DNN|oneDNN) v(\d[\w.]*)")


@dataclass(frozen=True, kw_only=True)
class TorchLibraries:
    """OpenMP by its version or the month of its specification; None is not built in or not told."""

    openmp: str | None
    mkl: str | None
    onednn: str | None


def torch_libraries(description: str | None = None) -> TorchLibraries:
    """Read the versions from `description`, by default from what torch says of how it was built."""
    if description is None:
        description = str(torch.__config__.show())
    openmp = _OPENMP.search(description)
    return TorchLibraries(
        openmp=openmp and (openmp[2] or openmp[1]),
        mkl=_first(_MKL, description),
        onednn=_first(_ONEDNN, description),
    )


def _first(pattern: re.Pattern[str], description: str) -> str | None:
    match = pattern.search(description)
    return match and match[1]


VOLATILE = frozenset(
    {"load_average", "cpu_mhz", "gpu_clock_mhz", "thread_variables", "thermal_events"}
)
"""Fields that may differ between two readings of one machine: no part of a result's identity.

Thread variables are among them because commands set some for the processes that they start.
"""


def describe_environment(device: str | torch.device = "cpu") -> dict[str, object]:
    """Return the fields of `blockzoo.results.records.Environment` for a result made on `device`.

    What cannot be read is None, never an error: the commit outside a git checkout, and all about
    an accelerator where `device` is the CPU. `threads` is torch's number at this moment, `cores`
    are those this process may run on, clocks and governor are of this moment. The rest is read
    once, the load too, so that it is the load before this process added its own.
    """
    clock_min_mhz, clock_max_mhz = hardware.clock_range_mhz()
    return {
        **_machine(),
        **_accelerator(str(device)),
        **_gpu(str(device)),
        "cores": available_cores(),
        "threads": torch.get_num_threads(),
        "thread_variables": hardware.thread_variables(),
        "governor": hardware.governor(),
        "cpu_min_mhz": clock_min_mhz,
        "cpu_max_mhz": clock_max_mhz,
        "cpu_mhz": hardware.clock_mhz(),
        "boost": hardware.boost(),
        "hyper_threading": hardware.hyper_threading(),
        "thermal_events": hardware.thermal_events(),
    }


@lru_cache(maxsize=1)
def _machine() -> dict[str, object]:
    return {
        "blockzoo": VERSION,
        "commit": commit_of(PACKAGE),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "timm": version("timm"),
        "numpy": version("numpy"),
        "torchvision": version("torchvision"),
        "lightning": version("lightning"),
        "onnxruntime": _version("onnxruntime") or _version("onnxruntime-gpu"),
        "openvino": _version("openvino"),
        **asdict(torch_libraries()),
        "system": platform.platform(),
        "processor": hardware.processor(),
        "instructions": hardware.instructions(
            torch.backends.cpu.get_cpu_capability(), flags=hardware.cpu_flags()
        ),
        "physical_cores": psutil.cpu_count(logical=False),
        "virtualised": hardware.virtualised(),
        "load_average": hardware.load_average(),
        "memory_bytes": psutil.virtual_memory().total,
        "cpu_quota_cores": containers.cpu_quota_cores(),
        "memory_limit_bytes": containers.memory_limit_bytes(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@lru_cache(maxsize=16)
def _accelerator(device: str) -> dict[str, object]:
    if not device.startswith("cuda"):
        return dict.fromkeys(("accelerator", "driver", "cuda", "cudnn"))
    cudnn: int | None = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    return {
        "accelerator": torch.cuda.get_device_name(device),
        "driver": _driver(),
        "cuda": torch.version.cuda,
        "cudnn": None if cudnn is None else str(cudnn),
    }


def _gpu(device: str) -> dict[str, object]:
    gpu = Gpu.find(device) if device.startswith("cuda") else None
    state = {} if gpu is None else asdict(gpu.state())
    return {f"gpu_{field.name}": state.get(field.name) for field in fields(GpuState)}


def _driver(version_file: Path = Path("/sys/module/nvidia/version")) -> str | None:
    """Return the version of the NVIDIA kernel driver; torch itself does not tell it."""
    try:
        return version_file.read_text().strip() or None
    except OSError:
        return None
