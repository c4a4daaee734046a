"""How much memory this process holds, and how far that rises while something runs, in bytes.

Resident memory, as the system counts it. In a process with `GIVING_BACK_FREED_MEMORY` in its
environment glibc gives every freed tensor above 64 KiB straight back to the system, so that holes
between tensors, which depend on what ran before, are not measured.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from pathlib import Path

import psutil

from blockzoo.core.errors import ModelError

_MMAP_THRESHOLD_BYTES = 65536
GIVING_BACK_FREED_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(_MMAP_THRESHOLD_BYTES),
    "MALLOC_TRIM_THRESHOLD_": str(_MMAP_THRESHOLD_BYTES),
}
"""For a fresh interpreter, since glibc reads its settings once."""
_CLEAR_REFS = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")
_RESET_PEAK = "5"
"""What Linux takes as the wish to forget the highest resident size (man 5 proc)."""


def resident_bytes() -> int:
    """Return what this process holds, after what it freed was given back where that is possible.

    >>> resident_bytes() > 1_000_000
    True
    """
    _give_back_freed()
    return _status_bytes("VmRSS") if _STATUS.exists() else int(psutil.Process().memory_info().rss)


def rise_of_process(run: Callable[[], None], *, above_bytes: int | None = None) -> int:
    """Return how far the resident size of this process is above `above_bytes` while `run()` runs.

    Without it, above what it is now. Raises `ModelError` where the system does not tell.

    >>> rise_of_process(lambda: None) >= 0
    True
    """
    # What earlier work freed would be used again, and its pages would not count.
    _give_back_freed()
    try:
        _CLEAR_REFS.write_text(_RESET_PEAK)
    except OSError:
        return _rise_above_the_highest(run, above_bytes)
    before = _status_bytes("VmRSS") if above_bytes is None else above_bytes
    run()
    return _status_bytes("VmHWM") - before


def _give_back_freed() -> None:
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):
        return  # not glibc


def _status_bytes(field: str) -> int:
    for line in _STATUS.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    raise ModelError(f"this system does not tell a process its {field}")


def _rise_above_the_highest(run: Callable[[], None], above_bytes: int | None) -> int:
    """Return the same where the system remembers only the highest size the process ever had.

    A run that stays below that is not seen, which raises `ModelError`.
    """
    before = psutil.Process().memory_info().rss if above_bytes is None else above_bytes
    highest = _highest_ever_bytes()
    run()
    if _highest_ever_bytes() == highest:
        raise ModelError("too little to be seen on this system; take a larger batch")
    return _highest_ever_bytes() - before


def _highest_ever_bytes() -> int:
    try:
        import resource
    except ImportError as error:
        raise ModelError("this system does not tell a process its peak memory") from error
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return highest if sys.platform == "darwin" else highest * 1024
