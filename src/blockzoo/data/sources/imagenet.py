"""ImageNet from a folder in its usual layout, at 64, 128 or 224 pixels.

Nothing is downloaded: the images are to be had from image-net.org by hand. Source: O. Russakovsky
et al., ImageNet Large Scale Visual Recognition Challenge, 2015.
"""

from __future__ import annotations

import re
from pathlib import Path

from blockzoo.core.errors import DataError
from blockzoo.data.decoding.cache import Progress
from blockzoo.data.decoding.image_files import Resizing
from blockzoo.data.image_dataset import ImageDataset
from blockzoo.data.location import default_data_dir
from blockzoo.data.sources.folder import has_images, load_splits, subfolders

_SIDES = {"imagenet64": 64, "imagenet128": 128, "imagenet224": 224}
IMAGENET_NAMES = tuple(_SIDES)

_WNID = re.compile(r"n\d{8}")


def load_imagenet(
    name: str,
    *,
    skip_bad_images: bool = False,
    data_dir: Path | None = None,
    progress: Progress | None = None,
) -> ImageDataset:
    """Return ImageNet, or a part of its classes, at the pixels that `name` says.

    Images are those in `imagenet/train/WNID/` and `imagenet/val/WNID/` of `data_dir` (default:
    `default_data_dir()`), WNID being a class's WordNet id, such as n01440764; `val/` is the test
    set. The shorter side is resized (bilinear, antialiased), then the middle is cut out: once, into
    a cache in `data_dir`. Raises `DataError` naming the folder or file.
    """
    folder = (data_dir or default_data_dir()) / "imagenet"
    for split in ("train", "val"):
        _check_layout(name, folder / split)
    side = _SIDES[name]
    return load_splits(
        name,
        folder / "train",
        folder / "val",
        # As they are stored: so its published accuracies were made.
        Resizing(size=(side, side), how="crop", upright=False),
        flip=True,
        skip_bad_images=skip_bad_images,
        data_dir=data_dir,
        progress=progress,
    )


def _check_layout(name: str, split: Path) -> None:
    if not split.is_dir():
        raise DataError(
            f"{name}: there is no folder {split}; get ImageNet by hand from image-net.org "
            f"and put its images in train/WNID/ and val/WNID/ of {split.parent}"
        )
    classes = subfolders(split)
    if not classes and has_images(split):
        raise DataError(
            f"{split}: its images lie in no class folders; move each into {split.name}/WNID/, "
            f"WNID being the WordNet id of its class as the development kit's ground truth says"
        )
    strange = [name for name in classes if not _WNID.fullmatch(name)]
    if strange:
        raise DataError(
            f"{split / strange[0]}: is not named by a WordNet id, such as n01440764; "
            f"a folder of other classes can be given by its path"
        )
