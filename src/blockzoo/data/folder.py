"""A data set in a folder of images: train/CLASS/* and test/CLASS/* (or val/CLASS/*)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from blockzoo.data.image_dataset import Array, ImageDataset, dataset_from_arrays
from blockzoo.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

Size = tuple[int, int]

# 8 bits a channel; what has more would be clipped, not scaled, on its way to RGB.
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")


def load_folder(
    path: Path, size: Size | None = None, *, skip_bad_images: bool = False
) -> ImageDataset:
    """Return the data set in that folder; its name is the folder's.

    Test images are those of `test/`, or of `val/` where there is no `test/` (validation images are
    always taken from the training set). Classes are the subfolders of `train/`, sorted. Images
    are read as RGB, of whatever mode of 8 bits a channel they are; transparency is dropped. Without
    `size` (height, width) all must be of one size; with it each is resized to it (bilinear,
    antialiased), its proportions not kept. With `skip_bad_images`, files that cannot be read as an
    image are left out and named in the data set's `skipped`. Raises `DataError` naming the folder
    or file.
    """
    train, test = path / "train", path / "test"
    if not test.is_dir():
        test = path / "val"
    if not train.is_dir() or not test.is_dir():
        raise DataError(f"{path}: a data folder holds train/CLASS/ and test/CLASS/ or val/CLASS/")
    classes = _subfolders(train)
    unknown = [name for name in _subfolders(test) if name not in classes]
    if unknown:
        raise DataError(f"{test}: class {unknown[0]!r} is not in {train}")
    skipped: list[str] | None = [] if skip_bad_images else None
    x_train, y_train = _read_split(train, classes, size, skipped)
    x_test, y_test = _read_split(test, classes, size, skipped)
    dataset = dataset_from_arrays(
        path.resolve().name,
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        classes=classes,
        flip=True,
        source=str(path),
    )
    return replace(dataset, skipped=tuple(skipped or ()))


def _subfolders(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _files(folder: Path) -> list[Path]:
    from torchvision.datasets.folder import IMG_EXTENSIONS

    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in IMG_EXTENSIONS)
    if not files:
        raise DataError(f"{folder}: holds no image; allowed: {', '.join(IMG_EXTENSIONS)}")
    return files


def _read_split(
    split: Path, classes: Sequence[str], size: Size | None, skipped: list[str] | None
) -> tuple[Array, Array]:
    """Return images (N, H, W, 3) uint8 and labels (N,) int64 of `split`/CLASS/*.

    Bad images are noted in `skipped`, or refused where that is None.
    """
    files = [
        (file, label)
        for label, name in enumerate(classes)
        if (split / name).is_dir()
        for file in _files(split / name)
    ]
    if not files:
        raise DataError(f"{split}: holds no class folder with images")
    images: list[Array] = []
    labels: list[int] = []
    first = files[0][0]
    for file, label in files:
        try:
            image = _read_image(file, size)
        except DataError:
            if skipped is None:
                raise
            skipped.append(file.relative_to(split.parent).as_posix())
            continue
        first = first if images else file
        if images and image.shape != images[0].shape:
            raise DataError(
                f"{file}: is of size {image.shape[:2]}, {first} of {images[0].shape[:2]}; "
                f"all must be of one size, or a size to resize them to must be given"
            )
        images.append(image)
        labels.append(label)
    if not images:
        raise DataError(f"{split}: none of its {len(files)} images can be read")
    return np.stack(images), np.array(labels, dtype=np.int64)


def _read_image(file: Path, size: Size | None) -> Array:
    """Return that image as RGB, uint8 (H, W, 3)."""
    from PIL import Image
    from torchvision.transforms.functional import resize

    bomb = (Image.DecompressionBombError, Image.DecompressionBombWarning)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            # Metadata that a reader stumbles over does not matter for the pixels.
            warnings.simplefilter("ignore", UserWarning)
            with Image.open(file) as opened:
                image = _rgb(opened, file)
    except bomb as error:
        raise DataError(
            f"{file}: is larger than {Image.MAX_IMAGE_PIXELS} pixels, the most that is read"
        ) from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise DataError(f"{file}: cannot be read as an image ({error})") from error
    return np.asarray(image if size is None else resize(image, list(size)))


def _rgb(image: Image, file: Path) -> Image:
    if image.mode not in _MODES:
        raise DataError(
            f"{file}: its mode is {image.mode}; images of 8 bits a channel are read, "
            f"of mode {', '.join(_MODES)}"
        )
    return image.convert("RGB")
