"""`blockzoo sweep`: the main job."""

from __future__ import annotations

from blockzoo.cli.app import examples
from blockzoo.cli.option_groups import spread
from blockzoo.cli.sweep_options import SweepOptions


@examples(
    "blockzoo sweep --quick",
    "blockzoo sweep --protocol v1 --dataset cifar100 --seeds 5",
    "blockzoo sweep RepMixer MBConvLNBlock -p mid --dataset images.npz --width 32 --epochs 20",
    "blockzoo sweep sweep.toml --dry-run",
    "blockzoo sweep status",
)
@spread
def sweep(chosen: SweepOptions) -> None:
    """Measure blocks at all positions over seeds: cost, latency, training; then table and plots.

    What the store in the results folder already holds is not run again. A trial that fails is
    recorded with its reason and the sweep goes on. Stop it at any time and run it again.
    """
    from blockzoo.cli.actions import sweeping

    sweeping.sweep(chosen)
