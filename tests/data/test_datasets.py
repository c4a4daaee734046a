from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR10

from blockzoo.core.errors import DataError, InputError, UnknownNameError
from blockzoo.data import load_dataset
from blockzoo.data.location import default_data_dir


def test_digits() -> None:
    data = load_dataset("digits")
    assert data.image_shape == (3, 32, 32)
    assert (len(data.x_train), len(data.x_test), data.num_classes) == (1438, 359, 10)
    assert data.flip is False
    assert (int(data.x_train.min()), int(data.x_train.max())) == (0, 255)
    assert torch.equal(data.x_train[:, 0], data.x_train[:, 2])
    blocks = data.x_train.unfold(2, 4, 4).unfold(3, 4, 4)
    assert torch.equal(blocks.amin(dim=(4, 5)), blocks.amax(dim=(4, 5)))
    share = torch.bincount(data.y_test) / torch.bincount(torch.cat([data.y_train, data.y_test]))
    assert share.min() > 0.19
    assert share.max() < 0.21


def test_digits_are_pinned() -> None:
    """Records of digits stand for these very pixels and this very test set."""
    assert load_dataset("digits").fingerprint == "bb8a1e4a4fa8caa6"


def test_digits_at_16_pixels_are_the_same_images_at_half_the_side() -> None:
    whole, half = load_dataset("digits"), load_dataset("digits@16")
    assert (half.name, half.image_shape, half.flip) == ("digits@16", (3, 16, 16), False)
    assert torch.equal(half.x_train, whole.x_train[:, :, ::2, ::2])
    assert torch.equal(half.x_test, whole.x_test[:, :, ::2, ::2])
    assert torch.equal(half.y_test, whole.y_test)
    assert half.fingerprint != whole.fingerprint


def test_digits_of_other_sides_are_refused() -> None:
    with pytest.raises(InputError, match="digits is none; it is there as digits and digits@16"):
        load_dataset("digits@64")


def test_an_unknown_name_lists_near_names() -> None:
    with pytest.raises(UnknownNameError, match="unknown data set 'cifar'; did you mean cifar1"):
        load_dataset("cifar")


def test_a_missing_path_is_named() -> None:
    with pytest.raises(DataError, match="nowhere/data: there is no such file or folder"):
        load_dataset("nowhere/data")


@pytest.fixture
def cifar_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A CIFAR-10 of twenty training and ten test images, as its archive unpacks."""
    folder = tmp_path / "data" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    files: dict[str, dict[str, Any]] = {
        "data_batch_1": {"data": np.full((20, 3072), 7, np.uint8), "labels": [*range(10)] * 2},
        "test_batch": {"data": np.full((10, 3072), 9, np.uint8), "labels": [*range(10)]},
        "batches.meta": {"label_names": [f"class {index}" for index in range(10)]},
    }
    sums = {}
    for name, content in files.items():
        (folder / name).write_bytes(pickle.dumps(content))
        sums[name] = hashlib.md5((folder / name).read_bytes()).hexdigest()
    monkeypatch.setattr(CIFAR10, "train_list", [["data_batch_1", sums["data_batch_1"]]])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(
        CIFAR10,
        "meta",
        {"filename": "batches.meta", "key": "label_names", "md5": sums["batches.meta"]},
    )
    # Nothing listens there, so that a download fails at once.
    monkeypatch.setattr(CIFAR10, "url", "http://127.0.0.1:9/cifar-10-python.tar.gz")
    return folder.parent


def test_cifar_is_found_without_a_network(cifar_folder: Path) -> None:
    data = load_dataset("cifar10", data_dir=cifar_folder)
    assert (data.name, data.num_classes, data.flip) == ("cifar10", 10, True)
    assert tuple(data.x_train.shape) == (20, 3, 32, 32)
    assert int(data.x_train.max()) == 7
    assert int(data.x_test.min()) == 9
    assert data.y_test.tolist() == list(range(10))


def test_a_failed_download_says_where_to_put_the_file(cifar_folder: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    with pytest.raises(DataError) as raised:
        load_dataset("cifar10", data_dir=empty)
    text = str(raised.value)
    assert text.startswith("cifar10: cannot read or download it (")
    assert text.endswith(
        f"get http://127.0.0.1:9/cifar-10-python.tar.gz by hand "
        f"and put cifar-10-python.tar.gz in {empty}"
    )
    assert "\n" not in text


def test_a_damaged_cifar_is_not_used(cifar_folder: Path) -> None:
    (cifar_folder / "cifar-10-batches-py" / "test_batch").write_bytes(b"damaged")
    with pytest.raises(DataError, match="cifar10: cannot read or download it"):
        load_dataset("cifar10", data_dir=cifar_folder)


def test_a_data_folder_that_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(DataError, match="cifar100: cannot read or download it"):
        load_dataset("cifar100", data_dir=path)


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"BLOCKZOO_DATA": "/big/data"}, "/big/data"),
        ("linux", {"XDG_CACHE_HOME": "/cache"}, "/cache/blockzoo/data"),
        ("linux", {}, "/home/me/.cache/blockzoo/data"),
        ("darwin", {}, "/home/me/Library/Caches/blockzoo/data"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/blockzoo/data"),
    ],
)
def test_default_data_dir(
    monkeypatch: pytest.MonkeyPatch, platform: str, variables: dict[str, str], expected: str
) -> None:
    for name in ("BLOCKZOO_DATA", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/me")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.platform", platform)
    assert default_data_dir() == Path(expected)


def test_a_data_set_shows_its_size_and_not_its_pixels() -> None:
    digits = load_dataset("digits")
    assert repr(digits) == (
        "<ImageDataset: name digits, training images 1,438, test images 359, classes 10, "
        "shape 3x32x32, flipped no>"
    )
