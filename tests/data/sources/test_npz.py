from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from blockzoo.core.errors import DataError
from blockzoo.data import ImageDataset, load_dataset

Arrays = dict[str, Any]


def good() -> Arrays:
    """Six training and three test images of 5x7 in three classes."""
    random = np.random.RandomState(0)
    return {
        "x_train": random.randint(0, 256, (6, 5, 7, 3)).astype(np.uint8),
        "y_train": np.array([0, 1, 2, 0, 1, 2]),
        "x_test": random.randint(0, 256, (3, 5, 7, 3)).astype(np.uint8),
        "y_test": np.array([2, 1, 0]),
        "classes": np.array(["cat", "dog", "eel"]),
    }


def load(folder: Path, arrays: Arrays) -> ImageDataset:
    np.savez(folder / "pets.npz", **arrays)
    return load_dataset(str(folder / "pets.npz"))


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    arrays = good()
    data = load(tmp_path, arrays)
    assert (data.name, data.classes, data.flip) == ("pets", ("cat", "dog", "eel"), False)
    assert data.image_shape == (3, 5, 7)
    assert data.num_classes == 3
    assert np.array_equal(data.x_train.numpy(), arrays["x_train"].transpose(0, 3, 1, 2))
    assert data.y_test.tolist() == [2, 1, 0]
    assert str(data.y_train.dtype) == "torch.int64"


@pytest.mark.parametrize("value", [True, np.array([1]), np.array(0), np.bool_(False)])
def test_a_key_says_whether_mirrored_images_keep_their_labels(tmp_path: Path, value: Any) -> None:
    data = load(tmp_path, {**good(), "flip": value})
    assert data.flip is bool(value)
    plain = load(tmp_path, good())
    assert (data.fingerprint == plain.fingerprint) is (not value)


@pytest.mark.parametrize(
    ("value", "text"),
    [(2, "2"), (0.5, "0.5"), ("yes", "yes"), ([True, False], "bool of shape (2,)")],
)
def test_another_flip_is_refused(tmp_path: Path, value: Any, text: str) -> None:
    message = re.escape(f"pets.npz: flip is {text}; it must be True or False")
    with pytest.raises(DataError, match=message):
        load(tmp_path, {**good(), "flip": np.array(value)})


def test_grey_images_get_three_equal_channels(tmp_path: Path) -> None:
    arrays = good()
    for name in ("x_train", "x_test"):
        arrays[name] = arrays[name][..., 0]
    data = load(tmp_path, arrays)
    for channel in range(3):
        assert np.array_equal(data.x_train[:, channel].numpy(), arrays["x_train"])


def test_floats_of_0_to_1_and_integers_become_bytes(tmp_path: Path) -> None:
    plain = load(tmp_path, good())
    floats = good()
    floats["x_train"] = floats["x_train"] / 255
    floats["x_test"] = floats["x_test"].astype(np.int64)
    assert load(tmp_path, floats).fingerprint == plain.fingerprint


def test_the_fingerprint_tells_data_apart(tmp_path: Path) -> None:
    prints = {load(tmp_path, good()).fingerprint}
    assert prints == {load(tmp_path, good()).fingerprint}
    for name, index in (("x_train", (0, 0, 0, 0)), ("x_test", (2, 4, 6, 2))):
        arrays = good()
        arrays[name][index] ^= 1
        prints.add(load(tmp_path, arrays).fingerprint)
    arrays = good()
    arrays["y_test"][0] = 0
    prints.add(load(tmp_path, arrays).fingerprint)
    prints.add(load(tmp_path, {**good(), "classes": np.array(["a", "b", "c"])}).fingerprint)
    assert len(prints) == 5
    assert all(re.fullmatch("[0-9a-f]{16}", text) for text in prints)


def with_nan() -> np.ndarray[Any, np.dtype[np.float64]]:
    images = good()["x_train"] / 255
    images[4, 0, 0, 0] = np.nan
    return np.asarray(images)


BAD: dict[str, tuple[Arrays, str]] = {
    "four channels": (
        {"x_train": np.zeros((6, 4, 5, 7), np.uint8)},
        r"x_train has shape \(6, 4, 5, 7\); allowed: \(N, H, W, 3\), \(N, 3, H, W\) or grey",
    ),
    "flat images": ({"x_test": np.zeros((3, 105), np.uint8)}, r"x_test has shape \(3, 105\)"),
    "no image": ({"x_train": np.zeros((0, 5, 7, 3), np.uint8)}, "x_train is empty"),
    "text images": ({"x_train": np.full((6, 5, 7), "a")}, "x_train holds <U1"),
    "NaN": ({"x_train": with_nan()}, "x_train holds 1 NaN pixels, first in image 4"),
    "infinite": ({"x_train": np.full((6, 5, 7), np.inf)}, "floats must be within 0..1"),
    "floats of 0 to 255": ({"x_test": np.full((3, 5, 7), 9.5)}, "from 9.5 to 9.5; floats must"),
    "negative": ({"x_test": np.full((3, 5, 7), -1)}, "whole numbers within 0..255"),
    "sizes differ": (
        {"x_test": np.zeros((3, 5, 6, 3), np.uint8)},
        r"x_train is of size \(5, 7\), x_test of \(5, 6\)",
    ),
    "too few labels": ({"y_train": np.array([0, 1])}, r"y_train has shape \(2,\); it must be \(6,"),
    "labels one hot": ({"y_test": np.zeros((3, 3), int)}, r"shape \(3, 3\)"),
    "float labels": ({"y_train": np.zeros(6)}, "y_train holds float64"),
    "labels out of range": (
        {"y_train": np.array([0, 1, 3, 0, 7, 2])},
        "2 of 6 labels in y_train are outside 0..2, first 3 at index 2",
    ),
    "negative label": ({"y_test": np.array([0, 1, -1])}, "1 of 3 labels in y_test"),
    "empty class": (
        {"y_train": np.array([0, 1, 0, 0, 1, 1]), "y_test": np.array([0, 1, 0])},
        "class 'eel' has 0 training images",
    ),
    "class of one image": (
        {"y_train": np.array([0, 1, 2, 0, 1, 1])},
        "class 'eel' has 1 training images; at least 2",
    ),
    "class in test alone": (
        {"y_train": np.array([0, 1, 0, 0, 1, 1])},
        "class 'eel' is in the test set but not in training",
    ),
    "one class": (
        {"classes": np.array(["cat"])},
        "1 class; at least 2",
    ),
    "class named twice": ({"classes": np.array(["cat", "dog", "cat"])}, "class 'cat' is named"),
    "classes are numbers": ({"classes": np.arange(3)}, "classes is int64 of shape"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arrays_are_refused_in_one_line(tmp_path: Path, case: str) -> None:
    changes, message = BAD[case]
    with pytest.raises(DataError, match=message) as raised:
        load(tmp_path, {**good(), **changes})
    assert str(tmp_path / "pets.npz") in str(raised.value)
    assert "\n" not in str(raised.value)


def test_missing_arrays_are_named(tmp_path: Path) -> None:
    arrays = good()
    del arrays["y_test"], arrays["classes"]
    with pytest.raises(DataError, match="lacks y_test, classes; it has x_train, y_train, x_test"):
        load(tmp_path, arrays)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.npz: there is no such file"):
        load_dataset(str(tmp_path / "none.npz"))


def test_a_file_that_is_no_npz(tmp_path: Path) -> None:
    path = tmp_path / "text.npz"
    path.write_text("not arrays")
    with pytest.raises(DataError, match=r"text\.npz: not a whole \.npz file"):
        load_dataset(str(path))


def test_a_single_array(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(DataError, match="holds one array, not the arrays x_train"):
        load_dataset(str(tmp_path / "one.npy"))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_truncated_file(tmp_path: Path, share: float) -> None:
    load(tmp_path, good())
    path = tmp_path / "pets.npz"
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(DataError, match="not a whole"):
        load_dataset(str(path))


def test_a_damaged_array_is_named(tmp_path: Path) -> None:
    path = tmp_path / "pets.npz"
    np.savez(path, **good())
    content = bytearray(path.read_bytes())
    content[content.index(good()["x_train"].tobytes()[:64]) + 100] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError, match="x_train cannot be read"):
        load_dataset(str(path))


def test_a_header_that_claims_too_much_is_named(tmp_path: Path) -> None:
    header = io.BytesIO()
    claim = {"descr": "|u1", "fortran_order": False, "shape": (1 << 50, 32, 32, 3)}
    np.lib.format.write_array_header_1_0(header, claim)
    np.savez(tmp_path / "pets.npz", **{k: v for k, v in good().items() if k != "x_train"})
    with zipfile.ZipFile(tmp_path / "pets.npz", "a") as archive:
        archive.writestr("x_train.npy", header.getvalue())
    with pytest.raises(DataError, match=r"pets\.npz: x_train cannot be read"):
        load_dataset(str(tmp_path / "pets.npz"))


@pytest.mark.parametrize("key", ["x_train", "x_test"])
def test_channels_first_are_the_same_images(tmp_path: Path, key: str) -> None:
    before = load(tmp_path, good())
    arrays = good()
    arrays[key] = arrays[key].transpose(0, 3, 1, 2)
    assert load(tmp_path, arrays).fingerprint == before.fingerprint


@pytest.mark.parametrize("axis", [1, 3])
def test_grey_images_may_have_a_channel(tmp_path: Path, axis: int) -> None:
    grey = {**good(), "x_train": good()["x_train"][..., 0], "x_test": good()["x_test"][..., 0]}
    before = load(tmp_path, grey)
    for key in ("x_train", "x_test"):
        grey[key] = np.expand_dims(grey[key], axis)
    assert load(tmp_path, grey).fingerprint == before.fingerprint


def test_channels_are_the_last_where_both_could_be(tmp_path: Path) -> None:
    images = np.zeros((6, 3, 5, 3), np.uint8)
    data = load(tmp_path, {**good(), "x_train": images, "x_test": images[:3]})
    assert data.image_shape == (3, 3, 5)


def test_labels_may_be_a_column(tmp_path: Path) -> None:
    arrays = {**good(), "y_train": good()["y_train"][:, None], "y_test": good()["y_test"][:, None]}
    assert load(tmp_path, arrays).y_train.tolist() == [0, 1, 2, 0, 1, 2]


def medmnist(**changes: Any) -> Arrays:
    """The arrays of a file of MedMNIST/MedMNIST, as its README lists them."""
    ours = good()
    return {
        "train_images": ours["x_train"],
        "train_labels": ours["y_train"][:, None],
        "val_images": ours["x_test"],
        "val_labels": ours["y_test"][:, None],
        "test_images": ours["x_test"],
        "test_labels": ours["y_test"][:, None],
        **changes,
    }


def test_files_of_medmnist_are_read(tmp_path: Path) -> None:
    data, same = load(tmp_path, medmnist()), {**good(), "classes": np.array(["0", "1", "2"])}
    assert data.classes == ("0", "1", "2")
    assert data.fingerprint == load(tmp_path, same).fingerprint


def test_several_labels_an_image_are_refused(tmp_path: Path) -> None:
    """As those of the chest X-rays are, of which one was taken unseen (MedMNIST/MedMNIST #46)."""
    many = medmnist(train_labels=np.zeros((6, 14), int), test_labels=np.zeros((3, 14), int))
    with pytest.raises(DataError, match=r"pets\.npz: has 14 labels an image; one is needed"):
        load(tmp_path, many)
