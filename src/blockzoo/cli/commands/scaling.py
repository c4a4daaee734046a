"""`blockzoo scaling`: how fast blocks are, and how they rank, in several regimes."""

from __future__ import annotations

from typing import Annotated

import typer

from blockzoo.cli import shared_options
from blockzoo.cli.app import examples
from blockzoo.cli.option_groups import ScalingOptions, spread
from blockzoo.core import ranges


@examples(
    "blockzoo scaling ResNetBasicBlock MobileOneBlock --batch-sizes 1,16,256 --plot scaling.png",
    "blockzoo scaling RepMixer MBConv --resolutions 32,64,128",
    "blockzoo scaling RepMixer --threads 1,2,4",
    "blockzoo scaling RepMixer MBConv --throughput --device cuda",
)
@spread
def scaling(
    chosen: ScalingOptions,
    budget: Annotated[
        float,
        typer.Option("--budget", help="Seconds of timing per block and value at the most."),
        ranges.SECONDS,
    ] = 10.0,
    processes: Annotated[
        int, typer.Option("--processes", help="Fresh processes per value."), ranges.PROCESSES
    ] = 3,
    plot: shared_options.Plot = None,
    results: shared_options.SaveTo = None,
    output: shared_options.Output = None,
) -> None:
    """Time blocks over batch sizes, resolutions or threads, and rank them at each value.

    A ranking at batch 1 need not hold at batch 256: the table ends with how far the first and the
    last value agree (Kendall's tau), which blocks change places, and which pairs do so beyond their
    intervals.
    """
    from blockzoo.cli.actions import studies

    studies.scaling(
        chosen, budget_s=budget, processes=processes, plot=plot, results=results, output=output
    )
