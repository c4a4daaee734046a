"""Whether a device still works: one error in a kernel ends CUDA for the whole process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import torch

from blockzoo.core.errors import BlockZooError, DeviceError


class DeviceLostError(Exception):
    """A network took its device with it; nothing else can be measured there in this process."""


class Devices:
    """Knows which of `names` worked when it was made."""

    def __init__(self, names: Iterable[str]) -> None:
        self._worked = {name for name in set(names) if works(name)}

    def check(self, device: str, network: str) -> None:
        """Raise `DeviceLostError` where `device` worked and, after `network`, does no more."""
        if device in self._worked and not works(device):
            raise DeviceLostError(f"{device} was lost by {network}")


def works(device: str) -> bool:
    """Tell whether `device` computes; a CPU always does."""
    where = torch.device(device)
    if where.type == "cpu":
        return True
    try:
        # Reading the result back waits for the kernel: errors of CUDA come late.
        return torch.ones(1, device=where).add_(1).item() == 2
    except (RuntimeError, AssertionError):  # torch without CUDA asserts
        return False


def require_working(device: torch.device, after: str) -> None:
    """Raise `BlockZooError` where `device` no longer works, `after` being what ran last."""
    if not works(str(device)):
        raise BlockZooError(
            f"{device} was lost by {after}; what comes after it was not run, for in this process "
            f"nothing more can be"
        )


_SAID = (
    "DefaultCPUAllocator: can't allocate memory",
    "CUDA error: out of memory",  # of pinned memory and of recorded graphs
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
"""What other errors than torch's own for it say, which are plain RuntimeErrors."""


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that memory is exhausted.

    >>> is_out_of_memory(RuntimeError("CUDA error: out of memory"))
    True
    """
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(said in str(error) for said in _SAID)


def resolve_device(text: str) -> torch.device:
    """Return the device of that name; "auto" is "cuda", or the CPU where there is none.

    "cuda" is the current CUDA device, by its number, so that one device has one name.

    Raises `DeviceError`, listing what is there, for a device that is not there or not known.

    >>> resolve_device("cpu")
    device(type='cpu')
    """
    there = available_devices()
    if text == "auto":
        text = "cuda" if len(there) > 1 else "cpu"
    if text == "cuda" and len(there) > 1:
        # Asking before CUDA is in use would begin to use it; until then it is the first.
        in_use: Callable[[], bool] = torch.cuda.is_initialized  # untyped in torch
        current = torch.cuda.current_device() if in_use() else 0
        return torch.device("cuda", current)
    if text not in there:
        raise DeviceError(f"device {text!r} is not available; there is: {', '.join(there)}")
    return torch.device(text)


def available_devices() -> tuple[str, ...]:
    """Return "cpu" and then "cuda:0", "cuda:1"... as far as they are there."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return ("cpu", *(f"cuda:{index}" for index in range(count)))


def usable_cores(quota_cores: float | None) -> int:
    """Return how many threads can run at once: a container may have time for less than its cores.

    `quota_cores`: what `cpu_quota_cores` says of it.

    >>> usable_cores(0.5), usable_cores(None) == available_cores()
    (1, True)
    """
    # Rounded down: what has no time left in a period waits, and the others with it.
    return (
        available_cores()
        if quota_cores is None
        else max(1, min(available_cores(), int(quota_cores)))
    )


def available_cores() -> int:
    """Return the number of logical cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
