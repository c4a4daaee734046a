"""Image classification sets of the Hugging Face hub, by the optional package `datasets`."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from blockzoo.core.errors import DataError, one_line
from blockzoo.data.decoding.cache import ImageSource, Progress
from blockzoo.data.decoding.decoded_dataset import Split, decoded_dataset
from blockzoo.data.decoding.image_files import Resizing, read_image
from blockzoo.data.image_dataset import Array, ImageDataset

PREFIX = "hf:"

_TEST_SPLITS = ("test", "validation", "valid", "val")
_IMAGE_COLUMNS = ("image", "img")
_LABEL_COLUMNS = ("label", "labels", "fine_label")


def load_hugging_face(
    name: str,
    resizing: Resizing,
    *,
    suffix: str = "",
    skip_bad_images: bool = False,
    data_dir: Path | None = None,
    progress: Progress | None = None,
) -> ImageDataset:
    """Return the set `hf:NAME` or `hf:NAME:CONFIG` of the hub, named so and with `suffix`.

    Its split `train` is trained on. Test images are those of `test`, or of `validation` where there
    is no `test` or its labels are withheld. Images are treated as those of a folder are (see
    `load_folder`); the package keeps the originals in a cache of its own. Raises `DataError` saying
    what is missing: the package, the set, a split, a column.
    """
    package = _package()
    splits = _download(package, name)
    if "train" not in splits:
        raise DataError(f"{name}: has no split train; it has {', '.join(splits)}")
    train, test = _Images(package, name, "train", splits), _test_images(package, name, splits)
    if train.classes != test.classes:
        raise DataError(f"{name}: the classes of split {test.split} are not those of train")
    source = ImageSource(
        names=[*train.names, *test.names],
        key=(name, *resizing.key, train.key, test.key),
        read=lambda index: (
            train.read(index, resizing)
            if index < len(train.names)
            else test.read(index - len(train.names), resizing)
        ),
    )
    return decoded_dataset(
        name + suffix,
        source,
        (train.described(), test.described()),
        train.classes,
        where=name,
        skip_bad_images=skip_bad_images,
        data_dir=data_dir,
        progress=progress,
    )


def _package() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise DataError(
            "data sets of Hugging Face need the package datasets: pip install 'blockzoo[hf]'"
        ) from error
    return datasets


def _download(package: Any, name: str) -> Mapping[str, Any]:
    path, _, config = name.removeprefix(PREFIX).partition(":")
    if not path:
        raise DataError(f"{name}: names no data set; it must be hf:NAME or hf:NAME:CONFIG")
    try:
        splits: Mapping[str, Any] = package.load_dataset(path, config or None)
    except Exception as error:  # network, hub, files and scripts of others
        raise DataError(
            f"{name}: cannot be had from Hugging Face ({one_line(error, first_line_only=True)}); "
            f"it takes a network, or a copy in the cache of the package datasets"
        ) from error
    return splits


def _test_images(package: Any, name: str, splits: Mapping[str, Any]) -> _Images:
    """Return the first split to test on whose labels are known."""
    for split in _TEST_SPLITS:
        if split in splits:
            images = _Images(package, name, split, splits)
            # The hub has -1 for labels that are withheld.
            if (images.labels >= 0).all():
                return images
    raise DataError(
        f"{name}: has no labelled split {', '.join(_TEST_SPLITS)} to test on; "
        f"it has {', '.join(splits)}"
    )


class _Images:
    """The images and labels of one split."""

    def __init__(self, package: Any, name: str, split: str, splits: Mapping[str, Any]) -> None:
        self.split, self._where, rows = split, f"{name}, split {split}", splits[split]
        self._column = _column(rows, package.Image, _IMAGE_COLUMNS, self._where, "images")
        label = _column(rows, package.ClassLabel, _LABEL_COLUMNS, self._where, "class labels")
        self.classes: list[str] = rows.features[label].names
        self.labels: Array = np.array(list(rows[label]), dtype=np.int64)
        self.names = [f"{self._where}, image {index}" for index in range(len(self.labels))]
        # The package's own fingerprint of the rows; what it does not tell, a copy does not change.
        self.key = (split, rows._fingerprint)
        # Left encoded: `read_image` is to judge and convert them, as it does files.
        self._rows = rows.cast_column(self._column, package.Image(decode=False))
        self._lock = Lock()

    def described(self) -> Split:
        """Return the split without its images."""
        names = [f"{self.split}/{index}" for index in range(len(self.labels))]
        return Split(where=self._where, names=names, labels=self.labels)

    def read(self, index: int, resizing: Resizing) -> Array:
        """Return that image as `read_image` does."""
        with self._lock:  # the package does not promise that threads may share it
            value = self._rows[index][self._column]
        content, path = value["bytes"], value["path"]
        file = Path(path) if content is None else BytesIO(content)
        return read_image(file, resizing, self.names[index])


def _column(rows: Any, kind: type, usual: tuple[str, ...], where: str, what: str) -> str:
    """Return the column of that kind; of several, the first that is `usual`."""
    features: Mapping[str, object] = rows.features
    of_kind = [name for name, feature in features.items() if isinstance(feature, kind)]
    if len(of_kind) == 1:
        return of_kind[0]
    for name in usual:
        if name in of_kind:
            return name
    raise DataError(
        f"{where}: has {len(of_kind)} columns of {what}, not one; its columns are "
        f"{', '.join(features)}"
    )
