"""The one door to NVML, NVIDIA's management library, through the package `nvidia-ml-py`.

Without the package (`pip install 'blockzoo[gpu]'`), a driver or the right to read, answers are
None. A torch device is found by its UUID: the two number devices differently. A slice of a GPU
(MIG) has a UUID of its own that is not looked up, so nothing is told about it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any, TypeVar

import torch

_T = TypeVar("_T")

# Bits of nvmlClocksEventReasons in NVIDIA's nvml.h.
_SLOWDOWNS = {
    0x04: "power limit",
    0x08: "hardware slowdown",
    0x20: "heat, by the driver",
    0x40: "heat, by the hardware",
    0x80: "power brake",
}


@dataclass(frozen=True, kw_only=True)
class GpuState:
    """Clocks of the multiprocessors, the enforced power limit and ECC; None is not readable."""

    clock_default_mhz: int | None
    clock_max_mhz: int | None
    clock_mhz: int | None
    power_limit_w: float | None
    ecc: bool | None


class Gpu:
    """One GPU as NVML knows it; `Gpu.find` returns one."""

    def __init__(self, library: Any, handle: Any) -> None:
        self._library, self._handle = library, handle

    @staticmethod
    def find(device: str | torch.device) -> Gpu | None:
        """Return the GPU that torch calls `device`, or None where NVML does not tell."""
        library = _library()
        if library is None:
            return None
        try:
            uuid = torch.cuda.get_device_properties(device).uuid
            return Gpu(library, library.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}"))
        except (library.NVMLError, RuntimeError, AssertionError, AttributeError):
            return None

    def state(self) -> GpuState:
        """Return clocks, power limit and ECC at this moment."""
        nvml = self._library
        limit_mw = self._ask(nvml.nvmlDeviceGetEnforcedPowerLimit)
        ecc = self._ask(nvml.nvmlDeviceGetEccMode)
        return GpuState(
            clock_default_mhz=self._clock_default_mhz,
            clock_max_mhz=self._ask(nvml.nvmlDeviceGetMaxClockInfo, nvml.NVML_CLOCK_SM),
            clock_mhz=self._clock_mhz(),
            power_limit_w=None if limit_mw is None else limit_mw / 1e3,
            ecc=None if ecc is None else bool(ecc[0]),
        )

    def clock_share(self) -> float | None:
        """Return the multiprocessors' clock at this moment as a share of the default one."""
        clock_mhz = self._clock_mhz()
        if clock_mhz is None or not self._clock_default_mhz:
            return None
        return clock_mhz / self._clock_default_mhz

    @cached_property
    def _clock_default_mhz(self) -> int | None:
        nvml = self._library
        return self._ask(nvml.nvmlDeviceGetDefaultApplicationsClock, nvml.NVML_CLOCK_GRAPHICS)

    def _clock_mhz(self) -> int | None:
        return self._ask(self._library.nvmlDeviceGetClockInfo, self._library.NVML_CLOCK_SM)

    def energy_j(self) -> float | None:
        """Return the joules used since the driver was loaded; GPUs before Volta do not count."""
        used_mj = self._ask(self._library.nvmlDeviceGetTotalEnergyConsumption)
        return None if used_mj is None else used_mj / 1e3

    def slowdowns(self) -> tuple[str, ...] | None:
        """Return why the clock is held down at this moment: by power, by heat; () for no reason.

        An idle clock, and one that somebody chose, are no slowdowns.
        """
        # The older of two names for one question: drivers before 535 know only this one.
        mask = self._ask(self._library.nvmlDeviceGetCurrentClocksThrottleReasons)
        if mask is None:
            return None
        return tuple(why for bit, why in _SLOWDOWNS.items() if mask & bit)

    def process_ids(self) -> tuple[int, ...] | None:
        """Return the ids of the processes that compute on this GPU, as the host counts them."""
        processes = self._ask(self._library.nvmlDeviceGetComputeRunningProcesses)
        return None if processes is None else tuple(each.pid for each in processes)

    def _ask(self, question: Callable[..., _T], *more: object) -> _T | None:
        try:
            return question(self._handle, *more)
        except self._library.NVMLError:
            return None


def _library() -> Any | None:
    """Return the package, ready to be asked; starting it again only counts."""
    try:
        library = import_module("pynvml")
    except ImportError:
        return None
    try:
        library.nvmlInit()
    except library.NVMLError:
        return None
    return library
