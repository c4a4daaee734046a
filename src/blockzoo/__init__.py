"""BlockZoo: compare convolutional blocks fairly, in one fixed scaffold.

Everything public is importable from here and loaded on first use, so that `import blockzoo` costs
nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from blockzoo.core.version import VERSION

# Said twice, for who checks types runs nothing, and who runs a program loads nothing that it does
# not use. A test holds the two together. `as` says that a name is public.
if TYPE_CHECKING:
    from blockzoo.analysis.compare import Comparison as Comparison
    from blockzoo.analysis.compare import LatencyRatio as LatencyRatio
    from blockzoo.analysis.ways import WayRatio as WayRatio
    from blockzoo.analysis.ways import way_ratios as way_ratios
    from blockzoo.blocks import BlockSpec as BlockSpec
    from blockzoo.blocks import get_block as get_block
    from blockzoo.blocks import list_available_blocks as list_available_blocks
    from blockzoo.blocks import register_block as register_block
    from blockzoo.blocks import to_deploy as to_deploy
    from blockzoo.blocks import to_folded as to_folded
    from blockzoo.core.errors import BlockError as BlockError
    from blockzoo.core.errors import BlockZooError as BlockZooError
    from blockzoo.core.errors import BundleError as BundleError
    from blockzoo.core.errors import DataError as DataError
    from blockzoo.core.errors import DeviceError as DeviceError
    from blockzoo.core.errors import DeviceMemoryError as DeviceMemoryError
    from blockzoo.core.errors import DivergenceError as DivergenceError
    from blockzoo.core.errors import InputError as InputError
    from blockzoo.core.errors import LateWeightsError as LateWeightsError
    from blockzoo.core.errors import ModelError as ModelError
    from blockzoo.core.errors import ParityError as ParityError
    from blockzoo.core.errors import ResultsError as ResultsError
    from blockzoo.core.errors import SchemaError as SchemaError
    from blockzoo.core.errors import UnknownNameError as UnknownNameError
    from blockzoo.core.position import Position as Position
    from blockzoo.core.run_way import RunWay as RunWay
    from blockzoo.data import ImageDataset as ImageDataset
    from blockzoo.data import dataset_from_arrays as dataset_from_arrays
    from blockzoo.data import load_dataset as load_dataset
    from blockzoo.experiments.benchmark import BenchmarkOptions as BenchmarkOptions
    from blockzoo.experiments.benchmark import benchmark_blocks as benchmark_blocks
    from blockzoo.experiments.compare import compare as compare
    from blockzoo.experiments.profile import CostSettings as CostSettings
    from blockzoo.experiments.profile import profile_block as profile_block
    from blockzoo.experiments.profile import profile_blocks as profile_blocks
    from blockzoo.experiments.protocol import Protocol as Protocol
    from blockzoo.experiments.protocol import get_protocol as get_protocol
    from blockzoo.experiments.sweep.plan import SweepRequest as SweepRequest
    from blockzoo.experiments.sweep.run import SweepListener as SweepListener
    from blockzoo.experiments.sweep.run import SweepResult as SweepResult
    from blockzoo.experiments.sweep.run import run_sweep as run_sweep
    from blockzoo.experiments.train import train_block as train_block
    from blockzoo.experiments.tuning.tries import Try as Try
    from blockzoo.experiments.tuning.tune import Tuning as Tuning
    from blockzoo.experiments.tuning.tune import train_tuned as train_tuned
    from blockzoo.experiments.tuning.tune import tune_block as tune_block
    from blockzoo.measure.costs.complexity import count_macs as count_macs
    from blockzoo.measure.costs.complexity import count_parameters as count_parameters
    from blockzoo.measure.timing.api import benchmark_modules as benchmark_modules
    from blockzoo.measure.timing.latency import LatencyResult as LatencyResult
    from blockzoo.measure.timing.settings import LatencySettings as LatencySettings
    from blockzoo.results.answers import answers_of as answers_of
    from blockzoo.results.budgets import Match as Match
    from blockzoo.results.records import CostRecord as CostRecord
    from blockzoo.results.records import Environment as Environment
    from blockzoo.results.records import EpochMetrics as EpochMetrics
    from blockzoo.results.records import FormCost as FormCost
    from blockzoo.results.records import LatencyRecord as LatencyRecord
    from blockzoo.results.records import MemoryUse as MemoryUse
    from blockzoo.results.records import PartCost as PartCost
    from blockzoo.results.records import Record as Record
    from blockzoo.results.records import RobustnessMetrics as RobustnessMetrics
    from blockzoo.results.records import ScaffoldSettings as ScaffoldSettings
    from blockzoo.results.records import TrainingRecord as TrainingRecord
    from blockzoo.results.store.database import Store as Store
    from blockzoo.results.table.frame import load_results as load_results
    from blockzoo.results.table.frame import results_frame as results_frame
    from blockzoo.results.table.latencies import latencies_frame as latencies_frame
    from blockzoo.results.table.latencies import load_latencies as load_latencies
    from blockzoo.scaffold.net import ScaffoldConfig as ScaffoldConfig
    from blockzoo.scaffold.net import ScaffoldNet as ScaffoldNet
    from blockzoo.stats.accuracy import AccuracyJudgement as AccuracyJudgement
    from blockzoo.stats.paired_seeds import PairedDifference as PairedDifference
    from blockzoo.stats.spending import SpendingPlan as SpendingPlan
    from blockzoo.training.loggers import LogTo as LogTo
    from blockzoo.training.recipe import Recipe as Recipe
    from blockzoo.training.recipe import get_recipe as get_recipe
    from blockzoo.training.run_options import RunOptions as RunOptions

__version__ = VERSION

_HOME = {
    "AccuracyJudgement": "stats.accuracy",
    "BenchmarkOptions": "experiments.benchmark",
    "BlockError": "core.errors",
    "BlockSpec": "blocks",
    "BlockZooError": "core.errors",
    "BundleError": "core.errors",
    "Comparison": "analysis.compare",
    "CostRecord": "results.records",
    "CostSettings": "experiments.profile",
    "DataError": "core.errors",
    "DeviceError": "core.errors",
    "DeviceMemoryError": "core.errors",
    "DivergenceError": "core.errors",
    "Environment": "results.records",
    "EpochMetrics": "results.records",
    "FormCost": "results.records",
    "ImageDataset": "data",
    "InputError": "core.errors",
    "LateWeightsError": "core.errors",
    "LatencyRatio": "analysis.compare",
    "LatencyRecord": "results.records",
    "LatencyResult": "measure.timing.latency",
    "LatencySettings": "measure.timing.settings",
    "LogTo": "training.loggers",
    "Match": "results.budgets",
    "MemoryUse": "results.records",
    "ModelError": "core.errors",
    "PairedDifference": "stats.paired_seeds",
    "ParityError": "core.errors",
    "PartCost": "results.records",
    "Position": "core.position",
    "Protocol": "experiments.protocol",
    "Recipe": "training.recipe",
    "Record": "results.records",
    "ResultsError": "core.errors",
    "RobustnessMetrics": "results.records",
    "RunOptions": "training.run_options",
    "RunWay": "core.run_way",
    "ScaffoldConfig": "scaffold.net",
    "ScaffoldNet": "scaffold.net",
    "ScaffoldSettings": "results.records",
    "SchemaError": "core.errors",
    "SpendingPlan": "stats.spending",
    "Store": "results.store.database",
    "SweepListener": "experiments.sweep.run",
    "SweepRequest": "experiments.sweep.plan",
    "SweepResult": "experiments.sweep.run",
    "TrainingRecord": "results.records",
    "Try": "experiments.tuning.tries",
    "Tuning": "experiments.tuning.tune",
    "UnknownNameError": "core.errors",
    "WayRatio": "analysis.ways",
    "answers_of": "results.answers",
    "benchmark_blocks": "experiments.benchmark",
    "benchmark_modules": "measure.timing.api",
    "compare": "experiments.compare",
    "count_macs": "measure.costs.complexity",
    "count_parameters": "measure.costs.complexity",
    "dataset_from_arrays": "data",
    "get_block": "blocks",
    "get_protocol": "experiments.protocol",
    "get_recipe": "training.recipe",
    "latencies_frame": "results.table.latencies",
    "list_available_blocks": "blocks",
    "load_dataset": "data",
    "load_latencies": "results.table.latencies",
    "load_results": "results.table.frame",
    "profile_block": "experiments.profile",
    "profile_blocks": "experiments.profile",
    "register_block": "blocks",
    "results_frame": "results.table.frame",
    "run_sweep": "experiments.sweep.run",
    "to_deploy": "blocks",
    "to_folded": "blocks",
    "train_block": "experiments.train",
    "train_tuned": "experiments.tuning.tune",
    "tune_block": "experiments.tuning.tune",
    "way_ratios": "analysis.ways",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'blockzoo' has no attribute {name!r}")
    return getattr(import_module(f"blockzoo.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
