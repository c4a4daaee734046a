"""`load_dataset`: a data set by its name or by its path."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

from blockzoo.data.cifar import CIFAR_NAMES, load_cifar
from blockzoo.data.decode_cache import Progress
from blockzoo.data.embedded import load_digits
from blockzoo.data.folder import load_folder
from blockzoo.data.hugging_face import PREFIX as HUGGING_FACE_PREFIX
from blockzoo.data.hugging_face import load_hugging_face
from blockzoo.data.image_dataset import ImageDataset
from blockzoo.data.imagenet import IMAGENET_NAMES, load_imagenet
from blockzoo.data.npz import load_npz
from blockzoo.errors import DataError, InputError, UnknownNameError

DATASET_NAMES = ("digits", *CIFAR_NAMES, *IMAGENET_NAMES)


class ImageOptions(TypedDict):
    """What all loaders of image files take."""

    skip_bad_images: bool
    data_dir: Path | None
    progress: Progress | None


def load_dataset(
    name_or_path: str,
    *,
    data_dir: Path | None = None,
    size: tuple[int, int] | None = None,
    skip_bad_images: bool = False,
    progress: Progress | None = None,
) -> ImageDataset:
    """Return the data set of that name, `.npz` file or image folder.

    `data_dir` is where CIFAR is found or downloaded to (see `load_cifar`), where ImageNet is found,
    and where images of a folder are kept decoded, which `progress(fraction, text)` is told of.
    `size` (height, width) is what images of a folder or the hub are resized to; with
    `skip_bad_images` those that cannot be read are left out and named in the data set's `skipped`.
    `hf:NAME` or `hf:NAME:CONFIG` is a set of the Hugging Face hub (see `load_hugging_face`).
    Text with a path separator or a `.npz` ending, or that names something in the current folder, is
    a path; a known name goes before a path. Raises `UnknownNameError`, or `DataError` naming file
    and offender.
    """
    path = Path(name_or_path).expanduser()
    of_images: ImageOptions = {
        "skip_bad_images": skip_bad_images,
        "data_dir": data_dir,
        "progress": progress,
    }
    if name_or_path.startswith(HUGGING_FACE_PREFIX):
        return load_hugging_face(name_or_path, size, **of_images)
    if path.is_dir() and name_or_path not in DATASET_NAMES:
        return load_folder(path, size, **of_images)
    if size is not None:
        raise InputError(f"a size is for image folders; {name_or_path} is none")
    if name_or_path in IMAGENET_NAMES:
        return load_imagenet(name_or_path, **of_images)
    if skip_bad_images:
        raise InputError(f"bad images are skipped in image folders; {name_or_path} is none")
    if name_or_path == "digits":
        return load_digits()
    if name_or_path in CIFAR_NAMES:
        return load_cifar(name_or_path, data_dir)
    if path.exists() or path.suffix == ".npz":
        return load_npz(path)
    if len(path.parts) > 1:
        raise DataError(f"{path}: there is no such file or folder")
    raise UnknownNameError("data set", name_or_path, DATASET_NAMES)
