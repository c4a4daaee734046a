"""`blockzoo benchmark`: how fast blocks run, side by side."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from blockzoo.cli import options
from blockzoo.cli.app import examples
from blockzoo.cli.timing import fail_if_any_failed, latency_settings, scaffold_of, timed


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
    threads: options.Threads = "1",
    backends: Annotated[
        list[str] | None, typer.Option("--backend", help="How to run them; repeatable.")
    ] = None,
    precisions: Annotated[
        list[str] | None,
        typer.Option("--precision", help="fp32, bf16, fp16 or int8; repeatable."),
    ] = None,
    caches: Annotated[
        list[str] | None,
        typer.Option(
            "--cache",
            help="What a call finds in the caches: hot (its own data) or cold; repeatable.",
        ),
    ] = None,
    channels_last: Annotated[
        bool, typer.Option("--channels-last/--contiguous", help="Memory format.")
    ] = False,
    processes: Annotated[
        int | None, typer.Option("--processes", help="Fresh processes; 0 is this one. (default: 3)")
    ] = None,
    rigorous: Annotated[
        bool, typer.Option("--rigorous", help="Twenty processes, longer budget.")
    ] = False,
    quick: Annotated[bool, typer.Option("--quick", help="One process.")] = False,
    baseline: Annotated[
        str | None, typer.Option("--baseline", help="Block of the ratios. (default: the first)")
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(
            "--budget",
            help="Seconds of timing per block and position at the most. "
            "(default: 6; 10 with --rigorous)",
        ),
    ] = None,
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
    from blockzoo.blocks import get_block
    from blockzoo.cli.choices import (
        chosen_blocks,
        chosen_positions,
        chosen_shape,
        chosen_threads,
        keep,
    )
    from blockzoo.cli.screen.consoles import warn_of_neighbours

    shape, batch = chosen_shape(input_shape, batch_size, 1)
    config = scaffold_of(protocol, context, depth, width, classes, shape)
    settings = latency_settings(device, batch, warmup_runs, benchmark_runs)
    count, budget_s = _effort(processes, budget, rigorous, quick, settings.processes)
    settings = replace(
        settings,
        way=replace(settings.way, threads=chosen_threads(threads), channels_last=channels_last),
        budget_s=budget_s,
        processes=count,
    )
    ways = settings.way.crossed(
        backends=backends or (), precisions=precisions or (), caches=caches or ()
    )
    names, where = chosen_blocks(blocks, everything), chosen_positions(positions)
    if baseline is not None:
        get_block(baseline)
    warn_of_neighbours(device)  # after all that may be refused, so that bad input is one line
    records = timed(
        names,
        where,
        config,
        settings,
        baseline,
        ways=ways,
        energy=energy,
    )
    keep(records, results, output)
    fail_if_any_failed(records)


def _effort(
    processes: int | None, budget_s: float | None, rigorous: bool, quick: bool, usual: int
) -> tuple[int, float]:
    """Return processes and seconds per cell; `InputError` when several options set the former."""
    from blockzoo.core.errors import InputError

    if (processes is not None) + rigorous + quick > 1:
        raise InputError("--processes, --rigorous and --quick exclude each other; give one")
    if processes is None:
        processes = 20 if rigorous else 1 if quick else usual
    if budget_s is None:
        budget_s = 10.0 if rigorous else 6.0
    return processes, budget_s
