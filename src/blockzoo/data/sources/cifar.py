"""CIFAR-10 and CIFAR-100 by torchvision: found in a folder, or downloaded into it on first use."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from blockzoo.core.errors import DataError, one_line
from blockzoo.data.image_dataset import ImageDataset, dataset_from_arrays
from blockzoo.data.location import default_data_dir

CIFAR_NAMES = ("cifar10", "cifar100")


def load_cifar(name: str, data_dir: Path | None = None) -> ImageDataset:
    """Return `cifar10` or `cifar100`: 50,000 training and 10,000 test images of 3x32x32.

    Looks in `data_dir` (default: `default_data_dir()`) for the unpacked folder or the archive, and
    downloads the archive there when neither is complete. Raises `DataError` saying what failed and
    where to put the archive by hand. Source: A. Krizhevsky, Learning Multiple Layers of Features
    from Tiny Images, 2009.
    """
    from torchvision import datasets

    folder = data_dir or default_data_dir()
    kind = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[name]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        train, test = (kind(folder, train=part, download=True) for part in (True, False))
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        # RuntimeError is torchvision's, for an archive that is missing or whose checksum is wrong.
        raise DataError(
            f"{name}: cannot read or download it ({one_line(error)}); "
            f"get {kind.url} by hand and put {kind.filename} in {folder}"
        ) from error
    return _dataset(name, train, test)


def _dataset(name: str, train: Any, test: Any) -> ImageDataset:
    return dataset_from_arrays(
        name,
        x_train=train.data,
        y_train=np.asarray(train.targets),
        x_test=test.data,
        y_test=np.asarray(test.targets),
        classes=train.classes,
        flip=True,  # as its authors and all who train on it do
        source=name,
    )
