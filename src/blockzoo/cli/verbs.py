"""`blockzoo profile`, `benchmark` and `train`: one verb, some blocks, records as a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from blockzoo.cli import options
from blockzoo.cli.app import examples

if TYPE_CHECKING:
    from blockzoo.measure.latency import LatencySettings
    from blockzoo.position import Position
    from blockzoo.results.records import LatencyRecord, Record
    from blockzoo.scaffold import ScaffoldConfig


@examples(
    "blockzoo profile MobileOneBlock --position mid",
    "blockzoo profile --all",
    "blockzoo profile classic/RepMixer --protocol classic --output costs.csv",
    "blockzoo profile RepMixer --width 32 --input-shape 1 3 64 64 --batch-size 128",
    "blockzoo profile ResNetBasicBlock RepMixer --position mid --measure-memory",
)
def profile(
    blocks: options.Blocks = None,
    everything: options.All = False,
    positions: options.Positions = None,
    protocol: options.ProtocolName = "v1",
    context: options.Context = None,
    depth: options.Depth = None,
    width: options.Width = None,
    classes: options.Classes = 10,
    input_shape: options.InputShape = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", help="Batch of the training step. (default: 64)")
    ] = None,
    measure_memory: Annotated[
        bool,
        typer.Option(
            "--measure-memory", help="Also compute both on the CPU, and read the processes' peaks."
        ),
    ] = False,
    device: Annotated[
        str | None, typer.Option("--device", help="Also time the blocks on cpu, cuda or cuda:N.")
    ] = None,
    warmup_runs: options.WarmupRuns = None,
    benchmark_runs: options.BenchmarkRuns = None,
    results: options.SaveTo = None,
    output: options.Output = None,
) -> None:
    """Count parameters, MACs and memory of blocks in the scaffold.

    Counts are exact, of the training form and of the deploy form, of the whole network and of the
    stage under test alone; FLOPs are 2 x MACs. Memory is the peak of inference at batch 1 and of
    one training step. Nothing is computed, so any machine can profile any block, unless
    `--measure-memory` asks for the peaks of real processes, to stand beside the counted ones.
    """
    from blockzoo.cli import tables
    from blockzoo.cli.choices import chosen_blocks, chosen_positions, chosen_shape, keep
    from blockzoo.cli.screen import output_console, progress
    from blockzoo.measure.environment import available_cores
    from blockzoo.profile import profile_blocks

    shape, batch = chosen_shape(input_shape, batch_size, 64)
    config = _scaffold(protocol, context, depth, width, classes, shape)
    names, where = chosen_blocks(blocks, everything), chosen_positions(positions)
    with progress("profile") as update:
        costs = profile_blocks(
            names,
            where,
            config=config,
            training_batch_size=batch,
            measure_memory=measure_memory,
            on_error="record",
            progress=lambda done, total, text: update(done / total, text),
            processes=1 if measure_memory else available_cores(),
        )
    output_console().print(tables.cost_table(costs))
    if len(costs) == 1 and costs[0].status == "ok":
        output_console().print(tables.parts_table(costs[0]))
        output_console().print(tables.memory_table(costs[0]))
    if measure_memory:
        output_console().print(tables.measured_memory_table(costs))
    records: list[Record] = [*costs]
    if device is not None or warmup_runs is not None or benchmark_runs is not None:
        settings = _latency_settings(device or "auto", 1, warmup_runs, benchmark_runs)
        records += _timed(names, where, config, settings, None)
    keep(records, results, output)
    _fail_if_any_failed(records)


@examples(
    "blockzoo benchmark ResNetBasicBlock MobileOneBlock --position mid",
    "blockzoo benchmark --all --batch-size 64 --threads 2 --results results",
    "blockzoo benchmark RepMixer --baseline ResNetBasicBlock --device cuda",
)
def benchmark(
    blocks: options.Blocks = None,
    everything: options.All = False,
    positions: options.Positions = None,
    protocol: options.ProtocolName = "v1",
    context: options.Context = None,
    depth: options.Depth = None,
    width: options.Width = None,
    classes: options.Classes = 10,
    input_shape: options.InputShape = None,
    batch_size: options.BatchSize = None,
    device: options.Device = "auto",
    threads: Annotated[int, typer.Option("--threads", help="CPU threads.")] = 1,
    backends: Annotated[
        list[str] | None, typer.Option("--backend", help="How to run them; repeatable.")
    ] = None,
    precisions: Annotated[
        list[str] | None,
        typer.Option("--precision", help="fp32, bf16, fp16 or int8; repeatable."),
    ] = None,
    channels_last: Annotated[
        bool, typer.Option("--channels-last/--contiguous", help="Memory format.")
    ] = False,
    processes: Annotated[
        int | None, typer.Option("--processes", help="Fresh processes. (default: 3)")
    ] = None,
    rigorous: Annotated[bool, typer.Option("--rigorous", help="Ten processes.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="One process.")] = False,
    baseline: Annotated[
        str | None, typer.Option("--baseline", help="Block of the ratios. (default: the first)")
    ] = None,
    budget: Annotated[
        float,
        typer.Option("--budget", help="Seconds of timing per block and position at the most."),
    ] = 6.0,
    warmup_runs: options.WarmupRuns = None,
    benchmark_runs: options.BenchmarkRuns = None,
    energy: Annotated[
        bool,
        typer.Option(
            "--energy", help="Also measure joules per image; 13 s per block and position."
        ),
    ] = False,
    results: options.SaveTo = None,
    output: options.Output = None,
) -> None:
    """Time blocks side by side in the scaffold, in deploy form.

    The blocks of one position are timed in interleaved random rounds until the interval of each
    median is within 1% of it; ratios to the baseline come from samples of the same round. A block
    whose deploy form does not equal its training form is not timed.
    """
    from blockzoo.cli.choices import chosen_blocks, chosen_positions, chosen_shape, keep
    from blockzoo.cli.screen import warn_of_neighbours

    shape, batch = chosen_shape(input_shape, batch_size, 1)
    config = _scaffold(protocol, context, depth, width, classes, shape)
    settings = _latency_settings(device, batch, warmup_runs, benchmark_runs)
    settings = replace(
        settings,
        threads=threads,
        budget_s=budget,
        channels_last=channels_last,
        processes=_processes(processes, rigorous, quick) or settings.processes,
    )
    names, where = chosen_blocks(blocks, everything), chosen_positions(positions)
    warn_of_neighbours(device)
    records = _timed(
        names, where, config, settings, baseline, backends or (), precisions or (), energy
    )
    keep(records, results, output)
    _fail_if_any_failed(records)


@examples(
    "blockzoo train MobileOneBlock --position mid --dataset digits --epochs 5",
    "blockzoo train RepMixer --position late --dataset cifar10 --seeds 3",
    "blockzoo train RepMixer --position late --dataset images.npz --protocol v1 --width 32",
)
def train(
    blocks: options.Blocks = None,
    everything: options.All = False,
    positions: options.Positions = None,
    protocol: options.ProtocolName = "v1",
    dataset: options.Dataset = None,
    data_dir: options.DataDir = None,
    skip_bad_images: options.SkipBadImages = False,
    robustness: options.Robustness = False,
    seeds: options.Seeds = 1,
    first_seed: Annotated[int, typer.Option("--seed", help="The first seed.")] = 0,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    learning_rate: options.LearningRate = None,
    precision: options.Precision = None,
    channels_last: options.ChannelsLast = None,
    context: options.Context = None,
    depth: options.Depth = None,
    width: options.Width = None,
    device: options.Device = "auto",
    results: options.ResultsDir = "results",
    output: options.Output = None,
    resume: options.Resume = True,
    on_oom: options.OnOom = "split",
    save_weights: options.SaveWeights = False,
    experiment_name: options.ExperimentName = "",
    notes: options.Notes = "",
) -> None:
    """Train blocks in the scaffold and read the test set once, at the end.

    The checkpoint is chosen on a validation split of the training set. For one seed all blocks see
    the same stem, context and head weights, the same batches and the same augmentation. Records go
    to the store in the results folder as each training ends.
    """
    from blockzoo.cli.choices import (
        chosen_blocks,
        chosen_on_oom,
        chosen_positions,
        csv_location,
        open_store,
    )
    from blockzoo.cli.screen import load_data, output_console
    from blockzoo.cli.tables import training_table
    from blockzoo.plan import SweepRequest
    from blockzoo.protocol import get_protocol
    from blockzoo.results.csv import write_results_csv
    from blockzoo.sweep import measure_cost, train_cell
    from blockzoo.train import remove_checkpoint

    chosen = get_protocol(protocol).changed(
        dataset=dataset,
        seeds=tuple(range(first_seed, first_seed + seeds)) if seeds > 0 else (),
        blocks=tuple(chosen_blocks(blocks, everything)),
        positions=chosen_positions(positions or ["mid"]),
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        precision=precision,
        channels_last=channels_last,
        context=context,
        depth=depth,
        width=width,
    )
    request = SweepRequest(
        protocol=chosen,
        data_dir=data_dir,
        skip_bad_images=skip_bad_images,
        robustness=robustness,
        device=device,
        experiment_name=experiment_name,
        notes=notes,
        checkpoints=csv_location(results).parent / "checkpoints",
        resume=resume,
        on_oom=chosen_on_oom(on_oom),
        save_weights=csv_location(results).parent / "weights" if save_weights else None,
    )
    load_data(request)
    records: list[Record] = []
    with open_store(results, create=True) as store:
        for seed, block, position in chosen.cells():
            trained = train_cell(request, block, position, seed, progress=True)
            records += [trained, *measure_cost(request, block, position)]
            store.put_all(records[-2:])
            remove_checkpoint(request.checkpoints, trained.trial_id)
            write_results_csv(store, csv_location(results))
    output_console().print(training_table(records))
    if output is not None:
        write_results_csv(records, output)


def _scaffold(
    protocol: str,
    context: str | None,
    depth: int | None,
    width: int | None,
    classes: int,
    input_shape: tuple[int, int, int],
) -> ScaffoldConfig:
    from blockzoo.protocol import get_protocol

    changed = get_protocol(protocol).changed(context=context, depth=depth, width=width)
    return changed.scaffold(classes=classes, input_shape=input_shape)


def _latency_settings(
    device: str, batch_size: int, warmup_runs: int | None, benchmark_runs: int | None
) -> LatencySettings:
    """Return the settings; runs that are asked for are run exactly, in one process."""
    from blockzoo.measure.latency import LatencySettings

    settings = LatencySettings(device=device, batch_size=batch_size)
    if warmup_runs is not None:
        settings = replace(settings, warmup_calls=warmup_runs)
    if benchmark_runs is not None:
        settings = replace(
            settings,
            min_rounds=benchmark_runs,
            rounds_max=benchmark_runs,
            budget_s=math.inf,
            processes=1,
        )
    return settings


def _processes(processes: int | None, rigorous: bool, quick: bool) -> int | None:
    """Return how many were asked for; raises `InputError` when more than one option says so."""
    from blockzoo.errors import InputError

    if (processes is not None) + rigorous + quick > 1:
        raise InputError("--processes, --rigorous and --quick exclude each other; give one")
    if processes is not None:
        return processes
    return 10 if rigorous else 1 if quick else None


def _timed(
    blocks: list[str],
    positions: Sequence[Position],
    config: ScaffoldConfig,
    settings: LatencySettings,
    baseline: str | None,
    backends: Sequence[str] = (),
    precisions: Sequence[str] = (),
    energy: bool = False,
) -> list[LatencyRecord]:
    """Measure, position by position as the sweep does, and print the table."""
    from blockzoo.benchmark import benchmark_blocks
    from blockzoo.cli.live import LiveTable, showing
    from blockzoo.cli.screen import message_console, output_console, report_unread_energy
    from blockzoo.cli.tables import latency_table

    table = LiveTable(processes=settings.processes, budget_s=settings.budget_s)
    with showing(table, message_console()) as listener:
        records = benchmark_blocks(
            blocks,
            positions,
            config=config,
            settings=settings,
            baseline=baseline,
            backends=backends,
            precisions=precisions,
            listener=listener,
            energy=energy,
        )
    output_console().print(latency_table(records))
    if energy:
        report_unread_energy(records)
    return records


def _fail_if_any_failed(records: Sequence[Record]) -> None:
    failed = [record for record in records if record.status == "failed"]
    if failed:
        raise typer.Exit(1)
