"""The cold regime: caches are emptied before each timed call, so that weights come from memory.

The hot regime, in which a network runs again and again, is what a server sees; a device that does
other work in between finds its caches full of that.
"""

from __future__ import annotations

import torch

from blockzoo.measure.clock import Call, Timer
from blockzoo.measure.machine import last_level_cache_bytes

_CACHES_FULL = 2
_USUAL_CPU_BYTES = 64 * 2**20
"""Of a last-level cache whose size the system does not tell."""


def cache_bytes(device: torch.device) -> int:
    """Return the size of the last cache before memory: level 2 on CUDA."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).L2_cache_size)
    return last_level_cache_bytes() or _USUAL_CPU_BYTES


class Evictor:
    """Reads and writes, when called, twice as many bytes as the last cache of `device` holds."""

    def __init__(self, device: torch.device) -> None:
        size = _CACHES_FULL * cache_bytes(device)
        self.buffer = torch.zeros(size, dtype=torch.uint8, device=device)

    def __call__(self) -> None:
        """Put the buffer into the caches, in the place of what was there."""
        self.buffer.add_(1)


def cold_timer(timer: Timer, evict: Call) -> Timer:
    """Return a timer of calls one by one, each after `evict`, which is not in the time."""

    def elapsed_ns(call: Call, count: int) -> int:
        total_ns = 0
        for _ in range(count):
            evict()
            total_ns += timer(call, 1)
        return total_ns

    return elapsed_ns
