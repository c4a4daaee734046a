"""`blockzoo sweep`: the main job."""

from __future__ import annotations

from typing import Annotated

import typer

from blockzoo.cli import shared_options
from blockzoo.cli.app import examples
from blockzoo.cli.option_groups import TrainingOptions, spread


@examples(
    "blockzoo sweep --quick",
    "blockzoo sweep --protocol v1 --dataset cifar100 --seeds 5",
    "blockzoo sweep RepMixer MBConvLNBlock -p mid --dataset images.npz --width 32 --epochs 20",
)
@spread
def sweep(
    chosen: TrainingOptions,
    quick: Annotated[
        bool, typer.Option("--quick", help="Short for --protocol quick2: three blocks on digits.")
    ] = False,
    seeds: shared_options.Seeds = None,
    latency_budget: shared_options.LatencyBudget = None,
    plots: Annotated[
        bool, typer.Option("--plots/--no-plots", help="Draw the plots at the end.")
    ] = True,
    trust_unsure: Annotated[
        bool,
        typer.Option(
            "--trust-unsure",
            help="Take stored results also of blocks that may have changed unseen.",
        ),
    ] = False,
    side_by_side: shared_options.SideBySide = 1,
) -> None:
    """Measure blocks at all positions over seeds: cost, latency, training; then table and plots.

    What the store in the results folder already holds is not run again. A trial that fails is
    recorded with its reason and the sweep goes on. Stop it at any time and run it again.
    """
    from blockzoo.cli.actions import sweeping

    sweeping.sweep(
        chosen,
        quick=quick,
        seeds=seeds,
        latency_budget_s=latency_budget,
        plots=plots,
        side_by_side=side_by_side,
        trust_unsure=trust_unsure,
    )
