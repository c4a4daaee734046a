"""`blockzoo train`: how well blocks learn, one record per seed."""

from __future__ import annotations

from typing import Annotated

import typer

from blockzoo.cli import shared_options
from blockzoo.cli.app import examples
from blockzoo.cli.option_groups import TrainingOptions, spread
from blockzoo.core import ranges


@examples(
    "blockzoo train MobileOneBlock --position mid --dataset digits --epochs 5",
    "blockzoo train RepMixer --position late --dataset cifar10 --seeds 3",
    "blockzoo train RepMixer --position late --dataset images.npz --protocol v1 --width 32",
)
@spread
def train(
    chosen: TrainingOptions,
    seeds: Annotated[int, typer.Option("--seeds", help="How many seeds."), ranges.SEEDS] = 1,
    first_seed: Annotated[int, typer.Option("--seed", help="The first seed."), ranges.SEED] = 0,
    output: shared_options.Output = None,
) -> None:
    """Train blocks in the scaffold and read the test set once, at the end.

    The checkpoint is chosen on a validation split of the training set. For one seed all blocks see
    the same stem, context and head weights, the same batches and the same augmentation. Records go
    to the store in the results folder as each training ends. One that fails is recorded with its
    reason, and the others go on.
    """
    from blockzoo.cli.actions import training

    training.train(chosen, seeds=seeds, first_seed=first_seed, output=output)
