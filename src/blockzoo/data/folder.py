"""A data set in a folder of images: train/CLASS/* and test/CLASS/* (or val/CLASS/*)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from blockzoo.data.image_dataset import Array, ImageDataset, dataset_from_arrays
from blockzoo.errors import DataError

Size = tuple[int, int]


def load_folder(path: Path, size: Size | None = None) -> ImageDataset:
    """Return the data set in that folder; its name is the folder's.

    Test images are those of `test/`, or of `val/` where there is no `test/` (validation images are
    always taken from the training set). Classes are the subfolders of `train/`, sorted. Images
    are read as RGB. Without `size` (height, width) all must be of one size; with it each is
    resized to it (bilinear, antialiased), its proportions not kept. Raises `DataError` naming the
    folder or file.
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
    x_train, y_train = _read_split(train, classes, size)
    x_test, y_test = _read_split(test, classes, size)
    return dataset_from_arrays(
        path.resolve().name,
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        classes=classes,
        flip=True,
        source=str(path),
    )


def _subfolders(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _files(folder: Path) -> list[Path]:
    from torchvision.datasets.folder import IMG_EXTENSIONS

    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in IMG_EXTENSIONS)
    if not files:
        raise DataError(f"{folder}: holds no image; allowed: {', '.join(IMG_EXTENSIONS)}")
    return files


def _read_split(split: Path, classes: Sequence[str], size: Size | None) -> tuple[Array, Array]:
    """Return images (N, H, W, 3) uint8 and labels (N,) int64 of `split`/CLASS/*."""
    files = [
        (file, label)
        for label, name in enumerate(classes)
        if (split / name).is_dir()
        for file in _files(split / name)
    ]
    if not files:
        raise DataError(f"{split}: holds no class folder with images")
    images = [_read_image(file, size) for file, _ in files]
    for (file, _), image in zip(files, images, strict=True):
        if image.shape != images[0].shape:
            raise DataError(
                f"{file}: is of size {image.shape[:2]}, {files[0][0]} of {images[0].shape[:2]}; "
                f"all must be of one size, or a size to resize them to must be given"
            )
    return np.stack(images), np.array([label for _, label in files], dtype=np.int64)


def _read_image(file: Path, size: Size | None) -> Array:
    """Return that image as RGB, uint8 (H, W, 3)."""
    from torchvision.datasets.folder import default_loader
    from torchvision.transforms.functional import resize

    try:
        image = default_loader(str(file))
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{file}: cannot be read as an image ({error})") from error
    return np.asarray(image if size is None else resize(image, list(size)))
