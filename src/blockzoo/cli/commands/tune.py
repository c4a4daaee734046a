"""`blockzoo tune`: the tuned track, and how it compares to the default track."""

from __future__ import annotations

from typing import Annotated

import typer

from blockzoo.cli.app import examples
from blockzoo.cli.option_groups import TrainingOptions, spread
from blockzoo.core import ranges


@examples(
    "blockzoo tune RepMixer ResNetBasicBlock --position mid --dataset cifar100",
    "blockzoo tune MobileOneBlock -p mid --dataset digits --width 16 --trials 8 --seeds 3",
)
@spread
def tune(
    chosen: TrainingOptions,
    trials: Annotated[
        int | None,
        typer.Option("--trials", help="Points tried, the recipe's own values first. (default: 16)"),
        ranges.TRIALS,
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option("--seeds", help="Seeds afterwards. (default: the protocol's)"),
        ranges.SEEDS,
    ] = None,
) -> None:
    """The tuned track: learning rate, weight decay, drop path by validation, then fresh seeds.

    Every block tries the same points with the same seed and the same rule by which hopeless trials
    are stopped; no trial sees a test image. The seeds that follow are kept as protocol
    `NAME+tuned` beside the default track that `sweep` and `train` fill. Stop it at any time and
    run it again.
    """
    from blockzoo.cli.actions import training

    training.tune(chosen, trials=trials, seeds=seeds)
