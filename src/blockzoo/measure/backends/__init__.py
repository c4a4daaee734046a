"""Backends by name: the ways in which a module can be run and timed."""

from __future__ import annotations

from blockzoo.errors import UnknownNameError
from blockzoo.measure.backends.base import Backend, Loaded
from blockzoo.measure.backends.eager import EagerBackend
from blockzoo.measure.backends.options import CellOptions

__all__ = ["Backend", "CellOptions", "Loaded", "backend_names", "get_backend"]

_BACKENDS: dict[str, Backend] = {"eager": EagerBackend()}


def backend_names() -> tuple[str, ...]:
    """Return the names of all backends, installed or not."""
    return tuple(_BACKENDS)


def get_backend(name: str) -> Backend:
    """Return the backend of that name; raises `UnknownNameError`."""
    if name not in _BACKENDS:
        raise UnknownNameError("backend", name, _BACKENDS)
    return _BACKENDS[name]
