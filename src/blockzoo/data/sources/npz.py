"""A data set in one `.npz` file: x_train, y_train, x_test, y_test, classes, perhaps flip."""

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
    are not flipped, for nothing else tells a mirrored digit from a mirrored cat. Raises `DataError`
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
    missing = [name for name in _ARRAYS if name not in opened.files]
    if missing:
        raise DataError(f"{path}: lacks {', '.join(missing)}; it has {', '.join(opened.files)}")
    wanted = (*_ARRAYS, _FLIP) if _FLIP in opened.files else _ARRAYS
    return {name: _array(opened, name, path) for name in wanted}


def _array(opened: NpzFile, name: str, path: Path) -> Array:
    try:
        # Numpy reads an array only here, so only now is a damaged one found out.
        array: Array = opened[name]
    except _UNREADABLE as error:
        raise DataError(f"{path}: {name} cannot be read ({error})") from error
    return array
