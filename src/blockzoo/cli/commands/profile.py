"""`blockzoo profile`: what blocks cost, as a table."""

from __future__ import annotations

from typing import Annotated

import typer

from blockzoo.cli import shared_options
from blockzoo.cli.app import examples
from blockzoo.cli.option_groups import ScaffoldOptions, spread
from blockzoo.core import ranges


@examples(
    "blockzoo profile MobileOneBlock --position mid",
    "blockzoo profile --all",
    "blockzoo profile classic/RepMixer --protocol classic --output costs.csv",
    "blockzoo profile RepMixer --width 32 --input-shape 1 3 64 64 --batch-size 128",
    "blockzoo profile ResNetBasicBlock RepMixer --position mid --measure-memory",
    "blockzoo profile RepMixer --position mid --recipe v1",
)
@spread
def profile(
    chosen: ScaffoldOptions,
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size", help="Batch of the training step. (default: the recipe's, or 64)"
        ),
        ranges.BATCH,
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            help="quick, classic or v1: whose training step. (default: SGD with momentum)",
        ),
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
    warmup_runs: shared_options.WarmupRuns = None,
    benchmark_runs: shared_options.BenchmarkRuns = None,
    results: shared_options.SaveTo = None,
    output: shared_options.Output = None,
) -> None:
    """Count parameters, MACs and memory of blocks in the scaffold.

    Counts are exact, of the training form and of the deploy form, of the whole network and of the
    stage under test alone; FLOPs are 2 x MACs. Memory is the peak of inference at batch 1 and of
    one training step: by SGD with momentum, or as `--recipe` trains. Nothing is computed, so any
    machine can profile any block, unless `--measure-memory` asks for the peaks of real processes,
    to stand beside the counted ones.
    """
    from blockzoo.cli.actions import timing

    timing.profile(
        chosen,
        batch_size=batch_size,
        recipe=recipe,
        measure_memory=measure_memory,
        device=device,
        warmup_runs=warmup_runs,
        benchmark_runs=benchmark_runs,
        results=results,
        output=output,
    )
