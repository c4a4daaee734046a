"""A data set of images that are decoded into the cache: what folders and the hub have in common."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from blockzoo.core.errors import DataError
from blockzoo.data.decoding.cache import ImageSource, Progress, decoded, write_whole
from blockzoo.data.image_dataset import Array, ImageDataset, dataset_from_arrays
from blockzoo.data.location import cache_dir

LARGE_BYTES = 2**30
"""From how many bytes of images on the fingerprint is kept in the cache: hashing takes seconds."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """One split. `where`: for messages. `names`: what `skipped` calls each image, all different.

    `labels`: int64 (N,), the class of each image.
    """

    where: str
    names: Sequence[str]
    labels: Array


def decoded_dataset(
    name: str,
    source: ImageSource,
    splits: tuple[Split, Split],
    classes: Sequence[str],
    *,
    where: str,
    flip: bool = False,
    skip_bad_images: bool,
    data_dir: Path | None,
    progress: Progress | None,
) -> ImageDataset:
    """Return the data set of the images of `source`: first those of the training split, then test.

    `splits` are these two. `where` begins messages about the whole. `flip`: see `ImageDataset`; of
    images that somebody brings it is not known. Raises `DataError`.
    """
    train, test = splits
    images = decoded(source, cache_dir(data_dir), skip_bad=skip_bad_images, progress=progress)
    good = np.split(~images.bad, [len(train.labels)])
    for split, of_split in zip(splits, good, strict=True):
        if not of_split.any():
            raise DataError(f"{split.where}: none of its {len(of_split)} images can be read")
    # Views of the mapped file: the order of axes is turned back later, and nothing is copied.
    x_train, x_test = np.split(images.pixels.transpose(0, 2, 3, 1), [int(good[0].sum())])
    dataset = dataset_from_arrays(
        name,
        x_train=x_train,
        y_train=train.labels[good[0]],
        x_test=x_test,
        y_test=test.labels[good[1]],
        classes=classes,
        flip=flip,
        source=where,
    )
    names = [*train.names, *test.names]
    skipped = tuple(names[index] for index in np.flatnonzero(images.bad))
    dataset = replace(dataset, skipped=skipped)
    if dataset.images_bytes >= LARGE_BYTES:
        _remember_fingerprint(dataset, images.folder)
    return dataset


def _remember_fingerprint(dataset: ImageDataset, folder: Path) -> None:
    """Hash the data set, or take what that gave before; a changed copy is hashed on its own."""
    about = hashlib.sha256(repr((dataset.classes, dataset.flip, dataset.skipped)).encode())
    for labels in (dataset.y_train, dataset.y_test):
        about.update(labels.numpy().data)
    file = folder / f"fingerprint-{about.hexdigest()[:16]}"
    if file.exists():
        dataset.__dict__["fingerprint"] = file.read_text()  # where the cached property keeps it
        return
    with suppress(OSError):  # then it is hashed again the next time
        write_whole(file, dataset.fingerprint.encode())
