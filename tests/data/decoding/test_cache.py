from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blockzoo.core.errors import DataError
from blockzoo.data import load_dataset
from blockzoo.data.decoding.cache import DecodedImages, ImageSource, decoded

SIDE = 5


def picture(index: int) -> np.ndarray:
    """An image that no other index has."""
    return np.random.default_rng(index).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


class Counted:
    """A source of `count` pictures that counts what is read; those in `bad` cannot be."""

    def __init__(self, count: int, bad: tuple[int, ...] = ()) -> None:
        self.count, self.bad, self.read_indices = count, bad, [-1]

    def read(self, index: int) -> np.ndarray:
        self.read_indices.append(index)
        if index in self.bad:
            raise DataError(f"image {index} is bad")
        return picture(index)

    def decode(self, folder: Path, skip_bad: bool = False) -> DecodedImages:
        self.read_indices.clear()
        names = [str(index) for index in range(self.count)]
        source = ImageSource(names=names, key=[self.count], read=self.read)
        return decoded(source, folder, skip_bad=skip_bad)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blockzoo.data.decoding.cache.CHUNK_BYTES", 4 * SIDE * SIDE * 3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of 60 training images and 5 test images, each of random pixels."""
    root = tmp_path / "noise"
    for label, name in enumerate(("box", "ring")):
        for split, count in (("train", 60), ("test", 5)):
            place = root / split / name
            place.mkdir(parents=True)
            for number in range(count):
                Image.fromarray(picture(1000 * label + number)).save(place / f"{number:03}.png")
    return root


@pytest.mark.usefixtures("small_chunks")
def test_pixels_come_as_they_were_read_and_only_once(tmp_path: Path) -> None:
    counted = Counted(10)
    first = counted.decode(tmp_path)
    assert sorted(set(counted.read_indices)) == list(range(10))
    assert not first.bad.any()
    expected = np.stack([picture(index).transpose(2, 0, 1) for index in range(10)])
    assert np.array_equal(first.pixels, expected)
    again = counted.decode(tmp_path)
    assert counted.read_indices == []
    assert np.array_equal(again.pixels, expected)
    with pytest.raises(ValueError, match="read-only"):
        again.pixels[0] = 0


@pytest.mark.usefixtures("small_chunks")
def test_bad_images_are_remembered(tmp_path: Path) -> None:
    counted = Counted(10, bad=(0, 5, 9))
    expected = np.stack([picture(index).transpose(2, 0, 1) for index in (1, 2, 3, 4, 6, 7, 8)])
    for reads in (True, False):
        found = counted.decode(tmp_path, skip_bad=True)
        assert bool(counted.read_indices) is reads
        assert np.flatnonzero(found.bad).tolist() == [0, 5, 9]
        assert np.array_equal(found.pixels, expected)
    with pytest.raises(DataError, match="image 0 is bad"):
        counted.decode(tmp_path)
    cache = next(tmp_path.iterdir())
    assert sorted(file.name for file in cache.iterdir()) == [
        "complete",
        "packed.u8",
        "shape.json",
        "state.u8",
    ]


@pytest.mark.usefixtures("small_chunks")
def test_what_was_decoded_before_a_bad_image_is_kept(tmp_path: Path) -> None:
    counted = Counted(10, bad=(5,))
    with pytest.raises(DataError, match="image 5 is bad"):
        counted.decode(tmp_path)
    counted.decode(tmp_path, skip_bad=True)
    assert sorted(counted.read_indices) == [0, 8, 9]  # the first gives the size


def test_images_that_are_all_bad(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="0: cannot be read, and no other image either"):
        Counted(3, bad=(0, 1, 2)).decode(tmp_path, skip_bad=True)


def test_another_key_is_another_cache(tmp_path: Path) -> None:
    Counted(3).decode(tmp_path)
    Counted(4).decode(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("name", ["images.u8", "state.u8", "shape.json"])
def test_a_damaged_cache_is_named(tmp_path: Path, name: str) -> None:
    Counted(3).decode(tmp_path)
    cache = next(tmp_path.iterdir())
    (cache / name).unlink()
    with pytest.raises(DataError, match=f"{cache.name}: the cache of decoded images cannot be us"):
        Counted(3).decode(tmp_path)


def test_a_cut_cache_is_named(tmp_path: Path) -> None:
    Counted(3).decode(tmp_path)
    os.truncate(next(tmp_path.iterdir()) / "images.u8", 10)
    with pytest.raises(DataError, match="delete it, or set another data folder"):
        Counted(3).decode(tmp_path)


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="the cache of decoded images cannot be used"):
        Counted(3).decode(tmp_path / "file")


def no_image_may_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("an image was opened")

    monkeypatch.setattr(Image, "open", refuse)


def test_a_folder_is_decoded_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[float, str]] = []
    first = load_dataset(str(folder), progress=lambda *told: seen.append(told))
    assert seen[-1] == (1.0, "130 of 130 images decoded")
    with monkeypatch.context() as patched:
        no_image_may_be_opened(patched)
        again = load_dataset(str(folder))
    assert again.fingerprint == first.fingerprint
    assert again.x_test.equal(first.x_test)
    (folder / "train" / "box" / "000.png").write_bytes(
        (folder / "train" / "ring" / "000.png").read_bytes()
    )
    changed = load_dataset(str(folder))
    assert changed.x_train[0].equal(first.x_train[60])
    assert changed.fingerprint != first.fingerprint


def test_skipped_images_of_a_folder_are_not_opened_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "train" / "ring" / "-bad.png").write_text("no image")
    first = load_dataset(str(folder), skip_bad_images=True)
    no_image_may_be_opened(monkeypatch)
    again = load_dataset(str(folder), skip_bad_images=True)
    assert again.skipped == first.skipped == ("train/ring/-bad.png",)
    assert again.fingerprint == first.fingerprint


def test_the_fingerprint_of_a_large_folder_is_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = load_dataset(str(folder))
    monkeypatch.setattr("blockzoo.data.decoding.decoded_dataset.LARGE_BYTES", 0)
    first = load_dataset(str(folder))
    kept = next(Path(os.environ["BLOCKZOO_DATA"]).glob("cache/*/fingerprint-*"))
    assert kept.read_text() == first.fingerprint == small.fingerprint
    kept.write_text("0123456789abcdef")
    again = load_dataset(str(folder))
    assert again.fingerprint == "0123456789abcdef"
    assert replace(again, name="copy").fingerprint == small.fingerprint
    changed = replace(again, x_test=255 - again.x_test)
    assert changed.fingerprint not in (small.fingerprint, again.fingerprint)
    (folder / "test" / "box").rename(folder / "test" / "later")
    (folder / "train" / "box").rename(folder / "train" / "later")
    assert load_dataset(str(folder)).fingerprint != small.fingerprint


_KILLED_ITSELF = """
import os, signal, sys
from blockzoo.data import load_dataset
from blockzoo.data.decoding import cache as decode_cache
decode_cache.CHUNK_BYTES = 3000  # 40 images
write, left = decode_cache._to_disk, [int(sys.argv[2])]
def killed_in_the_midst(file):
    write(file)
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
decode_cache._to_disk = killed_in_the_midst
load_dataset(sys.argv[1], skip_bad_images=True)
"""


@pytest.mark.parametrize("moment", [1, 2, 3, 6, 9])
def test_a_decode_that_is_killed_goes_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    """Killed between two chunks, between pixels and their states, and while gaps are closed."""
    (folder / "train" / "ring" / "-bad.png").write_text("no image")
    whole = load_dataset(str(folder), skip_bad_images=True, data_dir=tmp_path / "whole")
    monkeypatch.setenv("BLOCKZOO_DATA", str(tmp_path / "killed"))
    command = [sys.executable, "-c", _KILLED_ITSELF, str(folder), str(moment)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    cache = next((tmp_path / "killed" / "cache").iterdir())
    assert not (cache / "complete").exists()
    states = np.fromfile(cache / "state.u8", dtype=np.uint8)
    assert int((states > 0).sum()) == min(40 * (moment // 2), 131)
    told: list[float] = []
    resumed = load_dataset(
        str(folder), skip_bad_images=True, progress=lambda fraction, _: told.append(fraction)
    )
    assert len(told) == (0 if moment == 9 else 1)  # one chunk of the usual size does the rest
    for name in ("x_train", "y_train", "x_test", "y_test"):
        assert getattr(resumed, name).equal(getattr(whole, name))
    assert resumed.skipped == whole.skipped
    assert resumed.fingerprint == whole.fingerprint
