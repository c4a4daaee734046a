"""CIFAR-100 as JPEG of quality 95: pixels near the originals', small enough to be handed on.

An archive of whole images and this file's own round trip give the same pixels: without chroma
subsampling a JPEG codes squares of 8x8 pixels, none of which reaches over the border of an image.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from blockzoo.core.files import replacing
from blockzoo.data.image_dataset import Array, ImageDataset
from blockzoo.data.location import default_data_dir
from blockzoo.data.sources.cifar import load_cifar
from blockzoo.data.sources.npz import load_npz

RECOMPRESSED = "cifar100-q95"
QUALITY = 95


def load_recompressed(data_dir: Path | None = None) -> ImageDataset:
    """Return `cifar100-q95`, from the file of that name and `.npz` in `data_dir`.

    Where there is no such file it is made there, of `cifar100`. Its images may be flipped, as those
    of CIFAR. Raises `DataError` where neither can be had, and `ResultsError` where it cannot be
    written.
    """
    path = (data_dir or default_data_dir()) / f"{RECOMPRESSED}.npz"
    if not path.exists():
        _make(path, load_cifar("cifar100", data_dir))
    return load_npz(path).with_flip(True)


def _make(path: Path, source: ImageDataset) -> None:
    with replacing(path) as scratch, scratch.open("wb") as file:
        np.savez(
            file,
            x_train=recompressed(source.x_train.numpy().transpose(0, 2, 3, 1)),
            y_train=source.y_train.numpy(),
            x_test=recompressed(source.x_test.numpy().transpose(0, 2, 3, 1)),
            y_test=source.y_test.numpy(),
            classes=np.array(source.classes),
        )


def recompressed(images: Array) -> Array:
    """Return uint8 images (N, H, W, 3) as they are after JPEG, each by itself.

    >>> grey = np.full((1, 8, 8, 3), 90, dtype=np.uint8)
    >>> bool((recompressed(grey) == grey).all())
    True
    """
    return np.stack([_round_trip(image) for image in images])


def _round_trip(image: Array) -> Array:
    written = BytesIO()
    Image.fromarray(image).save(written, "JPEG", quality=QUALITY, subsampling=0)
    return np.asarray(Image.open(written))
