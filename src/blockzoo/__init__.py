"""BlockZoo: compare convolutional blocks fairly, in one fixed scaffold.

Everything public is importable from here and loaded on first use, so that `import blockzoo` costs
nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from blockzoo.core.version import VERSION

if TYPE_CHECKING:
    from blockzoo.blocks import get_block, list_available_blocks, register_block
    from blockzoo.core.errors import BlockZooError
    from blockzoo.core.position import Position
    from blockzoo.data import load_dataset
    from blockzoo.experiments.benchmark import benchmark_blocks
    from blockzoo.experiments.compare import compare
    from blockzoo.experiments.profile import profile_block, profile_blocks
    from blockzoo.experiments.protocol import get_protocol
    from blockzoo.experiments.sweep.run import run_sweep
    from blockzoo.experiments.train import train_block
    from blockzoo.experiments.tuning.tune import train_tuned, tune_block
    from blockzoo.results.store.database import Store
    from blockzoo.results.table.frame import load_results
    from blockzoo.results.table.latencies import load_latencies
    from blockzoo.scaffold.net import ScaffoldConfig, ScaffoldNet

__version__ = VERSION

_HOME = {
    "BlockZooError": "core.errors",
    "Position": "core.position",
    "ScaffoldConfig": "scaffold.net",
    "ScaffoldNet": "scaffold.net",
    "Store": "results.store.database",
    "benchmark_blocks": "experiments.benchmark",
    "compare": "experiments.compare",
    "get_block": "blocks",
    "get_protocol": "experiments.protocol",
    "list_available_blocks": "blocks",
    "load_dataset": "data",
    "load_latencies": "results.table.latencies",
    "load_results": "results.table.frame",
    "profile_block": "experiments.profile",
    "profile_blocks": "experiments.profile",
    "register_block": "blocks",
    "run_sweep": "experiments.sweep.run",
    "train_block": "experiments.train",
    "train_tuned": "experiments.tuning.tune",
    "tune_block": "experiments.tuning.tune",
}

__all__ = [
    "BlockZooError",
    "Position",
    "ScaffoldConfig",
    "ScaffoldNet",
    "Store",
    "benchmark_blocks",
    "compare",
    "get_block",
    "get_protocol",
    "list_available_blocks",
    "load_dataset",
    "load_latencies",
    "load_results",
    "profile_block",
    "profile_blocks",
    "register_block",
    "run_sweep",
    "train_block",
    "train_tuned",
    "tune_block",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'blockzoo' has no attribute {name!r}")
    return getattr(import_module(f"blockzoo.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
