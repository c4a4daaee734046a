"""Which arithmetic a device profits from: bfloat16 autocast and channels-last, or plain fp32.

On a CPU with bfloat16 instructions training in bfloat16 and channels-last is more than twice as
fast (`benchmarks/training_throughput.py`); without them it is emulated, and slower than fp32.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import torch

from blockzoo.training.recipe import Recipe

_CPU_INFO = Path("/proc/cpuinfo")
_BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})


@dataclass(frozen=True, kw_only=True)
class Arithmetic:
    """`precision` of convolutions and matrix products, and the memory layout of images."""

    precision: Literal["fp32", "bf16"]
    channels_last: bool


def resolve_arithmetic(recipe: Recipe, device: torch.device) -> Arithmetic:
    """Return what `recipe` asks for on `device`; "auto" is replaced by what profits there."""
    precision = recipe.precision
    if precision == "auto":
        precision = "bf16" if profits_from_bf16(device) else "fp32"
    channels_last = recipe.channels_last
    if channels_last == "auto":
        channels_last = precision == "bf16"
    return Arithmetic(precision=precision, channels_last=channels_last)


def profits_from_bf16(device: torch.device) -> bool:
    """Tell whether `device` has bfloat16 arithmetic in hardware, as far as can be read."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and bool(_BF16_FLAGS & _cpu_flags())


@lru_cache(maxsize=1)
def _cpu_flags() -> frozenset[str]:
    try:
        lines = _CPU_INFO.read_text().splitlines()
    except OSError:  # no such file outside Linux
        return frozenset()
    flags = next((line for line in lines if line.startswith("flags")), "")
    return frozenset(flags.partition(":")[2].split())
