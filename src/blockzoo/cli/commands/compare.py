"""`blockzoo compare`: one block against others, down to a sentence."""

from __future__ import annotations

from typing import Annotated

import typer

from blockzoo.cli import shared_options
from blockzoo.cli.app import examples
from blockzoo.cli.option_groups import TrainingOptions, spread
from blockzoo.core import ranges


@examples(
    "blockzoo compare my_block.py:MyBlock --protocol quick --dataset digits --seeds 5",
    "blockzoo compare RepMixer ResNetBasicBlock ConvNeXt -p mid --until-decided",
    "blockzoo compare MobileOneBlock RepVGG --seeds 10 --dry-run",
)
@spread
def compare(
    chosen: TrainingOptions,
    seeds: Annotated[
        int | None,
        typer.Option("--seeds", help="How many seeds. (default: the protocol's)"),
        ranges.SEEDS,
    ] = None,
    until_decided: Annotated[
        bool,
        typer.Option(
            "--until-decided", help="Add seeds until every pair is decided: at 5, 10 and 20."
        ),
    ] = False,
    time_budget_h: Annotated[
        float | None,
        typer.Option(
            "--time-budget", metavar="HOURS", help="As many seeds as about that time allows."
        ),
        ranges.SECONDS,
    ] = None,
    margin: Annotated[
        float,
        typer.Option("--margin", help="Points of accuracy within which blocks count as equal."),
    ] = 0.3,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would run, and about how long.")
    ] = False,
    latency_budget: Annotated[
        float | None,
        typer.Option(
            "--latency-budget",
            help="Seconds of timing per block and position at the most. (default: the protocol's)",
        ),
        ranges.SECONDS,
    ] = None,
    plot: shared_options.Plot = None,
    side_by_side: Annotated[
        int,
        typer.Option("--side-by-side", help="Trainings at once, each in its own process."),
        ranges.AT_ONCE,
    ] = 1,
) -> None:
    """Compare the first block with the others, or with the protocol's context block.

    What the results folder lacks is run first: costs, latencies, and a training per seed. Then
    comes a verdict for each pair and position, and a sentence for each.
    """
    from blockzoo.cli.actions import comparing

    comparing.compare(
        chosen,
        seeds=seeds,
        until_decided=until_decided,
        time_budget_h=time_budget_h,
        margin=margin / 100,
        dry_run=dry_run,
        latency_budget_s=latency_budget,
        plot=plot,
        side_by_side=side_by_side,
    )
