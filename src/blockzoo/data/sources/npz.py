"""A data set in one `.npz` file: x_train, y_train, x_test, y_test, classes."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.lib.npyio import NpzFile

from blockzoo.core.errors import DataError
from blockzoo.data.image_dataset import Array, ImageDataset, dataset_from_arrays

_ARRAYS = ("x_train", "y_train", "x_test", "y_test", "classes")
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

    The arrays are those of `dataset_from_arrays`; `classes` is an array of strings. Flipped images
    are taken to keep their labels; a recipe with `flip=False` says otherwise. Raises `DataError`
    for a file that is missing, is no `.npz`, is cut short, or lacks or misuses an array.
    """
    arrays = _read(path)
    classes = arrays.pop("classes")
    if classes.ndim != 1 or classes.dtype.kind != "U":
        raise DataError(
            f"{path}: classes is {classes.dtype} of shape {classes.shape}; "
            f"it must be a list of strings"
        )
    return dataset_from_arrays(
        path.stem, classes=classes.tolist(), flip=True, source=str(path), **arrays
    )


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
    missing = [name for name in _ARRAYS if name not in opened.files]
    if missing:
        raise DataError(f"{path}: lacks {', '.join(missing)}; it has {', '.join(opened.files)}")
    return {name: _array(opened, name, path) for name in _ARRAYS}


def _array(opened: NpzFile, name: str, path: Path) -> Array:
    try:
        # Numpy reads an array only here, so only now is a damaged one found out.
        array: Array = opened[name]
    except _UNREADABLE as error:
        raise DataError(f"{path}: {name} cannot be read ({error})") from error
    return array
