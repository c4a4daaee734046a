"""`load_dataset`: a data set by its name or by its path."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TypedDict

from blockzoo.core.errors import DataError, InputError, UnknownNameError
from blockzoo.core.ranges import IMAGE_SIDE
from blockzoo.data.decoding.cache import Progress
from blockzoo.data.decoding.image_files import Resizing, Size
from blockzoo.data.image_dataset import ImageDataset
from blockzoo.data.sources.cifar import CIFAR_NAMES, load_cifar
from blockzoo.data.sources.digits import DIGITS_SIDES, load_digits
from blockzoo.data.sources.folder import load_folder
from blockzoo.data.sources.hugging_face import PREFIX as HUGGING_FACE_PREFIX
from blockzoo.data.sources.hugging_face import load_hugging_face
from blockzoo.data.sources.imagenet import IMAGENET_NAMES, load_imagenet
from blockzoo.data.sources.npz import load_npz
from blockzoo.data.sources.recompressed import RECOMPRESSED, load_recompressed

DATASET_NAMES = (*DIGITS_SIDES, *CIFAR_NAMES, RECOMPRESSED, *IMAGENET_NAMES)

_AS_STORED = "@stored"
"""At the end of a name: images are not turned as their EXIF tag of orientation says."""


class ImageOptions(TypedDict):
    """What all loaders of image files take."""

    skip_bad_images: bool
    data_dir: Path | None
    progress: Progress | None


def load_dataset(
    name_or_path: str,
    *,
    data_dir: Path | None = None,
    size: Size | None = None,
    skip_bad_images: bool = False,
    progress: Progress | None = None,
) -> ImageDataset:
    """Return the data set of that name, `.npz` file or image folder.

    Text with a path separator or a `.npz` ending, or that names something in the current folder, is
    a path; a known name goes before a path. Images are turned as their EXIF tag of orientation
    says.

    Args:
        name_or_path: "digits", or "digits@16" at half their side; "cifar10", "cifar100",
            "cifar100-q95", "imagenet64", "imagenet128" or "imagenet224"; an `.npz` file; a folder
            of images by class; or `hf:NAME` or `hf:NAME:CONFIG` of the Hugging Face hub.
            `FOLDER@64` and `hf:NAME@64` resize so that images cover 64x64 pixels and cut out the
            middle. `FOLDER@stored` and `FOLDER@64@stored` leave images as they are stored.
        data_dir: Where CIFAR is found or downloaded to, where ImageNet is found, and where images
            of a folder are kept decoded.
        size: (height, width) that images of a folder or the hub are stretched to.
        skip_bad_images: Whether images that cannot be read are left out and named in `skipped`.
        progress: Called as `progress(fraction, text)` while images are decoded.

    Returns:
        The data set, in memory.

    Raises:
        UnknownNameError: For a name that is not known and no path.
        DataError: For data that are missing or malformed, naming file and offender.
        InputError: For an option that such a data set does not have.

    Example:
        >>> digits = load_dataset("digits")
        >>> digits.name, tuple(digits.x_train.shape[1:]), digits.num_classes
        ('digits', (3, 32, 32), 10)
    """
    name, resizing, suffix = _parsed(name_or_path, size)
    path = Path(name).expanduser()
    of_images: ImageOptions = {
        "skip_bad_images": skip_bad_images,
        "data_dir": data_dir,
        "progress": progress,
    }
    if name.startswith(HUGGING_FACE_PREFIX):
        return load_hugging_face(name, resizing, suffix=suffix, **of_images)
    if path.is_dir() and name not in DATASET_NAMES:
        return load_folder(path, resizing, suffix=suffix, **of_images)
    if resizing.size is not None:
        others = f"; it is there as {' and '.join(DIGITS_SIDES)}" if name in DIGITS_SIDES else ""
        raise InputError(f"a size is for image folders; {name} is none{others}")
    if not resizing.upright:
        raise InputError(f"{_AS_STORED} is for image folders; {name} is none")
    if name in IMAGENET_NAMES:
        return load_imagenet(name, **of_images)
    if skip_bad_images:
        raise InputError(f"bad images are skipped in image folders; {name} is none")
    if name in DIGITS_SIDES:
        return load_digits(name)
    if name in CIFAR_NAMES:
        return load_cifar(name, data_dir)
    if name == RECOMPRESSED:
        return load_recompressed(data_dir)
    # A name that ends so means a file, and `load_npz` says where it is missing.
    if _exists(path) or path.suffix == ".npz":
        return load_npz(path)
    if len(path.parts) > 1:
        raise DataError(f"{path}: there is no such file or folder")
    raise UnknownNameError("data set", name, DATASET_NAMES)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name too long for the file system, say
        return False


def _parsed(name_or_path: str, size: Size | None) -> tuple[str, Resizing, str]:
    """Return the name or path, the resizing, and how both are told in the data set's name."""
    if name_or_path in DIGITS_SIDES:
        return name_or_path, Resizing(size=size), ""
    # A folder may itself have an @ in its name, and then it is meant.
    if name_or_path.endswith(_AS_STORED) and not _exists(Path(name_or_path).expanduser()):
        name, resizing, suffix = _parsed(name_or_path.removesuffix(_AS_STORED), size)
        return name, replace(resizing, upright=False), suffix + _AS_STORED
    match = re.fullmatch(r"(.+)@(\d+)", name_or_path)
    if match is None or size is not None or _exists(Path(name_or_path).expanduser()):
        return name_or_path, Resizing(size=size), ""
    name, digits = match[1], match[2]
    if len(digits) > 9:  # Python reads numbers of thousands of digits no more
        raise InputError(f"size is {digits[:9]}...; it must be {IMAGE_SIDE}")
    side = int(digits)
    return name, Resizing(size=(side, side), how="crop"), f"@{side}"
