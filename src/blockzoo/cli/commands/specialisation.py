"""`blockzoo specialisation`: where in a network blocks belong."""

from __future__ import annotations

from typing import Annotated

import typer

from blockzoo.cli import shared_options
from blockzoo.cli.app import examples
from blockzoo.core import ranges


@examples("blockzoo specialisation", "blockzoo specialisation results --plot positions.png")
def specialisation(
    source: shared_options.Whole = "results",
    margin_points: Annotated[
        float,
        typer.Option("--margin", help="Points of accuracy within which positions count as equal."),
        ranges.POINTS,
    ] = 0.3,
    plot: shared_options.Plot = None,
) -> None:
    """Show what each block gains at each position, and whether it belongs early, mid or late.

    Gains are over the context block, at the same position. Positions are compared within block and
    seed; a block is a specialist where it is surely better than at both others, a generalist where
    all three are equal within the margin.
    """
    from blockzoo.cli.actions import deciding

    deciding.specialisation(source, margin=margin_points / 100, plot=plot)
