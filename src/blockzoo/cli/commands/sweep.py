"""`blockzoo sweep`: the main job."""

from __future__ import annotations

from typing import Annotated

import typer

from blockzoo.cli.app import examples
from blockzoo.cli.option_groups import spread
from blockzoo.cli.sweep_options import SweepOptions


@examples(
    "blockzoo sweep --quick",
    "blockzoo sweep --protocol v1 --dataset cifar100 --seeds 5",
    "blockzoo sweep RepMixer MBConvLNBlock -p mid --dataset images.npz --width 32 --epochs 20",
    "blockzoo sweep sweep.toml --dry-run",
)
@spread
def sweep(chosen: SweepOptions) -> None:
    """Measure blocks at all positions over seeds: cost, latency, training; then table and plots.

    What the store in the results folder already holds is not run again. A trial that fails is
    recorded with its reason and the sweep goes on. Stop it at any time and run it again.
    """
    from blockzoo.cli.actions import sweeping

    sweeping.sweep(chosen)


@examples("blockzoo sweep status", "blockzoo sweep status --results /shared/table")
def sweep_status(
    results: Annotated[
        str,
        typer.Option("--results", help="Where sweeps keep them: a folder, or a database URL."),
    ] = "results",
) -> None:
    """Say how far the sweeps are that write into a store, from any terminal.

    Of each driver: what is done and left, the trials in hand, and whether it still runs.
    """
    from blockzoo.cli.actions.status import show_status

    show_status(results)
