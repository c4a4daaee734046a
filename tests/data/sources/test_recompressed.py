"""`cifar100-q95`: from a file, or made of CIFAR-100, to the same pixels."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blockzoo.core.errors import DataError
from blockzoo.data import ImageDataset, load_dataset
from blockzoo.data.image_dataset import dataset_from_arrays
from blockzoo.data.sources import recompressed as source
from blockzoo.data.sources.recompressed import recompressed

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)


@pytest.fixture
def cifar(monkeypatch: pytest.MonkeyPatch) -> list[Path | None]:
    """A CIFAR-100 of two classes; the folders that it was asked for from."""
    asked = []

    def load(name: str, data_dir: Path | None = None) -> ImageDataset:
        assert name == "cifar100"
        asked.append(data_dir)
        labels = np.array([0, 1, 0, 1])
        return dataset_from_arrays(
            name, x_train=IMAGES, y_train=labels, x_test=IMAGES[:2], y_test=labels[:2],
            classes=("cat", "dog"), flip=True, source=name,
        )  # fmt: skip

    monkeypatch.setattr(source, "load_cifar", load)
    return asked


def test_images_by_themselves_are_as_on_one_sheet() -> None:
    sheet = IMAGES.reshape(2, 2, 32, 32, 3).transpose(0, 2, 1, 3, 4).reshape(64, 64, 3)
    written = BytesIO()
    Image.fromarray(sheet).save(written, "JPEG", quality=95, subsampling=0, progressive=True)
    tiles = np.asarray(Image.open(written)).reshape(2, 32, 2, 32, 3).transpose(0, 2, 1, 3, 4)
    assert np.array_equal(tiles.reshape(-1, 32, 32, 3), recompressed(IMAGES))
    assert not np.array_equal(IMAGES, recompressed(IMAGES))


def test_it_is_made_once(tmp_path: Path, cifar: list[Path | None]) -> None:
    data = load_dataset("cifar100-q95", data_dir=tmp_path)
    assert (data.name, data.flip, data.classes) == ("cifar100-q95", True, ("cat", "dog"))
    assert np.array_equal(data.x_train.numpy().transpose(0, 2, 3, 1), recompressed(IMAGES))
    again = load_dataset("cifar100-q95", data_dir=tmp_path)
    assert again.fingerprint == data.fingerprint
    assert cifar == [tmp_path]
    # The file itself, named as one, is the same data where it may be flipped.
    by_path = load_dataset(str(tmp_path / "cifar100-q95.npz"))
    assert by_path.with_flip(True).fingerprint == data.fingerprint


def test_a_file_that_is_there_is_taken_as_it_is(tmp_path: Path, cifar: list[Path | None]) -> None:
    (tmp_path / "cifar100-q95.npz").write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"cifar100-q95\.npz: not a whole \.npz file"):
        load_dataset("cifar100-q95", data_dir=tmp_path)
    assert cifar == []
