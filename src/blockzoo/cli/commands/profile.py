"""`blockzoo profile`: what blocks cost, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from blockzoo.cli import options
from blockzoo.cli.app import examples
from blockzoo.cli.timing import fail_if_any_failed, latency_settings, scaffold_of, timed

if TYPE_CHECKING:
    from blockzoo.results.records import Record


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
            "--measure-memory",
            help="Also compute both, on --device or the CPU, and read the processes' peaks.",
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
    from blockzoo.cli.choices import chosen_blocks, chosen_positions, chosen_shape, keep
    from blockzoo.cli.screen.consoles import output_console, progress
    from blockzoo.experiments.profile import CostSettings, profile_blocks
    from blockzoo.measure.machine.devices import available_cores
    from blockzoo.report.tables import measured

    shape, batch = chosen_shape(input_shape, batch_size, 64)
    config = scaffold_of(protocol, context, depth, width, classes, shape)
    names, where = chosen_blocks(blocks, everything), chosen_positions(positions)
    with progress("profile") as update:
        costs = profile_blocks(
            names,
            where,
            config=config,
            settings=CostSettings(
                training_batch_size=batch,
                measured_on=(device or "cpu") if measure_memory else None,
            ),
            on_error="record",
            progress=lambda done, total, text: update(done / total, text),
            processes=1 if measure_memory else available_cores(),
        )
    output_console().print(measured.cost_table(costs))
    if len(costs) == 1 and costs[0].status == "ok":
        output_console().print(measured.parts_table(costs[0]))
        output_console().print(measured.memory_table(costs[0]))
    if measure_memory:
        output_console().print(measured.measured_memory_table(costs))
    records: list[Record] = [*costs]
    if device is not None or warmup_runs is not None or benchmark_runs is not None:
        settings = latency_settings(device or "auto", 1, warmup_runs, benchmark_runs)
        records += timed(names, where, config, settings, None)
    keep(records, results, output)
    fail_if_any_failed(records)
