"""Memory that a training on the CPU frees, kept by the process for its next step."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

# From glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -3, -4, -8
# No blocks of their own, nothing given back; and one arena, for others cannot keep large blocks,
# and an allocation that fails would move its thread to another for good.
_KEEP = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, -1), (_ARENA_MAX, 1))
# What glibc comes to by itself at most; the other two are its defaults.
_AS_USUAL = (
    *((_MMAP_THRESHOLD, 2**25), (_TRIM_THRESHOLD, 2**26)),
    *((_MMAP_MAX, 65536), (_ARENA_MAX, 8 * (os.cpu_count() or 1))),
)


@contextmanager
def freed_memory_kept(device: torch.device) -> Iterator[None]:
    """Have glibc keep what is freed meanwhile, if `device` is the CPU; then it is given back.

    Activations are too large for glibc to keep by itself: it has each step's mapped anew, at a
    page fault per 4 KiB. Peak memory may rise; nothing that is learned depends on it. Environment
    variables that set glibc's malloc have precedence; other C libraries and allocators are left
    alone. A thread that has an arena of its own, as all but the main one may, gains nothing.
    Source: mallopt(3).
    """
    libc = _glibc() if device.type == "cpu" and not _set_by_user() else None
    if libc is None:
        yield
        return
    for option, value in _KEEP:
        libc.mallopt(option, value)
    try:
        yield
    finally:
        for option, value in _AS_USUAL:
            libc.mallopt(option, value)
        libc.malloc_trim(0)


def _set_by_user() -> bool:
    return "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", "") or any(
        name.startswith("MALLOC_") and name.endswith("_") for name in os.environ
    )


def _glibc() -> ctypes.CDLL | None:
    try:
        libc = ctypes.CDLL(None)
        has_both = bool(libc.mallopt and libc.malloc_trim)
    except (AttributeError, OSError, TypeError):
        # Other C libraries lack one of the two; on Windows None is no library at all.
        return None
    return libc if has_both else None
