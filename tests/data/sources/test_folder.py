from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms.functional import to_pil_image

from blockzoo.core.errors import DataError, InputError
from blockzoo.data import load_dataset


def save(path: Path, value: int, size: tuple[int, int] = (6, 4)) -> None:
    """Save an image of one colour; size is (height, width)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    to_pil_image(np.full((*size, 3), value, np.uint8)).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes, two training images and one test image each; a pixel is 10 x class + number."""
    root = tmp_path / "shapes"
    for label, name in enumerate(("box", "ring")):
        for number in range(2):
            save(root / "train" / name / f"{number}.png", 10 * label + number)
        save(root / "test" / name / "0.png", 100 + label)
    return root


def test_images_labels_and_classes(folder: Path) -> None:
    (folder / "train" / "box" / "notes.txt").write_text("not an image")
    (folder / "train" / ".cache").mkdir()
    data = load_dataset(str(folder))
    assert (data.name, data.classes, data.flip) == ("shapes", ("box", "ring"), False)
    assert data.image_shape == (3, 6, 4)
    assert data.x_train[:, 0, 0, 0].tolist() == [0, 1, 10, 11]
    assert data.y_train.tolist() == [0, 0, 1, 1]
    assert data.x_test[:, 2, 5, 3].tolist() == [100, 101]


def test_val_serves_where_there_is_no_test(folder: Path) -> None:
    before = load_dataset(str(folder))
    (folder / "test").rename(folder / "val")
    assert load_dataset(str(folder)).fingerprint == before.fingerprint


def test_images_are_resized_to_a_given_size(folder: Path) -> None:
    save(folder / "train" / "ring" / "wide.png", 12, size=(6, 30))
    data = load_dataset(str(folder), size=(8, 8))
    assert data.image_shape == (3, 8, 8)
    assert data.x_train[:, 1, 7, 7].tolist() == [0, 1, 10, 11, 12]


def test_a_size_can_be_part_of_the_name(folder: Path) -> None:
    save(folder / "train" / "ring" / "wide.png", 12, size=(6, 30))
    data = load_dataset(f"{folder}@8")
    assert data.name == "shapes@8"
    assert data.image_shape == (3, 8, 8)
    assert data.x_train[:, 1, 7, 7].tolist() == [0, 1, 10, 11, 12]
    assert load_dataset(f"{folder}@9").image_shape == (3, 9, 9)


def test_a_folder_whose_name_looks_like_a_size(folder: Path) -> None:
    data = load_dataset(str(folder.rename(folder.with_name("shapes@8"))))
    assert (data.name, data.image_shape) == ("shapes@8", (3, 6, 4))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("digits@8", "a size is for image folders; digits is none"),
        ("imagenet64@8", "a size is for image folders; imagenet64 is none"),
        ("digitz@8", "a size is for image folders; digitz is none"),
        ("shapes@0", "size in pixels is 0; it must be 1 or more"),
    ],
)
def test_sizes_that_cannot_be(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_dataset(name)


def test_sizes_that_differ_are_refused(folder: Path) -> None:
    save(folder / "train" / "ring" / "wide.png", 12, size=(6, 30))
    with pytest.raises(DataError, match=r"wide\.png: is of size \(6, 30\), .*0\.png of \(6, 4\)"):
        load_dataset(str(folder))


def test_an_unreadable_image_is_named(folder: Path) -> None:
    (folder / "train" / "ring" / "broken.png").write_text("no image")
    with pytest.raises(DataError, match=r"broken\.png: cannot be read as an image"):
        load_dataset(str(folder))


def test_a_truncated_image_is_named(folder: Path) -> None:
    path = folder / "test" / "box" / "0.png"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(DataError, match=r"0\.png: cannot be read as an image"):
        load_dataset(str(folder))


def test_a_class_in_test_alone_is_named(folder: Path) -> None:
    save(folder / "test" / "star" / "0.png", 1)
    with pytest.raises(DataError, match="test: class 'star' is not in"):
        load_dataset(str(folder))


def test_an_empty_class_is_named(folder: Path) -> None:
    (folder / "train" / "star").mkdir()
    with pytest.raises(DataError, match=r"star: holds no image; allowed: \.jpg"):
        load_dataset(str(folder))


def test_a_class_of_one_image_is_named(folder: Path) -> None:
    (folder / "train" / "box" / "1.png").unlink()
    with pytest.raises(DataError, match="class 'box' has 1 training images"):
        load_dataset(str(folder))


def test_a_folder_without_splits(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds train/CLASS/ and test/CLASS/"):
        load_dataset(str(tmp_path))


def test_a_test_set_without_classes(folder: Path) -> None:
    for name in ("box", "ring"):
        (folder / "test" / name / "0.png").rename(folder / "test" / f"{name}.png")
        (folder / "test" / name).rmdir()
    with pytest.raises(DataError, match="holds no class folder"):
        load_dataset(str(folder))


def test_a_size_is_for_folders_only() -> None:
    with pytest.raises(InputError, match="a size is for image folders; digits is none"):
        load_dataset("digits", size=(8, 8))


@pytest.mark.parametrize(
    ("mode", "colour", "ending", "expected"),
    [
        ("1", 1, "png", [255, 255, 255]),
        ("L", 9, "png", [9, 9, 9]),
        ("LA", (9, 0), "png", [9, 9, 9]),
        ("RGBA", (1, 2, 3, 0), "png", [1, 2, 3]),
        ("CMYK", (0, 255, 255, 0), "tiff", [255, 0, 0]),
    ],
)
def test_modes_of_eight_bits_become_rgb(
    folder: Path, mode: str, colour: int | tuple[int, ...], ending: str, expected: list[int]
) -> None:
    path = folder / "train" / "box" / f"9.{ending}"
    Image.new(mode, (4, 6), colour).save(path)
    data = load_dataset(str(folder))
    assert data.x_train[2, :, 5, 3].tolist() == expected


def test_a_palette_with_transparency_becomes_its_colours(folder: Path) -> None:
    image = Image.new("P", (4, 6), 1)
    image.putpalette([0, 0, 0, 7, 8, 9])
    image.save(folder / "train" / "box" / "9.png", transparency=bytes([0, 128]))
    assert load_dataset(str(folder)).x_train[2, :, 0, 0].tolist() == [7, 8, 9]


def test_sixteen_bits_are_refused_not_clipped(folder: Path) -> None:
    Image.new("I;16", (4, 6), 40000).save(folder / "train" / "box" / "9.png")
    with pytest.raises(DataError, match=r"9\.png: its mode is I;16; images of 8 bits a channel"):
        load_dataset(str(folder))


@pytest.mark.parametrize("limit", [10, 20])
def test_a_huge_image_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    """An image has 24 pixels: above the limit PIL warns, above twice the limit it refuses."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(DataError, match=rf"0\.png: is larger than {limit} pixels"):
        load_dataset(str(folder))


def test_bad_images_are_skipped_and_named(folder: Path) -> None:
    whole = load_dataset(str(folder))
    (folder / "train" / "box" / "-first.png").write_text("no image")
    Image.new("I;16", (4, 6)).save(folder / "test" / "ring" / "deep.png")
    data = load_dataset(str(folder), skip_bad_images=True)
    assert data.skipped == ("train/box/-first.png", "test/ring/deep.png")
    assert data.x_train.equal(whole.x_train)
    assert data.y_test.equal(whole.y_test)
    assert data.fingerprint != whole.fingerprint
    (folder / "test" / "ring" / "deep.png").unlink()
    (folder / "train" / "box" / "-first.png").unlink()
    assert load_dataset(str(folder), skip_bad_images=True).fingerprint == whole.fingerprint


def test_a_class_that_loses_its_images_is_named(folder: Path) -> None:
    (folder / "train" / "ring" / "0.png").write_text("no image")
    with pytest.raises(DataError, match="class 'ring' has 1 training images"):
        load_dataset(str(folder), skip_bad_images=True)


def test_a_split_without_a_readable_image(folder: Path) -> None:
    for name in ("box", "ring"):
        (folder / "test" / name / "0.png").write_text("no image")
    with pytest.raises(DataError, match="test: none of its 2 images can be read"):
        load_dataset(str(folder), skip_bad_images=True)


def test_skipping_is_for_folders_only() -> None:
    with pytest.raises(InputError, match="skipped in image folders; digits is none"):
        load_dataset("digits", skip_bad_images=True)


# What cameras, file managers and notebooks do to folders of photographs, as reported of others:
# orientation (facebookresearch/detectron2 #262, kohya-ss/sd-scripts #1316, v7labs/darwin-py #924,
# pytorch/vision #7977), companions of files (OpenNeuroOrg/openneuro #2520, alinlab/CSI #31),
# Thumbs.db (meetps/pytorch-semseg #83, d8ahazard/sd_dreambooth_extension #64), .DS_Store
# (pytorch/vision #79), folders of notebooks (pytorch/vision #2831, bytedance/Next-ViT #25,
# open-mmlab/mmpretrain #507).


@pytest.mark.parametrize("tag", range(1, 9))
@pytest.mark.parametrize("ending", ["jpg", "png", "tif"])
def test_photographs_that_viewers_show_alike_are_the_same_pixels(
    folder: Path, tag: int, ending: str
) -> None:
    scene = np.zeros((32, 16, 3), np.uint8)
    scene[:8], scene[8:16, :8] = 250, 120
    # Where a camera held so puts the scene's rows and columns, by the standard's table.
    stored = {
        1: scene,
        2: scene[:, ::-1],
        3: scene[::-1, ::-1],
        4: scene[::-1],
        5: scene.transpose(1, 0, 2),
        6: scene.transpose(1, 0, 2)[::-1],
        7: scene[::-1, ::-1].transpose(1, 0, 2),
        8: scene.transpose(1, 0, 2)[:, ::-1],
    }[tag]
    exif = Image.Exif()
    exif[0x0112] = tag
    save(folder / "train" / "box" / "0.png", 0, size=(32, 16))
    for old in folder.rglob("*.png"):
        Image.fromarray(scene).save(old)
    Image.fromarray(stored).save(folder / "train" / "box" / f"2.{ending}", exif=exif)
    data = load_dataset(str(folder))
    assert (data.x_train[2].int() - data.x_train[0].int()).abs().max() < 20  # JPEG is not exact


def test_orientation_can_be_left_as_it_is_stored_which_the_name_says(folder: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    stored = np.zeros((6, 4, 3), np.uint8)
    stored[0] = 200
    Image.fromarray(stored).save(folder / "train" / "box" / "0.png", exif=exif)
    turned, left = load_dataset(str(folder)), load_dataset(f"{folder}@stored")
    assert turned.x_train[0, 0, :, 0].tolist() == [0, 0, 0, 0, 0, 200]
    assert left.x_train[0, 0, :, 0].tolist() == [200, 0, 0, 0, 0, 0]
    assert (turned.name, left.name) == ("shapes", "shapes@stored")
    assert turned.fingerprint != left.fingerprint
    assert load_dataset(f"{folder}@8@stored").name == "shapes@8@stored"


def test_leaving_as_stored_is_for_folders_only() -> None:
    with pytest.raises(InputError, match="@stored is for image folders; digits is none"):
        load_dataset("digits@stored")


_NINTH_TURN = b"Exif\x00\x00MM\x00*" + bytes.fromhex("00000008 0001 0112 0003 00000001 0009 0000")


@pytest.mark.parametrize(
    "metadata",
    [
        {"exif": b"Exif\x00\x00MM\x00*\x00\x00"},
        {"exif": _NINTH_TURN + bytes(4)},
        {"xmp": b'<x:xmpmeta a:Orientation="\xa8">\xa8</x:xmpmeta>'},
    ],
    ids=["cut off", "no such turn", "not UTF-8"],
)
def test_damaged_metadata_does_not_matter(folder: Path, metadata: dict[str, Any]) -> None:
    """Over which others stumbled (huggingface/datasets #7668, python-pillow/Pillow #8605)."""
    file = folder / "train" / "box" / "0.jpg"
    Image.new("RGB", (4, 6), (7, 7, 7)).save(file, **metadata)
    assert load_dataset(str(folder)).x_train[0, 0, 0, 0] == 7


def test_what_file_managers_leave_is_no_image_and_no_class(folder: Path) -> None:
    before = load_dataset(str(folder))
    box = folder / "train" / "box"
    for name in ("._0.png", ".DS_Store", ".hidden.png", "Thumbs.db", "desktop.ini"):
        (box / name).write_bytes(b"\x00\x05\x16\x07" + bytes(60))
    for place in ("__MACOSX/train/box", "train/@eaDir", "train/.thumbnails", "test/__MACOSX"):
        save(folder / place / "0.png", 3)
    # Of a notebook: without an image beside the classes, with a copy within one.
    (folder / "train" / ".ipynb_checkpoints").mkdir()
    save(box / ".ipynb_checkpoints" / "0-checkpoint.png", 3)
    data = load_dataset(str(folder))
    assert data.skipped == ()
    assert data.fingerprint == before.fingerprint


@pytest.mark.parametrize(
    ("train", "test"),
    [("Train", "Test"), ("training", "testing"), ("TRAIN", "valid"), ("train", "Validation")],
)
def test_other_spellings_of_splits(folder: Path, train: str, test: str) -> None:
    """Such as one tool writes and another does not read (roboflow/roboflow-python #153,
    huggingface/datasets #4839)."""
    before = load_dataset(str(folder))
    (folder / "train").rename(folder / train)
    (folder / "test").rename(folder / test)
    assert load_dataset(str(folder)).fingerprint == before.fingerprint


def test_two_spellings_of_one_split_are_refused(folder: Path) -> None:
    (folder / "training").mkdir()
    with pytest.raises(DataError, match="holds train and training, of which one can be meant"):
        load_dataset(str(folder))


def test_classes_without_splits_are_told_where_they_belong(folder: Path) -> None:
    for name in ("box", "ring"):
        (folder / "train" / name).rename(folder / name)
        (folder / "test" / name / "0.png").unlink()
        (folder / "test" / name).rmdir()
    for name in ("train", "test"):
        (folder / name).rmdir()
    with pytest.raises(DataError, match=r"it holds box, ring, of images: move some of each to tes"):
        load_dataset(str(folder))


def test_classes_within_classes_are_told_how_to_lie(folder: Path) -> None:
    (folder / "train" / "box").rename(folder / "train" / "small")
    (folder / "train" / "box").mkdir()
    (folder / "train" / "small").rename(folder / "train" / "box" / "small")
    message = "box: holds no image but small/, which does; classes lie right below train/"
    with pytest.raises(DataError, match=message):
        load_dataset(str(folder))
