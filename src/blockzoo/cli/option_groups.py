"""Groups of options that commands share, and how a command takes a group as one parameter.

A command decorated with `spread` has one parameter that is an instance of a class below; typer is
shown the fields of that class in its place. An option they share is thus listed once, and what the
command does gets one value instead of a row of arguments. A new option of training is a field here
and one of the same name in `RunOptions` or `Recipe`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection
from dataclasses import dataclass, fields, is_dataclass
from typing import Annotated, Any, get_type_hints

import typer

from blockzoo.cli import shared_options
from blockzoo.cli.help_groups import group_of, in_group, place_of
from blockzoo.core import ranges


@dataclass(frozen=True, kw_only=True)
class BlockOptions:
    """Which blocks, at which positions, by which protocol."""

    blocks: shared_options.Blocks = None
    everything: shared_options.All = False
    positions: Annotated[
        list[str] | None,
        typer.Option(
            "--position",
            "-p",
            metavar=shared_options.POSITIONS,
            help=f"{shared_options.WHERE}; repeatable. (default: all; train: mid)",
        ),
    ] = None
    protocol: shared_options.ProtocolName = "v1"


@dataclass(frozen=True, kw_only=True)
class ApartOptions:
    """What blocks of users may take of the processes that each of them has of its own."""

    in_process: Annotated[
        bool,
        typer.Option("--in-process", help="Run your own blocks in this process, for debuggers."),
    ] = False
    time_limits: Annotated[
        list[str] | None,
        typer.Option(
            "--time-limit",
            metavar="[KIND=]SECONDS",
            help="What a trial of your own block may take; KIND is identity, cost, latency or "
            "training; repeatable. (default: 60, 600, 600, none)",
        ),
    ] = None
    memory_limit_gib: Annotated[
        float | None,
        typer.Option(
            "--memory-limit",
            metavar="GIB",
            help="What its process may take. (default: nine tenths of the machine's)",
        ),
        ranges.GIBIBYTES,
    ] = None


@dataclass(frozen=True, kw_only=True)
class TimingOptions(ApartOptions, BlockOptions):
    """How blocks are timed that stand in the protocol's own scaffold."""

    batch_size: shared_options.BatchSize = None
    device: shared_options.Device = "auto"
    threads: shared_options.Threads = "1"


@dataclass(frozen=True, kw_only=True)
class ScaffoldOptions(ApartOptions, BlockOptions):
    """The scaffold around the blocks; what is None is as in the protocol."""

    context: shared_options.Context = None
    depth: shared_options.Depth = None
    width: shared_options.Width = None
    classes: Annotated[
        int, typer.Option("--classes", "--out-dim", help="Size of the output."), ranges.CLASSES
    ] = 10
    input_shape: Annotated[
        tuple[int, int, int, int] | None,
        typer.Option("--input-shape", metavar="B C H W", help="Batch, channels, height, width."),
    ] = None


@dataclass(frozen=True, kw_only=True)
class ProfileOptions(ScaffoldOptions):
    """Whose training step `profile` counts, and what it also runs."""

    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size", help="Batch of the training step. (default: the recipe's, or 64)"
        ),
        ranges.BATCH,
    ] = None
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            help="quick, quick2, quick3, lite, classic or v1: whose training step. "
            "(default: SGD with momentum)",
        ),
    ] = None
    measure_memory: Annotated[
        bool,
        typer.Option(
            "--measure-memory",
            help="Also compute both, on --device or the CPU, and read the processes' peaks.",
        ),
    ] = False
    device: Annotated[
        str | None, typer.Option("--device", help="Also time the blocks on cpu, cuda or cuda:N.")
    ] = None
    warmup_runs: shared_options.WarmupRuns = None
    benchmark_runs: shared_options.BenchmarkRuns = None


@dataclass(frozen=True, kw_only=True)
class BenchmarkOptions(ScaffoldOptions):
    """How `benchmark` runs the networks, and how much time it takes for them."""

    batch_size: shared_options.BatchSize = None
    device: shared_options.Device = "auto"
    threads: shared_options.Threads = "1"
    backends: shared_options.Backends = None
    precisions: shared_options.Precisions = None
    caches: Annotated[
        list[str] | None,
        typer.Option(
            "--cache",
            help="What a call finds in the caches: hot (its own data) or cold; repeatable.",
        ),
    ] = None
    forms: Annotated[
        list[str] | None,
        typer.Option(
            "--form",
            help="folded (batch norms in the layers before them) or deploy (norms as they are); "
            "repeatable. (default: folded)",
        ),
    ] = None
    channels_last: Annotated[
        bool, typer.Option("--channels-last/--contiguous", help="Memory format.")
    ] = False
    processes: Annotated[
        int | None,
        typer.Option(
            "--processes",
            help="Fresh processes; 0 is this one, and fewer than 3 give no verdict. (default: 3)",
        ),
        ranges.PROCESSES,
    ] = None
    rigorous: Annotated[
        bool, typer.Option("--rigorous", help="Twenty processes, longer budget.")
    ] = False
    quick: Annotated[bool, typer.Option("--quick", help="One process, no verdict.")] = False
    baseline: Annotated[
        str | None, typer.Option("--baseline", help="Block of the ratios. (default: the first)")
    ] = None
    budget_s: Annotated[
        float | None,
        typer.Option(
            "--budget",
            help="Seconds of timing per block and position at the most. "
            "(default: 6; 10 with --rigorous)",
        ),
        ranges.SECONDS,
    ] = None
    warmup_runs: shared_options.WarmupRuns = None
    benchmark_runs: shared_options.BenchmarkRuns = None
    memory: Annotated[
        bool,
        typer.Option(
            "--memory", help="Also measure the peak memory of running each network, on a CPU."
        ),
    ] = False
    energy: Annotated[
        bool,
        typer.Option(
            "--energy",
            help="Also measure joules per image; 39 s per block, position and way to run it.",
        ),
    ] = False


@dataclass(frozen=True, kw_only=True)
class ScalingOptions(ApartOptions):
    """What `scaling` varies: one of batch sizes, resolutions and threads, or the best batch."""

    blocks: shared_options.Blocks = None
    everything: shared_options.All = False
    # One, not several: ranks are compared along the axis, with all else held.
    position: Annotated[
        str,
        typer.Option(
            "--position", "-p", metavar=shared_options.POSITIONS, help=f"{shared_options.WHERE}."
        ),
    ] = "mid"
    batch_sizes: Annotated[
        str | None, typer.Option("--batch-sizes", metavar="N,N...", help="Images per batch.")
    ] = None
    resolutions: Annotated[
        str | None,
        typer.Option("--resolutions", metavar="N,N...", help="Height and width of the input."),
    ] = None
    threads: Annotated[
        str | None, typer.Option("--threads", metavar="N,N...", help="CPU threads.")
    ] = None
    throughput: Annotated[
        bool, typer.Option("--throughput", help="Search the batch of most images per second.")
    ] = False
    largest_batch: Annotated[
        int,
        typer.Option("--largest-batch", help="Where that search ends at the latest."),
        ranges.BATCH,
    ] = 1024
    protocol: shared_options.ProtocolName = "v1"
    device: shared_options.Device = "auto"


@dataclass(frozen=True, kw_only=True)
class TrainingOptions(ApartOptions, BlockOptions):
    """What to train, on what, how and where to; what is None is as in the protocol."""

    dataset: shared_options.DatasetName = None
    data_dir: shared_options.DataDir = None
    skip_bad_images: Annotated[
        bool,
        typer.Option(
            "--skip-bad-images",
            help="Leave out images of a folder that cannot be read, and say so.",
        ),
    ] = False
    mirrored: Annotated[
        bool | None,
        typer.Option(
            "--flip/--no-flip",
            help="Flip training images left to right at random. "
            "(default: only data sets known to allow it)",
        ),
    ] = None
    robustness: Annotated[
        bool,
        typer.Option(
            "--robustness",
            help="Also test on corrupted, shifted and resized images after training.",
        ),
    ] = False
    epochs: Annotated[
        int | None, typer.Option("--epochs", help="Passes over the training set."), ranges.EPOCHS
    ] = None
    batch_size: shared_options.BatchSize = None
    learning_rate: Annotated[
        float | None,
        typer.Option("--lr", "--learning-rate", help="Peak learning rate."),
        ranges.LEARNING_RATE,
    ] = None
    precision: Annotated[
        str | None, typer.Option("--precision", help="auto, fp32 or bf16 (autocast).")
    ] = None
    channels_last: Annotated[
        bool | None,
        typer.Option(
            "--channels-last/--contiguous", help="Memory format. (default: as the device profits)"
        ),
    ] = None
    context: shared_options.Context = None
    depth: shared_options.Depth = None
    width: shared_options.Width = None
    stem: Annotated[
        str | None,
        typer.Option(
            "--stem",
            metavar="NAME",
            help="auto, small, half or large.",
        ),
    ] = None
    device: shared_options.Device = "auto"
    resident: Annotated[
        str,
        typer.Option(
            "--resident",
            metavar="auto|yes|no",
            help="Whether all images lie on the training device; auto: where they fit well.",
        ),
    ] = "auto"
    threads: Annotated[
        str | None,
        typer.Option(
            "--threads",
            metavar="N|all",
            help="CPU threads that trainings share; recorded, and no part of what a training is. "
            "(default: as torch says, within a container's quota)",
        ),
    ] = None
    compiled: Annotated[
        bool,
        typer.Option(
            "--compile/--no-compile",
            help="Train by torch.compile, once per network; `--compile cudagraphs` is short for "
            "--cuda-graphs.",
        ),
    ] = False
    cuda_graphs: Annotated[
        bool,
        typer.Option(
            "--cuda-graphs",
            help="Train by CUDA graphs of the network's own kernels, without a compiler.",
        ),
    ] = False
    resume: Annotated[
        bool,
        typer.Option("--resume/--no-resume", help="Go on with a training that was stopped."),
    ] = True
    on_oom: Annotated[
        str,
        typer.Option("--on-oom", help="Batch too large for memory: split it, or fail."),
    ] = "split"
    save_weights: Annotated[
        bool, typer.Option("--save-weights", help="Keep the final weights in the results folder.")
    ] = False
    results: Annotated[
        str,
        typer.Option(
            "--results", help="Folder of the store and of results.csv, or a database URL."
        ),
    ] = "results"
    log: Annotated[
        list[str] | None,
        typer.Option(
            "--log",
            metavar="NAME",
            help="Also log each epoch to csv, tensorboard, mlflow or wandb, in the results "
            "folder's `logs`; may be repeated.",
        ),
    ] = None
    experiment_name: Annotated[
        str, typer.Option("--experiment-name", help="Kept with the record.")
    ] = ""
    notes: Annotated[str, typer.Option("--notes", help="Kept with the record.")] = ""


def as_arguments(chosen: object, *, without: Collection[str] = ()) -> list[str]:
    """Return the arguments that say what differs from the defaults in a group of options.

    `without`: fields that are left out, as positional arguments must be.

    >>> chosen = TrainingOptions(blocks=["A"], mirrored=False, device="cpu", log=["csv", "wandb"])
    >>> as_arguments(chosen, without={"blocks"})
    ['--no-flip', '--device', 'cpu', '--log', 'csv', '--log', 'wandb']
    """
    hints = get_type_hints(type(chosen), include_extras=True)
    found: list[str] = []
    for field in fields(chosen):  # type: ignore[arg-type]
        value = getattr(chosen, field.name)
        if value == field.default or field.name in without:
            continue
        # Typer takes the first argument of an option for its default, which here stands elsewhere.
        (option,) = (
            str(each.default)
            for each in hints[field.name].__metadata__
            if hasattr(each, "param_decls")
        )
        if isinstance(value, bool):
            yes, _, no = option.partition("/")
            found.append(yes if value else no)
            continue
        for one in value if isinstance(value, list) else [value]:
            found += [option, str(one)]
    return found


def spread(command: Callable[..., None]) -> Callable[..., None]:
    """Return `command` with the fields of its group of options in the place of that parameter.

    >>> @spread
    ... def show(chosen: TimingOptions, output: shared_options.Output = None) -> None:
    ...     print(chosen.device, output)
    >>> list(inspect.signature(show).parameters)[-3:]
    ['device', 'threads', 'output']
    """
    # The annotations of a module with the future import are text; typer's options lie in the
    # `Annotated` that they come to.
    hints = get_type_hints(command, include_extras=True)
    parameters = inspect.signature(command).parameters
    # Exactly one: two groups could each have a field of one name.
    (name,) = (name for name in parameters if is_dataclass(hints[name]))
    group: Callable[..., Any] = hints[name]
    # Every field of a group has a default, for typer takes what has none for required.
    shared = {field.name: field.default for field in fields(hints[name])}
    own = {other: each.default for other, each in parameters.items() if other != name}
    annotations = {**get_type_hints(group, include_extras=True), **hints}
    defaults = {**shared, **own}
    # By group, and within a group what is shared first, so that help lists it alike everywhere.
    names = sorted(defaults, key=lambda each: place_of(each, defaults))
    shown = {each: in_group(annotations[each], group_of(each, defaults)) for each in names}

    @functools.wraps(command)
    def with_fields(**values: Any) -> None:
        chosen = group(**{field: values.pop(field) for field in shared})
        command(**{name: chosen}, **values)

    # Typer reads both: the signature for names and defaults, the annotations for the options.
    with_fields.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(
                each, inspect.Parameter.KEYWORD_ONLY, default=defaults[each], annotation=annotation
            )
            for each, annotation in shown.items()
        ]
    )
    with_fields.__annotations__ = shown
    return with_fields
