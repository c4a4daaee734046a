"""`blockzoo curves`: accuracy over epochs and over budgets."""

from __future__ import annotations

from typing import Annotated

import typer

from blockzoo.cli import shared_options
from blockzoo.cli.app import examples


@examples(
    "blockzoo curves --plot curves.png",
    "blockzoo curves --of train_loss -p mid",
    "blockzoo curves --over budget --plot budgets.svg",
)
def curves(
    source: shared_options.Whole = "results",
    over: Annotated[
        str, typer.Option("--over", help="epochs, or budget of `compare --match`.")
    ] = "epochs",
    of: Annotated[
        str,
        typer.Option(
            "--of", help="Over epochs: val_accuracy, val_loss, train_accuracy or train_loss."
        ),
    ] = "val_accuracy",
    position: shared_options.ShownPositions = None,
    plot: shared_options.Plot = None,
) -> None:
    """Show how blocks learn epoch by epoch, or what they make of half and of twice the budget.

    Values are means over seeds with their 95% intervals, drawn as bands.
    """
    from blockzoo.cli.actions import deciding

    deciding.curves(source, over=over, of=of, positions=position or [], plot=plot)
