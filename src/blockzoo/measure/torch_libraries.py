"""Versions of the libraries that torch computes with on the CPU, as torch itself tells them."""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch

_OPENMP = re.compile(r"OpenMP (\d+)(?: \(a\.k\.a\. OpenMP ([\d.]+)\))?")
_MKL = re.compile(r"Math Kernel Library Version (\d[\w.]*)")
_ONEDNN = re.compile(r"(?:MKL-DNN|oneDNN) v(\d[\w.]*)")


@dataclass(frozen=True, kw_only=True)
class TorchLibraries:
    """OpenMP by its version or the month of its specification; None is not built in or not told."""

    openmp: str | None
    mkl: str | None
    onednn: str | None


def torch_libraries(told: str | None = None) -> TorchLibraries:
    """Read the versions from `told`, by default from what torch says of how it was built."""
    if told is None:
        told = str(torch.__config__.show())
    openmp = _OPENMP.search(told)
    return TorchLibraries(
        openmp=openmp and (openmp[2] or openmp[1]),
        mkl=_first(_MKL, told),
        onednn=_first(_ONEDNN, told),
    )


def _first(pattern: re.Pattern[str], told: str) -> str | None:
    found = pattern.search(told)
    return found and found[1]
