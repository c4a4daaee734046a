"""`blockzoo marginal`: what blocks add to the scaffold's latency."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from blockzoo.cli.app import examples
from blockzoo.cli.option_groups import TimingOptions, spread
from blockzoo.core import ranges


@examples(
    "blockzoo marginal ResNetBasicBlock MobileOneBlock --position mid",
    "blockzoo marginal RepMixer --additivity",
)
@spread
def marginal(
    chosen: TimingOptions,
    additivity: Annotated[
        bool,
        typer.Option("--additivity", help="Also: do the marginals add up to the whole network?"),
    ] = False,
    processes: Annotated[
        int, typer.Option("--processes", help="Fresh processes."), ranges.PROCESSES
    ] = 3,
    budget: Annotated[
        float,
        typer.Option("--budget", help="Seconds of timing per network at the most."),
        ranges.SECONDS,
    ] = 6.0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE.csv", help="Also write a file.")
    ] = None,
) -> None:
    """Time what each block adds: the scaffold with it less the scaffold with an identity stage.

    Both are timed in the same rounds, so that the difference has an interval of its own.
    """
    from blockzoo.cli.actions import studies

    studies.marginal(
        chosen, processes=processes, budget_s=budget, additivity=additivity, output=output
    )
