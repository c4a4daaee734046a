"""A data set in a folder of images: train/CLASS/* and test/CLASS/* (or val/CLASS/*)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from blockzoo.core.errors import DataError
from blockzoo.data.decoding.cache import ImageSource, Progress
from blockzoo.data.decoding.decoded_dataset import Split, decoded_dataset
from blockzoo.data.decoding.image_files import Resizing, read_image
from blockzoo.data.image_dataset import ImageDataset

_TRAIN = ("train", "training")
_TEST = ("test", "testing")
_VALIDATION = ("val", "valid", "validation")
_ALLOWED = "a data folder holds train/CLASS/ and test/CLASS/ or val/CLASS/"
_MOST_NAMED = 6
_OF_FILE_MANAGERS = ("__MACOSX", "@eaDir", "$RECYCLE.BIN", "Thumbs.db")
"""What macOS, Synology's and Windows' file managers leave without hiding it everywhere."""


def load_folder(
    path: Path,
    resizing: Resizing,
    *,
    suffix: str = "",
    skip_bad_images: bool = False,
    data_dir: Path | None = None,
    progress: Progress | None = None,
) -> ImageDataset:
    """Return the data set in that folder; its name is the folder's and `suffix`.

    Test images are those of `test/`, or of `val/` where there is no `test/` (validation images are
    always taken from the training set). `training/`, `testing/`, `valid/` and `validation/` are as
    good, in any case of letters. Classes are the subfolders of `train/`, sorted; hidden files and
    folders, and those of file managers, are none. Images are turned upright by their EXIF tag and
    read as RGB, of whatever mode of 8 bits a channel they are; transparency is dropped. Where
    `resizing` leaves them as they are, all must be of one size. With `skip_bad_images`, files that
    cannot be read as an image are left out and named in the data set's `skipped`. Images are
    decoded once, into a cache in `data_dir` (see `decode_cache`), while `progress` is told. Raises
    `DataError` naming the folder or file.
    """
    train = _split(path, _TRAIN)
    test = _split(path, _TEST) or _split(path, _VALIDATION)
    if train is None or test is None:
        raise DataError(f"{path}: {_ALLOWED}; {_found(path)}")
    return load_splits(
        path.resolve().name + suffix,
        train,
        test,
        resizing,
        skip_bad_images=skip_bad_images,
        data_dir=data_dir,
        progress=progress,
    )


def load_splits(
    name: str,
    train: Path,
    test: Path,
    resizing: Resizing,
    *,
    flip: bool = False,
    skip_bad_images: bool,
    data_dir: Path | None,
    progress: Progress | None,
) -> ImageDataset:
    """Return the data set of the images in `train`/CLASS/ and `test`/CLASS/, two sibling folders.

    `flip`: see `ImageDataset`. Raises `DataError` naming the folder or file.
    """
    root = train.parent
    classes = subfolders(train)
    unknown = [name for name in subfolders(test) if name not in classes]
    if unknown:
        raise DataError(f"{test}: class {unknown[0]!r} is not in {train}")
    (of_train, train_files), (of_test, test_files) = (
        _listed(split, classes) for split in (train, test)
    )
    files = train_files + test_files
    source = ImageSource(
        names=[str(file) for file in files],
        key=_key(root, files, resizing),
        read=lambda index: read_image(files[index], resizing, str(files[index])),
    )
    return decoded_dataset(
        name,
        source,
        (of_train, of_test),
        classes,
        where=str(root),
        flip=flip,
        skip_bad_images=skip_bad_images,
        data_dir=data_dir,
        progress=progress,
    )


def _split(root: Path, names: Sequence[str]) -> Path | None:
    """Return the folder in `root` of one of these names, in any case of letters."""
    found = [name for name in subfolders(root) if name.lower() in names]
    if len(found) > 1:
        raise DataError(
            f"{root}: holds {' and '.join(found)}, of which one can be meant; remove the other"
        )
    return root / found[0] if found else None


def _found(root: Path) -> str:
    """Return what a folder holds that is no data set, in words, and what makes it one."""
    folders = subfolders(root)
    if not folders:
        return "it holds no folder"
    some = ", ".join(folders[:_MOST_NAMED]) + (", ..." if len(folders) > _MOST_NAMED else "")
    if all(has_images(root / name) for name in folders):
        return (
            f"it holds {some}, of images: move some of each to test/CLASS/, others to train/CLASS/"
        )
    return f"it holds {some}"


def _loose(folder: Path) -> str:
    return f"; move each of its images into {folder.name}/CLASS/" if has_images(folder) else ""


def _listed(folder: Path, classes: Sequence[str]) -> tuple[Split, list[Path]]:
    """Return the split in that folder, and its image files in order."""
    pairs = [
        (file, label)
        for label, name in enumerate(classes)
        if (folder / name).is_dir()
        for file in _images_in(folder / name)
    ]
    if not pairs:
        raise DataError(f"{folder}: holds no class folder with images{_loose(folder)}")
    files = [file for file, _ in pairs]
    split = Split(
        where=str(folder),
        names=[file.relative_to(folder.parent).as_posix() for file in files],
        labels=np.array([label for _, label in pairs], dtype=np.int64),
    )
    return split, files


def _key(root: Path, files: Sequence[Path], resizing: Resizing) -> Iterator[object]:
    """Yield what the pixels depend on: which files there are, their sizes, times, and the rule."""
    yield from resizing.key
    for file in files:
        # Size and time stand for the content, which would have to be read whole.
        yield file.relative_to(root).as_posix(), *_size_and_time(file)


def _size_and_time(file: Path) -> tuple[int, int]:
    try:
        status = file.stat()
    except OSError:  # a link to nothing, say: a bad image, as reading it will tell
        return -1, -1
    return status.st_size, status.st_mtime_ns


def subfolders(folder: Path) -> list[str]:
    """Return the names of the folders in `folder`, sorted, without hidden ones."""
    return sorted(p.name for p in folder.iterdir() if p.is_dir() and not _is_hidden(p))


def has_images(folder: Path) -> bool:
    """Tell whether image files lie in `folder` itself."""
    return any(map(_is_image, folder.iterdir()))


def _images_in(folder: Path) -> list[Path]:
    files = sorted(filter(_is_image, folder.iterdir()))
    nested = [] if files else [name for name in subfolders(folder) if has_images(folder / name)]
    if nested:
        raise DataError(
            f"{folder}: holds no image but {nested[0]}/, which does; classes lie right below "
            f"{folder.parent.name}/: move what {folder.name}/ holds there, or its images into it"
        )
    if not files:
        raise DataError(f"{folder}: holds no image; allowed: {', '.join(_extensions())}")
    return files


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in _extensions() and not _is_hidden(file)


def _is_hidden(path: Path) -> bool:
    """Tell whether a file or folder is none of the user's own: `._0.jpg`, say, beside `0.jpg`."""
    return path.name.startswith(".") or path.name in _OF_FILE_MANAGERS


@cache
def _extensions() -> tuple[str, ...]:
    # Importing torchvision takes a second, and most data sets do not need it.
    from torchvision.datasets.folder import IMG_EXTENSIONS

    extensions: tuple[str, ...] = IMG_EXTENSIONS
    return extensions
