"""The machine and the software a result is made with, and the devices that can be asked for."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import psutil
import torch

import blockzoo
from blockzoo.errors import DeviceError

_PACKAGE = Path(blockzoo.__file__).resolve().parent
_GIT_TIMEOUT_S = 10


def describe_environment(device: str | torch.device = "cpu") -> dict[str, object]:
    """Return the fields of `blockzoo.results.records.Environment` for a result made on `device`.

    What cannot be read is None, never an error: the commit outside a git checkout, and the
    accelerator and its driver where `device` is the CPU. `threads` is torch's number at this
    moment; `cores` are those this process may run on; the rest is read once.
    """
    return {
        **_machine(),
        **_accelerator(str(device)),
        "cores": available_cores(),
        "threads": torch.get_num_threads(),
    }


def resolve_device(text: str) -> torch.device:
    """Return the device of that name; "auto" is the first CUDA device, or the CPU without one.

    Raises `DeviceError`, listing what is there, for a device that is not there or not known.
    """
    if text == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    there = available_devices()
    if text == "cuda" and len(there) > 1:
        return torch.device("cuda")
    if text not in there:
        raise DeviceError(f"device {text!r} is not available; there is: {', '.join(there)}")
    return torch.device(text)


def available_devices() -> tuple[str, ...]:
    """Return "cpu" and then "cuda:0", "cuda:1"... as far as they are there."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return ("cpu", *(f"cuda:{index}" for index in range(count)))


def available_cores() -> int:
    """Return the number of logical cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@lru_cache(maxsize=1)
def _machine() -> dict[str, object]:
    return {
        "blockzoo": blockzoo.__version__,
        "commit": commit_of(_PACKAGE),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "timm": version("timm"),
        "system": platform.platform(),
        "processor": _processor(),
        "memory_bytes": psutil.virtual_memory().total,
    }


@lru_cache(maxsize=16)
def _accelerator(device: str) -> dict[str, object]:
    if not device.startswith("cuda"):
        return {"accelerator": None, "driver": None}
    return {"accelerator": torch.cuda.get_device_name(device), "driver": _driver()}


def _driver(version_file: Path = Path("/sys/module/nvidia/version")) -> str | None:
    """Return the version of the NVIDIA kernel driver; torch itself does not tell it."""
    try:
        return version_file.read_text().strip() or None
    except OSError:
        return None


def _processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the model name of the CPU: from Linux's own list, else what Python can tell."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def commit_of(package: Path) -> str | None:
    """Return the git commit that the sources in `package` belong to, with "-dirty" if changed.

    None unless `package` is `src/blockzoo` of a checkout: a package installed in a virtual
    environment inside somebody else's repository does not belong to that repository's commit.
    """
    root = package.parent.parent
    if package.parent.name != "src" or not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--exclude=*"]
    try:
        answer = subprocess.run(
            [*command, "--dirty"], capture_output=True, text=True, timeout=_GIT_TIMEOUT_S
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None if answer.returncode == 0 else None
