"""What determines a training beside the network: data, recipe, seed, split and arithmetic."""

from __future__ import annotations

from dataclasses import dataclass, replace

from blockzoo.core.names import checked_name
from blockzoo.core.seeding import checked_seed
from blockzoo.data import ImageDataset
from blockzoo.data.split import SPLIT_SEED, VALIDATION_FRACTION
from blockzoo.training.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How a network is trained; all of it is recorded and part of a trial's identity.

    `seed` determines the initial weights, the data order, the augmentation and the network's own
    randomness. `validation_fraction` and `split_seed`: see `data/split.py`. `protocol`: the label
    that the record carries. `device`: "auto", "cpu", "cuda" or "cuda:N". `compiled`: whether whole
    batches run compiled, which changes numbers within rounding. Images are flipped where recipe and
    data set both say so; afterwards both say what is done. Raises `InputError` for a seed that no
    generator takes.

    >>> from blockzoo.data import load_dataset
    >>> from blockzoo.training.recipe import get_recipe
    >>> TrainingSettings(dataset=load_dataset("digits"), recipe=get_recipe("v1"), seed=-1)
    Traceback (most recent call last):
    blockzoo.core.errors.InputError: seed is -1; it must be within 0..4294967295
    """

    dataset: ImageDataset
    recipe: Recipe
    seed: int
    validation_fraction: float = VALIDATION_FRACTION
    split_seed: int = SPLIT_SEED
    protocol: str = "custom"
    device: str = "auto"
    compiled: bool = False

    def __post_init__(self) -> None:
        checked_name("protocol", self.protocol)
        object.__setattr__(self, "seed", checked_seed(self.seed))
        # What is done alone is recorded and part of the identity, not how it was decided.
        flip = self.recipe.flip and self.dataset.flip
        object.__setattr__(self, "recipe", replace(self.recipe, flip=flip))
        object.__setattr__(self, "dataset", self.dataset.with_flip(flip))
