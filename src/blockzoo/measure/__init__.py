"""Measurements: any nn.Module in, a frozen result out; this room knows nothing of blocks.

What is here is for whoever measures modules of their own. It is loaded when it is asked for: who
counts need not load what times.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from blockzoo.core.run_way import RunWay as RunWay
    from blockzoo.measure.costs.complexity import count_macs as count_macs
    from blockzoo.measure.costs.complexity import count_parameters as count_parameters
    from blockzoo.measure.timing.api import measure as measure
    from blockzoo.measure.timing.settings import LatencySettings as LatencySettings

_HOME = {
    "LatencySettings": "measure.timing.settings",
    "RunWay": "core.run_way",
    "count_macs": "measure.costs.complexity",
    "count_parameters": "measure.costs.complexity",
    "measure": "measure.timing.api",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'blockzoo.measure' has no attribute {name!r}")
    return getattr(import_module(f"blockzoo.{_HOME[name]}"), name)
