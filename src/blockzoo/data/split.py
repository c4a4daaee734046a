"""Splits by class with a fixed seed, the same on every machine and numpy version."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from blockzoo.core.errors import DataError, InputError
from blockzoo.core.seeding import checked_seed

VALIDATION_FRACTION = 0.1
SPLIT_SEED = 0


def split_train_validation(
    labels: Tensor, *, fraction: float = VALIDATION_FRACTION, seed: int = SPLIT_SEED
) -> tuple[Tensor, Tensor]:
    """Return (train indices, validation indices), both sorted, int64.

    Each class gives `fraction` of its images, rounded, at least one, to validation. Raises
    `InputError` for a fraction outside 0..1 or a seed that cannot be, and `DataError` for a class
    of a single image.

    >>> train, val = split_train_validation(torch.tensor([0, 1] * 10), fraction=0.2)
    >>> len(train), (val % 2).tolist()  # two of each class
    (16, [0, 1, 1, 0])
    """
    seed = checked_seed(seed, "split seed")
    if not 0 < fraction < 1:
        raise InputError(f"validation fraction is {fraction}; it must be between 0 and 1")
    # The legacy generator: numpy promises that its stream never changes.
    random = np.random.RandomState(seed)
    chosen = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels.numpy()):
        members = np.flatnonzero(labels.numpy() == label)
        if len(members) < 2:
            raise DataError(f"class {label} has 1 image; a split by class needs at least 2")
        count = min(max(1, round(len(members) * fraction)), len(members) - 1)
        chosen[random.permutation(members)[:count]] = True
    return torch.from_numpy(np.flatnonzero(~chosen)), torch.from_numpy(np.flatnonzero(chosen))
