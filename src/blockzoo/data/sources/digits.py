"""The `digits` data set, which comes inside scikit-learn: no network needed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from blockzoo.data.image_dataset import ImageDataset, dataset_from_arrays
from blockzoo.data.split import split_train_validation

DIGITS_SIDES = {"digits": 32, "digits@16": 16}
"""The names of the set, each with the side of its images in pixels."""

_TEST_FRACTION = 0.2
_FILE = "datasets/data/digits.csv.gz"
_STORED_SIDE = 8


def load_digits(name: str = "digits") -> ImageDataset:
    """Return 1,797 handwritten digits, 80% for training and 20% for test, by class.

    The 8x8 images hold values 0..16; they become 0..255, each pixel a square of 4x4 (`digits`) or
    2x2 (`digits@16`), in three equal channels. A flipped digit is another sign, so `flip` is
    False. Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI
    repository, 1998.

    >>> tuple(load_digits("digits@16").x_test.shape)
    (359, 3, 16, 16)
    """
    rows = _rows()
    pixels, labels = rows[:, :-1].reshape(-1, _STORED_SIDE, _STORED_SIDE), rows[:, -1]
    # Whole-number arithmetic, so that the pixels are the same everywhere.
    pixels = (pixels * 255 + 8) // 16
    scale = DIGITS_SIDES[name] // _STORED_SIDE
    images = pixels.repeat(scale, axis=1).repeat(scale, axis=2)
    train, test = split_train_validation(torch.from_numpy(labels), fraction=_TEST_FRACTION, seed=0)
    return dataset_from_arrays(
        name,
        x_train=images[train],
        y_train=labels[train],
        x_test=images[test],
        y_test=labels[test],
        classes=[str(digit) for digit in range(10)],
        flip=False,
        source=name,
    )


def _rows() -> NDArray[np.int64]:
    """Return a row for each digit (1797, 65): 64 pixels within 0..16, then what it shows.

    The file is read past scikit-learn, which takes a second and 75 MB to import.
    """
    (folder,) = find_spec("sklearn").submodule_search_locations  # type: ignore[union-attr, misc]
    return np.loadtxt(Path(folder) / _FILE, delimiter=",", dtype=np.int64)
