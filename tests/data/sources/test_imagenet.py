from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blockzoo.core.errors import DataError
from blockzoo.data import load_dataset
from blockzoo.data.decoding.image_files import Resizing

WNIDS = ("n01440764", "n02123045")


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Two classes, two training images and one validation image each, of many sizes."""
    for label, wnid in enumerate(WNIDS):
        for split, number, size in (
            ("train", 0, (300, 90)),
            ("train", 1, (70, 200)),
            ("val", 0, (65, 64)),
        ):
            file = tmp_path / "imagenet" / split / wnid / f"{wnid}_{number}.JPEG"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", size, (40 * label + 10 * number, 7, 200)).save(file, quality=95)
    return tmp_path


@pytest.mark.parametrize("side", [64, 128, 224])
def test_images_classes_and_size(data_dir: Path, side: int) -> None:
    data = load_dataset(f"imagenet{side}", data_dir=data_dir)
    assert (data.name, data.classes, data.flip) == (f"imagenet{side}", WNIDS, True)
    assert tuple(data.x_train.shape) == (4, 3, side, side)
    assert tuple(data.x_test.shape) == (2, 3, side, side)
    assert data.y_train.tolist() == [0, 0, 1, 1]
    assert data.x_train[:, 0].amax(dim=(1, 2)).tolist() == pytest.approx([0, 10, 40, 50], abs=2)
    assert (data_dir / "cache").is_dir()


def test_the_data_folder_is_that_of_the_environment(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BLOCKZOO_DATA", str(data_dir))
    assert load_dataset("imagenet64").num_classes == 2


def test_the_middle_is_kept_and_proportions_are() -> None:
    """Three squares side by side: only the middle one is kept, whatever the scale."""
    for scale in (1, 3):
        pixels = np.zeros((8 * scale, 24 * scale, 3), dtype=np.uint8)
        pixels[:, : 8 * scale, 0] = 255
        pixels[:, 16 * scale :, 1] = 255
        pixels[: 4 * scale, 8 * scale : 16 * scale, 2] = 255
        kept = np.asarray(Resizing(size=(8, 8), how="crop")(Image.fromarray(pixels)))
        assert kept.shape == (8, 8, 3)
        assert kept[:, 1:7, :2].max() == 0
        assert kept[:3, 1:7, 2].min() == 255
        assert kept[5:, :, 2].max() == 0


def test_an_image_that_just_fits_is_not_touched() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 11, 3), dtype=np.uint8)
    kept = np.asarray(Resizing(size=(8, 8), how="crop")(Image.fromarray(pixels)))
    assert any(np.array_equal(kept, pixels[:, left : left + 8]) for left in (1, 2))


def test_without_a_folder_it_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(DataError) as raised:
        load_dataset("imagenet64", data_dir=tmp_path)
    assert str(raised.value) == (
        f"imagenet64: there is no folder {tmp_path}/imagenet/train; get ImageNet by hand from "
        f"image-net.org and put its images in train/WNID/ and val/WNID/ of {tmp_path}/imagenet"
    )


def test_a_flat_validation_folder_is_refused(data_dir: Path) -> None:
    val = data_dir / "imagenet" / "val"
    for wnid in WNIDS:
        for file in (val / wnid).iterdir():
            file.rename(val / file.name)
        (val / wnid).rmdir()
    with pytest.raises(DataError) as raised:
        load_dataset("imagenet128", data_dir=data_dir)
    assert str(raised.value) == (
        f"{val}: its images lie in no class folders; move each into val/WNID/, WNID being the "
        f"WordNet id of its class as the development kit's ground truth says"
    )


def test_a_folder_that_is_no_wnid_is_named(data_dir: Path) -> None:
    train = data_dir / "imagenet" / "train"
    (train / WNIDS[0]).rename(train / "tench")
    with pytest.raises(DataError, match="tench: is not named by a WordNet id, such as n01440764"):
        load_dataset("imagenet64", data_dir=data_dir)


def test_bad_images_can_be_skipped(data_dir: Path) -> None:
    (data_dir / "imagenet" / "train" / WNIDS[1] / "bad.JPEG").write_text("no image")
    with pytest.raises(DataError, match=r"bad\.JPEG: cannot be read as an image"):
        load_dataset("imagenet64", data_dir=data_dir)
    data = load_dataset("imagenet64", data_dir=data_dir, skip_bad_images=True)
    assert data.skipped == (f"train/{WNIDS[1]}/bad.JPEG",)
    assert data.y_train.tolist() == [0, 0, 1, 1]
