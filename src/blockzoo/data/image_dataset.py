"""`ImageDataset`: a small-image classification data set held in memory, checked on the way in."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from blockzoo.core.display import Displayed, Facts, number
from blockzoo.core.errors import DataError
from blockzoo.core.names import checked_name

Array = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ImageDataset(Displayed):
    """Images and labels for training and test, held in memory.

    `load_dataset` and `dataset_from_arrays` make one.

    Args:
        name: What records and tables call it.
        x_train: Training images, uint8 (N, 3, H, W), 0 to 255.
        y_train: Their classes, int64 (N,), each an index into `classes`.
        x_test: Test images, uint8 (M, 3, H, W).
        y_test: Their classes, int64 (M,).
        classes: The names of the classes.
        flip: Whether an image flipped left to right keeps its label, which no image tells: True
            only where the source or its user says so.
        skipped: Files that were left out, for they could not be read.

    Raises:
        InputError: For a name that no record could keep.

    Example:
        >>> from blockzoo import load_dataset
        >>> load_dataset("digits").fingerprint == load_dataset("digits").fingerprint
        True
    """

    name: str
    x_train: Tensor
    y_train: Tensor
    x_test: Tensor
    y_test: Tensor
    classes: tuple[str, ...]
    flip: bool
    skipped: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        checked_name("data set", self.name)

    def _facts(self) -> Facts:
        return {
            "name": self.name,
            "training images": number(len(self.x_train)),
            "test images": number(len(self.x_test)),
            "classes": number(self.num_classes),
            "shape": "x".join(map(str, self.image_shape)),
            "flipped": "yes" if self.flip else "no",
            "skipped": number(len(self.skipped)) if self.skipped else None,
        }

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(3, H, W)."""
        _, channels, height, width = self.x_train.shape
        return channels, height, width

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self.classes)

    @property
    def images_bytes(self) -> int:
        """Bytes of all images, for training and test."""
        return self.x_train.nbytes + self.x_test.nbytes

    def with_flip(self, flip: bool) -> ImageDataset:
        """Return this data set with `flip` as given, itself where that is so already.

        Args:
            flip: Whether an image flipped left to right keeps its label.

        Example:
            >>> from blockzoo.data import load_dataset
            >>> digits = load_dataset("digits")
            >>> digits.with_flip(True).flip, digits.with_flip(False) is digits
            (True, True)
        """
        return self if flip is self.flip else self._with_other_flip

    @cached_property
    def _with_other_flip(self) -> ImageDataset:
        # Made once, for its fingerprint takes a pass over all pixels.
        return replace(self, flip=not self.flip)

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits over all images, labels, class names, `flip` and `skipped`."""
        digest = hashlib.sha256(repr((self.classes, self.flip)).encode())
        # Only where there are some, so that fingerprints from before files could be skipped stay.
        if self.skipped:
            digest.update(repr(self.skipped).encode())
        for tensor in (self.x_train, self.y_train, self.x_test, self.y_test):
            digest.update(repr(tuple(tensor.shape)).encode())
            digest.update(tensor.contiguous().numpy().data)
        return digest.hexdigest()[:16]


def dataset_from_arrays(
    name: str,
    *,
    x_train: Array,
    y_train: Array,
    x_test: Array,
    y_test: Array,
    classes: Sequence[str],
    flip: bool,
    source: str,
) -> ImageDataset:
    """Check arrays and build a data set of them.

    Args:
        name: What records and tables call the data set.
        x_train: Training images: (N, H, W, 3) or (N, 3, H, W), or grey (N, H, W), (N, H, W, 1) or
            (N, 1, H, W); whole numbers within 0..255, or floats within 0..1. Where both sides could
            be channels the last ones are.
        y_train: Their classes: (N,) or (N, 1), whole numbers within 0..classes-1. Every class needs
            two training images, one to train on and one to validate on.
        x_test: Test images, of the same forms and size.
        y_test: Their classes.
        classes: The names of the classes, two or more.
        flip: Whether an image flipped left to right keeps its label.
        source: Where the arrays are from; messages name it.

    Returns:
        The data set, its images as uint8 (N, 3, H, W).

    Raises:
        DataError: For arrays that are malformed or hold impossible values, naming `source` and the
            offender.

    Example:
        >>> images, labels = np.zeros((4, 8, 8), dtype=np.uint8), np.array([0, 0, 1, 1])
        >>> dataset = dataset_from_arrays(
        ...     "dark", x_train=images, y_train=labels, x_test=images, y_test=labels,
        ...     classes=("left", "right"), flip=False, source="example",
        ... )
        >>> dataset.image_shape, dataset.num_classes, dataset.images_bytes
        ((3, 8, 8), 2, 1536)
    """
    names = _checked_classes(classes, source)
    tensors = {
        "x_train": _images(x_train, "x_train", source),
        "y_train": _labels(y_train, "y_train", len(x_train), len(names), source),
        "x_test": _images(x_test, "x_test", source),
        "y_test": _labels(y_test, "y_test", len(x_test), len(names), source),
    }
    train_shape, test_shape = (tuple(tensors[key].shape[2:]) for key in ("x_train", "x_test"))
    if train_shape != test_shape:
        raise DataError(f"{source}: x_train is of size {train_shape}, x_test of {test_shape}")
    _check_every_class(tensors["y_train"], tensors["y_test"], names, source)
    return ImageDataset(
        name=name,
        x_train=tensors["x_train"],
        y_train=tensors["y_train"],
        x_test=tensors["x_test"],
        y_test=tensors["y_test"],
        classes=names,
        flip=flip,
    )


def _checked_classes(classes: Sequence[str], source: str) -> tuple[str, ...]:
    names = tuple(str(name) for name in classes)
    if len(names) < 2:
        raise DataError(f"{source}: {len(names)} class; at least 2 are needed")
    repeated = {name for name in names if names.count(name) > 1}
    if repeated:
        raise DataError(f"{source}: class {min(repeated)!r} is named more than once")
    return names


def _images(images: Array, what: str, source: str) -> Tensor:
    """Return uint8 (N, 3, H, W) of colour or grey images, channels last or first."""
    shape = images.shape
    if images.ndim == 4 and shape[3] not in (1, 3) and shape[1] in (1, 3):
        images = images.transpose(0, 2, 3, 1)
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] != 3):
        allowed = "(N, H, W, 3), (N, 3, H, W) or grey (N, H, W)"
        raise DataError(f"{source}: {what} has shape {shape}; allowed: {allowed}")
    if images.size == 0:
        raise DataError(f"{source}: {what} is empty, of shape {images.shape}")
    pixels = _bytes(images, what, source)
    if pixels.ndim == 3:
        pixels = np.broadcast_to(pixels[..., None], (*pixels.shape, 3))
    with warnings.catch_warnings():
        # Images mapped from a cache cannot be written to, nor does anything here.
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))


def _bytes(images: Array, what: str, source: str) -> Array:
    if images.dtype == np.uint8:
        return images
    kind = images.dtype.kind
    if kind not in "iuf":
        raise DataError(f"{source}: {what} holds {images.dtype}; allowed: whole numbers or floats")
    top = 1 if kind == "f" else 255
    # Looked for first: NaN is neither below one bound nor above the other.
    not_numbers = np.isnan(images) if kind == "f" else np.zeros(0, dtype=bool)
    if not_numbers.any():
        first = int(np.argwhere(not_numbers)[0][0])
        raise DataError(
            f"{source}: {what} holds {int(not_numbers.sum())} NaN pixels, first in image {first}"
        )
    low, high = images.min(), images.max()
    if low < 0 or high > top:
        kinds = "floats must be within 0..1" if kind == "f" else "whole numbers within 0..255"
        raise DataError(f"{source}: {what} holds values from {low} to {high}; {kinds}")
    # Rounded, for the cast alone would make 254 of 254.9999.
    return np.rint(images * 255).astype(np.uint8) if kind == "f" else images.astype(np.uint8)


def _labels(labels: Array, what: str, images: int, classes: int, source: str) -> Tensor:
    if labels.shape == (images, 1):
        labels = labels[:, 0]
    if labels.shape != (images,):
        raise DataError(
            f"{source}: {what} has shape {labels.shape}; it must be ({images},), one per image"
        )
    if labels.dtype.kind not in "iu":
        raise DataError(f"{source}: {what} holds {labels.dtype}; it must hold whole numbers")
    outside = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(outside):
        raise DataError(
            f"{source}: {len(outside)} of {images} labels in {what} are outside 0..{classes - 1}, "
            f"first {labels[outside[0]]} at index {outside[0]}"
        )
    return torch.from_numpy(labels.astype(np.int64))


def _check_every_class(train: Tensor, test: Tensor, names: Sequence[str], source: str) -> None:
    in_train = torch.bincount(train, minlength=len(names)).tolist()
    in_test = torch.bincount(test, minlength=len(names)).tolist()
    for name, train_count, test_count in zip(names, in_train, in_test, strict=True):
        if train_count == 0 and test_count > 0:
            raise DataError(f"{source}: class {name!r} is in the test set but not in training")
        if train_count < 2:
            raise DataError(
                f"{source}: class {name!r} has {train_count} training images; "
                f"at least 2 are needed, one to train on and one to validate on"
            )
