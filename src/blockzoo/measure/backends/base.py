"""The interface of every backend: prepared once, loaded in each measuring process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import Tensor, nn

from blockzoo.measure.backends.options import CellOptions


class Loaded(Protocol):
    """A network ready to be timed in this process."""

    call: Callable[[], object]
    """One forward pass on the bound example."""

    def output(self, images: Tensor) -> Tensor:
        """Return the float32 output on the CPU for `images` (N, ...)."""

    def close(self) -> None:
        """Give back what was held."""


class Backend(Protocol):
    """One way to run a module."""

    def unavailable(self, device: str) -> str | None:
        """Return in one line why this backend cannot run on `device`, or None if it can."""

    def prepare(self, model: nn.Module, example: Tensor, options: CellOptions) -> bytes:
        """Return all that a fresh process needs to run a copy of `model`."""

    def load(self, payload: bytes, example: Tensor, options: CellOptions) -> Loaded:
        """Return the prepared network, bound to `example`."""
