"""A data set in one `.npz` file: x_train, y_train, x_test, y_test, classes, perhaps flip.

The files of MedMNIST, whose arrays have other names and which name no classes, are read too.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.lib.npyio import NpzFile

from blockzoo.core.errors import DataError
from blockzoo.data.image_dataset import Array, ImageDataset, dataset_from_arrays

_ARRAYS = ("x_train", "y_train", "x_test", "y_test", "classes")
_FLIP = "flip"
_MEDMNIST = {
    "x_train": "train_images",
    "y_train": "train_labels",
    "x_test": "test_images",
    "y_test": "test_labels",
}
"""What MedMNIST calls the arrays; its own validation images are not read."""
_UNREADABLE = (
    OSError,
    ValueError,
    EOFError,
    KeyError,
    MemoryError,  # a header that claims more than there can be
    zipfile.BadZipFile,
    zlib.error,
)


def load_npz(path: Path) -> ImageDataset:
    """Return the data set in that file; its name is the file's stem.

    The arrays are those of `dataset_from_arrays`; `classes` is an array of strings. `flip`, which
    may be left out, is True where images flipped left to right keep their labels: without it they
    are not flipped, for nothing else tells a mirrored digit from a mirrored cat. In a file of
    MedMNIST's keys classes are called by their numbers. Raises `DataError`
    for a file that is missing, is no `.npz`, is cut short, or lacks or misuses an array.
    """
    arrays = _read(path)
    classes, flip = arrays.pop("classes"), _flip(arrays.pop(_FLIP, None), path)
    if classes.ndim != 1 or classes.dtype.kind != "U":
        raise DataError(
            f"{path}: classes is {classes.dtype} of shape {classes.shape}; "
            f"it must be a list of strings"
        )
    return dataset_from_arrays(
        path.stem, classes=classes.tolist(), flip=flip, source=str(path), **arrays
    )


def _flip(value: Array | None, path: Path) -> bool:
    if value is None:
        return False
    if value.size != 1 or value.dtype.kind not in "biu" or value.item() not in (0, 1):
        text = value.item() if value.size == 1 else f"{value.dtype} of shape {value.shape}"
        raise DataError(f"{path}: flip is {text}; it must be True or False")
    return bool(value.item())


def _read(path: Path) -> dict[str, Array]:
    try:
        # Opened here, for numpy does not close a file that turns out to be cut short.
        with path.open("rb") as file:
            # No pickle: a data set that somebody else made must not run code.
            return _arrays(np.load(file, allow_pickle=False), path)
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file") from None
    except _UNREADABLE as error:
        raise DataError(f"{path}: not a whole .npz file ({error})") from error


def _arrays(opened: object, path: Path) -> dict[str, Array]:
    if not isinstance(opened, NpzFile):
        raise DataError(f"{path}: holds one array, not the arrays {', '.join(_ARRAYS)}")
    if set(_MEDMNIST.values()) <= set(opened.files):
        return _of_medmnist(opened, path)
    missing = [name for name in _ARRAYS if name not in opened.files]
    if missing:
        raise DataError(f"{path}: lacks {', '.join(missing)}; it has {', '.join(opened.files)}")
    wanted = (*_ARRAYS, _FLIP) if _FLIP in opened.files else _ARRAYS
    return {name: _array(opened, name, path) for name in wanted}


def _of_medmnist(opened: NpzFile, path: Path) -> dict[str, Array]:
    arrays = {ours: _array(opened, theirs, path) for ours, theirs in _MEDMNIST.items()}
    labels = [arrays[name] for name in ("y_train", "y_test")]
    if any(values.ndim == 2 and values.shape[1] > 1 for values in labels):
        raise DataError(f"{path}: has {labels[0].shape[1]} labels an image; one is needed")
    highest = max((int(values.max()) for values in labels if values.size), default=0)
    return {**arrays, "classes": np.array([str(number) for number in range(highest + 1)])}


def _array(opened: NpzFile, name: str, path: Path) -> Array:
    try:
        # Numpy reads an array only here, so only now is a damaged one found out.
        array: Array = opened[name]
    except _UNREADABLE as error:
        raise DataError(f"{path}: {name} cannot be read ({error})") from error
    return array
