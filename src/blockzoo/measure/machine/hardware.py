"""What the operating system tells of the processor: clocks, governor, heat, load, hypervisor."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import psutil

_CPUINFO = Path("/proc/cpuinfo")
_CPUS = Path("/sys/devices/system/cpu")
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
_THREAD_PREFIX = "KMP_"
_BFLOAT16 = {"BF16": {"avx512_bf16", "bf16"}, "AMX": {"amx_bf16"}}
_ONEDNN_LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")


def processor(cpuinfo: Path = _CPUINFO) -> str:
    """Return the model name of the CPU: from Linux's own list, else what Python can tell."""
    return _first(cpuinfo, "model name") or platform.processor() or platform.machine()


@lru_cache(maxsize=4)
def cpu_flags(cpuinfo: Path = _CPUINFO) -> frozenset[str]:
    """Return what the CPU can do, by Linux's names; empty where the system does not list it."""
    # x86 has flags, Arm has features.
    return frozenset((_first(cpuinfo, "flags") or _first(cpuinfo, "Features")).split())


def instructions(
    capability: str, *, flags: frozenset[str], environment: Mapping[str, str] = os.environ
) -> str:
    """Return which vector instructions torch runs on, for processors that share a name.

    `capability` is what torch chose for its own kernels. Those for bfloat16 are added where the CPU
    has them, and the limit that a variable sets to oneDNN, which chooses for itself.

    >>> instructions("AVX512", flags=frozenset({"avx512_bf16"}), environment={})
    'AVX512-BF16'
    >>> instructions("AVX2", flags=frozenset(), environment={"ONEDNN_MAX_CPU_ISA": "AVX2"})
    'AVX2, oneDNN up to AVX2'
    """
    extensions = [name for name, of in _BFLOAT16.items() if of & flags]
    limits = [environment[name] for name in _ONEDNN_LIMITS if environment.get(name)]
    return ", oneDNN up to ".join(["-".join([capability, *extensions]), *limits[:1]])


def virtualised(cpuinfo: Path = _CPUINFO) -> bool | None:
    """Tell whether a hypervisor lies below; None where the processor's flags do not say."""
    flags = _first(cpuinfo, "flags")
    return "hypervisor" in flags.split() if flags else None


def governor(cpus: Path = _CPUS) -> str | None:
    """Return the frequency governors of all cores, joined by a comma where they differ."""
    files = cpus.glob("cpu[0-9]*/cpufreq/scaling_governor")
    names = {_text(path).strip() for path in files} - {""}
    return ",".join(sorted(names)) or None


def boost(cpus: Path = _CPUS) -> bool | None:
    """Tell whether cores may run above their base clock while heat allows (turbo)."""
    # The two drivers mean opposite things by 1.
    for name, on in (("intel_pstate/no_turbo", "0"), ("cpufreq/boost", "1")):
        text = _text(cpus / name).strip()
        if text in ("0", "1"):
            return text == on
    return None


def last_level_cache_bytes(cpus: Path = _CPUS) -> int | None:
    """Return the size of the largest cache that the first core uses; None where it is not told."""
    files = cpus.glob("cpu0/cache/index[0-9]*/size")
    sizes = [text[:-1] for path in files if (text := _text(path).strip()).endswith("K")]
    return 1024 * max(map(int, filter(str.isdecimal, sizes)), default=0) or None


def hyper_threading(cpus: Path = _CPUS) -> bool | None:
    """Tell whether several logical cores share a physical one at this moment."""
    return {"0": False, "1": True}.get(_text(cpus / "smt" / "active").strip())


def thermal_events(cpus: Path = _CPUS) -> int | None:
    """Return how often heat has slowed a core or its package down since the start of the system.

    The counts of a package are told by each of its cores, so only differences mean something.
    """
    files = cpus.glob("cpu[0-9]*/thermal_throttle/*_throttle_count")
    counts = [int(text) for path in files if (text := _text(path).strip()).isdecimal()]
    return sum(counts) if counts else None


def clock_range_mhz() -> tuple[int | None, int | None]:
    """Return the lowest and the highest clock that the governor may choose, mean over cores."""
    clocks = _clocks()
    # psutil says 0 for what it cannot read.
    return (round(clocks.min) or None, round(clocks.max) or None) if clocks else (None, None)


def clock_mhz() -> float | None:
    """Return the clock at this moment, mean over cores."""
    clocks = _clocks()
    return float(clocks.current) or None if clocks else None


def load_average() -> float | None:
    """Return the mean number of runnable processes over the last minute."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return None


def thread_variables(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment variables that steer thread pools, as far as they are set."""
    return {
        name: value
        for name, value in sorted(environment.items())
        if name in _THREAD_VARIABLES or name.startswith(_THREAD_PREFIX)
    }


def _clocks() -> Any:
    try:
        return psutil.cpu_freq()
    except (AttributeError, NotImplementedError, OSError, RuntimeError):
        return None  # psutil has no such function on some systems


def _first(cpuinfo: Path, key: str) -> str:
    """Return the value of the first line with that key, or an empty text."""
    pairs = (line.partition(":") for line in _text(cpuinfo).splitlines())
    return next((value.strip() for name, _, value in pairs if name.strip() == key), "")


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""  # not Linux, or a core that just went offline
