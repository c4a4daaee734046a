from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image as PilImage

from blockzoo.core.errors import DataError
from blockzoo.data import load_dataset

SIDE = 6


class Image:
    """As `datasets.Image`: a column of images, decoded or not."""

    def __init__(self, decode: bool = True) -> None:
        self.decode = decode


class ClassLabel:
    """As `datasets.ClassLabel`."""

    def __init__(self, names: list[str]) -> None:
        self.names = names


class Rows:
    """As `datasets.Dataset`: what of it is used, and nothing else."""

    def __init__(self, columns: dict[str, list[Any]], features: dict[str, object]) -> None:
        self.columns, self.features = columns, features
        self._fingerprint = str(hash(repr(columns)))

    def cast_column(self, name: str, feature: Image) -> Rows:
        assert not feature.decode
        return Rows(self.columns, {**self.features, name: feature})

    def __getitem__(self, key: str | int) -> Any:
        if isinstance(key, str):
            return self.columns[key]
        return {name: column[key] for name, column in self.columns.items()}


def pixels(index: int, size: int = SIDE) -> np.ndarray:
    return np.random.default_rng(index).integers(0, 256, (size, size, 3), dtype=np.uint8)


def encoded(index: int, size: int = SIDE) -> dict[str, Any]:
    file = BytesIO()
    PilImage.fromarray(pixels(index, size)).save(file, "PNG")
    return {"bytes": file.getvalue(), "path": None}


def rows(first: int, labels: list[int], *, size: int = SIDE, names: str = "ab") -> Rows:
    images = [encoded(first + index, size) for index in range(len(labels))]
    return Rows(
        {"img": images, "label": labels, "id": labels},
        {"img": Image(), "label": ClassLabel(list(names)), "id": int},
    )


class Hub(ModuleType):
    """As the package `datasets`, with the splits it is given."""

    Image, ClassLabel = Image, ClassLabel

    def __init__(self) -> None:
        super().__init__("datasets")
        self.splits: dict[str, Rows] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.fails: Exception | None = None

    def load_dataset(self, path: str, config: str | None) -> dict[str, Rows]:
        self.asked.append((path, config))
        if self.fails is not None:
            raise self.fails
        return self.splits


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    module = Hub()
    module.splits = {"train": rows(0, [0, 0, 1, 1]), "test": rows(100, [1, 0])}
    monkeypatch.setitem(sys.modules, "datasets", module)
    return module


def test_images_labels_and_classes(hub: Hub) -> None:
    data = load_dataset("hf:somebody/shapes:small")
    assert hub.asked == [("somebody/shapes", "small")]
    assert (data.name, data.classes, data.flip) == ("hf:somebody/shapes:small", ("a", "b"), False)
    assert data.y_train.tolist() == [0, 0, 1, 1]
    assert data.y_test.tolist() == [1, 0]
    expected = np.stack([pixels(index).transpose(2, 0, 1) for index in (100, 101)])
    assert np.array_equal(data.x_test.numpy(), expected)
    assert np.array_equal(data.x_train[3].numpy(), pixels(3).transpose(2, 0, 1))


def test_images_are_decoded_once(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_dataset("hf:shapes")
    assert hub.asked == [("shapes", None)]
    with monkeypatch.context() as patched:
        patched.delattr(PilImage, "open")
        assert load_dataset("hf:shapes").fingerprint == first.fingerprint
    hub.splits["train"] = rows(50, [0, 0, 1, 1])
    assert load_dataset("hf:shapes").fingerprint != first.fingerprint


def test_a_file_beside_the_table(hub: Hub, tmp_path: Path) -> None:
    PilImage.fromarray(pixels(7)).save(tmp_path / "7.png")
    hub.splits["test"].columns["img"][1] = {"bytes": None, "path": str(tmp_path / "7.png")}
    found = load_dataset("hf:shapes").x_test[1].numpy()
    assert np.array_equal(found, pixels(7).transpose(2, 0, 1))


def test_a_test_split_without_labels_is_not_used(hub: Hub) -> None:
    hub.splits = {
        "train": hub.splits["train"],
        "test": rows(200, [-1, -1]),
        "validation": rows(300, [0, 1]),
    }
    data = load_dataset("hf:shapes")
    assert np.array_equal(data.x_test[0].numpy(), pixels(300).transpose(2, 0, 1))
    del hub.splits["validation"]
    with pytest.raises(DataError, match="to test on; it has train, test"):
        load_dataset("hf:shapes")


def test_bad_images_are_named_or_skipped(hub: Hub) -> None:
    hub.splits["train"] = rows(0, [0, 0, 1, 1, 1])
    hub.splits["train"].columns["img"][4] = {"bytes": b"no image", "path": None}
    with pytest.raises(DataError, match="hf:shapes, split train, image 4: cannot be read as an im"):
        load_dataset("hf:shapes")
    data = load_dataset("hf:shapes", skip_bad_images=True)
    assert data.skipped == ("train/4",)
    assert data.y_train.tolist() == [0, 0, 1, 1]


def test_sizes(hub: Hub) -> None:
    hub.splits["test"] = rows(100, [1, 0], size=9)
    with pytest.raises(DataError, match=r"split test, image 0: is of size \(9, 9\), .*train"):
        load_dataset("hf:shapes")
    assert load_dataset("hf:shapes", size=(4, 5)).image_shape == (3, 4, 5)
    data = load_dataset("hf:shapes:small@4")
    assert (data.name, data.image_shape) == ("hf:shapes:small@4", (3, 4, 4))
    assert hub.asked[-1] == ("shapes", "small")


def test_the_fine_labels_are_taken_of_several(hub: Hub) -> None:
    for name in ("train", "test"):
        split = hub.splits[name]
        split.columns["fine_label"] = split.columns.pop("label")
        split.columns["coarse_label"] = [0 for _ in split.columns["id"]]
        split.features["fine_label"] = split.features.pop("label")
        split.features["coarse_label"] = ClassLabel(["all"])
    assert load_dataset("hf:shapes").classes == ("a", "b")
    for name in ("train", "test"):
        split = hub.splits[name]
        split.features["other_label"] = split.features.pop("fine_label")
    with pytest.raises(DataError, match="split train: has 2 columns of class labels, not one; its"):
        load_dataset("hf:shapes")


def test_no_column_of_images(hub: Hub) -> None:
    hub.splits["train"].features["img"] = str
    with pytest.raises(DataError, match="has 0 columns of images, not one; its columns are img,"):
        load_dataset("hf:shapes")


def test_splits_that_do_not_fit(hub: Hub) -> None:
    hub.splits["test"] = rows(100, [1, 0], names="ba")
    with pytest.raises(DataError, match="the classes of split test are not those of train"):
        load_dataset("hf:shapes")
    del hub.splits["train"]
    with pytest.raises(DataError, match="hf:shapes: has no split train; it has test"):
        load_dataset("hf:shapes")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionError("no route\nto the hub"), "ConnectionError: no route"),
        (OSError(), "OSError"),
    ],
)
def test_without_a_network_there_is_one_line(hub: Hub, error: Exception, reason: str) -> None:
    hub.fails = error
    with pytest.raises(DataError) as raised:
        load_dataset("hf:shapes")
    assert str(raised.value) == (
        f"hf:shapes: cannot be had from Hugging Face ({reason}); "
        f"it takes a network, or a copy in the cache of the package datasets"
    )


def test_without_the_package_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match=r"the package datasets: pip install 'blockzoo\[hf\]'"):
        load_dataset("hf:shapes")


def test_a_prefix_alone(hub: Hub) -> None:
    with pytest.raises(DataError, match="hf:: names no data set; it must be hf:NAME"):
        load_dataset("hf:")
    assert hub.asked == []
