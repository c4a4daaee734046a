"""Groups of options that commands share, and how a command takes a group as one parameter.

A command decorated with `spread` has one parameter that is an instance of a class below; typer is
shown the fields of that class in its place. An option they share is thus listed once, and what the
command does gets one value instead of a row of arguments.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, get_type_hints

from blockzoo.cli import options


@dataclass(frozen=True, kw_only=True)
class BlockOptions:
    """Which blocks, at which positions, by which protocol."""

    blocks: options.Blocks = None
    everything: options.All = False
    positions: options.Positions = None
    protocol: options.ProtocolName = "v1"


@dataclass(frozen=True, kw_only=True)
class TimingOptions(BlockOptions):
    """How blocks are timed that stand in the protocol's own scaffold."""

    batch_size: options.BatchSize = None
    device: options.Device = "auto"
    threads: options.Threads = "1"


@dataclass(frozen=True, kw_only=True)
class ScaffoldOptions(BlockOptions):
    """The scaffold around the blocks; what is None is as in the protocol."""

    context: options.Context = None
    depth: options.Depth = None
    width: options.Width = None
    classes: options.Classes = 10
    input_shape: options.InputShape = None


@dataclass(frozen=True, kw_only=True)
class BenchmarkOptions(ScaffoldOptions):
    """How `benchmark` runs the networks, and how much time it takes for them."""

    batch_size: options.BatchSize = None
    device: options.Device = "auto"
    threads: options.Threads = "1"
    backends: options.Backends = None
    precisions: options.Precisions = None
    caches: options.Caches = None
    channels_last: options.TimedChannelsLast = False
    processes: options.Processes = None
    rigorous: options.Rigorous = False
    quick: options.OneProcess = False
    baseline: options.Baseline = None
    budget_s: options.TimingBudget = None
    warmup_runs: options.WarmupRuns = None
    benchmark_runs: options.BenchmarkRuns = None
    energy: options.Energy = False


@dataclass(frozen=True, kw_only=True)
class ScalingOptions:
    """What `scaling` varies: one of batch sizes, resolutions and threads, or the best batch."""

    blocks: options.Blocks = None
    everything: options.All = False
    position: options.OnePosition = "mid"
    batch_sizes: options.BatchSizes = None
    resolutions: options.Resolutions = None
    threads: options.ThreadCounts = None
    throughput: options.Throughput = False
    largest_batch: options.LargestBatch = 1024
    protocol: options.ProtocolName = "v1"
    device: options.Device = "auto"


@dataclass(frozen=True, kw_only=True)
class TrainingOptions(BlockOptions):
    """What to train, on what, how and where to; what is None is as in the protocol."""

    dataset: options.Dataset = None
    data_dir: options.DataDir = None
    skip_bad_images: options.SkipBadImages = False
    robustness: options.Robustness = False
    epochs: options.Epochs = None
    batch_size: options.BatchSize = None
    learning_rate: options.LearningRate = None
    precision: options.Precision = None
    channels_last: options.ChannelsLast = None
    context: options.Context = None
    depth: options.Depth = None
    width: options.Width = None
    stem: options.Stem = None
    device: options.Device = "auto"
    resident: options.Resident = "auto"
    compiled: options.Compiled = False
    resume: options.Resume = True
    on_oom: options.OnOom = "split"
    save_weights: options.SaveWeights = False
    results: options.ResultsDir = "results"
    log: options.Log = None
    experiment_name: options.ExperimentName = ""
    notes: options.Notes = ""


def spread(command: Callable[..., None]) -> Callable[..., None]:
    """Return `command` with the fields of its group of options in the place of that parameter.

    >>> @spread
    ... def show(chosen: TimingOptions, output: options.Output = None) -> None:
    ...     print(chosen.device, output)
    >>> list(inspect.signature(show).parameters)[-3:]
    ['device', 'threads', 'output']
    """
    hints = get_type_hints(command, include_extras=True)
    parameters = inspect.signature(command).parameters
    (name,) = (name for name in parameters if is_dataclass(hints[name]))
    group: Callable[..., Any] = hints[name]
    shared = {field.name: field.default for field in fields(hints[name])}
    own = {other: each.default for other, each in parameters.items() if other != name}
    annotations = {**get_type_hints(group, include_extras=True), **hints}

    @functools.wraps(command)
    def with_fields(**values: Any) -> None:
        chosen = group(**{field: values.pop(field) for field in shared})
        command(**{name: chosen}, **values)

    # Typer reads both: the signature for names and defaults, the annotations for the options.
    with_fields.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(
                each, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotations[each]
            )
            for each, default in {**shared, **own}.items()
        ]
    )
    with_fields.__annotations__ = {each: annotations[each] for each in (*shared, *own)}
    return with_fields
