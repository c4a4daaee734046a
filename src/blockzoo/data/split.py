"""Splits by class with a fixed seed, the same on every machine and numpy version."""

from __future__ import annotations

from operator import index
from typing import SupportsIndex

import numpy as np
import torch
from torch import Tensor

from blockzoo.errors import DataError, InputError

VALIDATION_FRACTION = 0.1
SPLIT_SEED = 0

_LARGEST_SEED = 2**32 - 1  # that numpy's legacy generator takes


def checked_seed(seed: SupportsIndex, name: str = "seed") -> int:
    """Return the seed, numpy's whole numbers too, as an int.

    Raises `InputError` for one that is no whole number or that not all generators take.
    """
    try:
        value = index(seed)
    except TypeError:
        raise InputError(f"{name} is {seed!r}; it must be a whole number") from None
    if not 0 <= value <= _LARGEST_SEED:
        raise InputError(f"{name} is {value}; it must be within 0..{_LARGEST_SEED}")
    return value


def split_train_validation(
    labels: Tensor, *, fraction: float = VALIDATION_FRACTION, seed: int = SPLIT_SEED
) -> tuple[Tensor, Tensor]:
    """Return (train indices, validation indices), both sorted, int64.

    Each class gives `fraction` of its images, rounded, at least one, to validation. Raises
    `InputError` for a fraction outside 0..1 or a seed that cannot be, and `DataError` for a class
    of a single image.
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
