"""The `digits` data set, which comes inside scikit-learn: no network needed."""

from __future__ import annotations

import numpy as np
import torch

from blockzoo.data.image_dataset import ImageDataset, dataset_from_arrays
from blockzoo.data.split import split_train_validation

_TEST_FRACTION = 0.2
_SCALE = 4  # 8x8 pixels become 32x32


def load_digits() -> ImageDataset:
    """Return 1,797 handwritten digits, 80% for training and 20% for test, by class.

    The 8x8 images hold values 0..16; they become 0..255, each pixel a 4x4 square, in three equal
    channels. A flipped digit is another sign, so `flip` is False. Source: E. Alpaydin and
    C. Kaynak, Optical Recognition of Handwritten Digits, UCI repository, 1998.
    """
    from sklearn import datasets

    bunch = datasets.load_digits()
    # Whole-number arithmetic, so that the pixels are the same everywhere.
    pixels = (bunch.images.astype(np.int64) * 255 + 8) // 16
    images = pixels.repeat(_SCALE, axis=1).repeat(_SCALE, axis=2)
    train, test = split_train_validation(
        torch.from_numpy(bunch.target), fraction=_TEST_FRACTION, seed=0
    )
    return dataset_from_arrays(
        "digits",
        x_train=images[train],
        y_train=bunch.target[train],
        x_test=images[test],
        y_test=bunch.target[test],
        classes=[str(name) for name in bunch.target_names],
        flip=False,
        source="digits",
    )
