"""Image folders with something wrong in them, given to the command line as files on disk."""

from __future__ import annotations

import logging
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from blockzoo.cli.app import app
from blockzoo.core.errors import DataError
from blockzoo.data.decoding.image_files import Resizing, read_image, strict_images
from blockzoo.results.table.csv import read_results_csv

SETTINGS = ["--width", "4", "--depth", "1", "--epochs", "1", "--device", "cpu"]
Train = Callable[..., tuple[int, str]]


@pytest.fixture
def shapes(tmp_path: Path) -> Path:
    """Two classes, each of three training images and one test image, 8x8."""
    folder = tmp_path / "shapes"
    for label, name in enumerate(("box", "ring")):
        for place in ("train/{}/0", "train/{}/1", "train/{}/2", "test/{}/0"):
            path = folder / f"{place.format(name)}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (100 * label, 50, 200)).save(path)
    return folder


@pytest.fixture
def train(shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    """Train on that folder; returns exit status and standard error."""
    monkeypatch.chdir(tmp_path)

    def invoke(*options: str) -> tuple[int, str]:
        command = ["train", "Identity", "--dataset", str(shapes), *SETTINGS, *options]
        result = CliRunner().invoke(app, command)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.stderr

    return invoke


def encoded(form: str, mode: str = "RGB") -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    file = BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, form)
    return file.getvalue()


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]


def huge_png() -> bytes:
    """The head of a PNG of 30,000 x 30,000 pixels, ten times what Pillow reads."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    length, checksum = struct.pack(">I", len(chunk) - 4), struct.pack(">I", zlib.crc32(chunk))
    return b"\x89PNG\r\n\x1a\n" + length + chunk + checksum + struct.pack(">I", 100) + b"IDAT"


def deep(form: str, mode: str) -> bytes:
    file = BytesIO()
    Image.new(mode, (8, 8)).save(file, form)
    return file.getvalue()


BAD = {
    "empty.png": (b"", "cannot be read as an image"),
    "text.jpg": (b"no image", "cannot be read as an image"),
    "truncated.png": (encoded("PNG")[:-60], "cannot be read as an image"),
    "truncated.jpg": (encoded("JPEG")[:-60], "cannot be read as an image"),
    "damaged.png": (flipped(encoded("PNG"), 60), "cannot be read as an image"),
    "huge.png": (huge_png(), "is larger than 89478485 pixels, the most that is read"),
    "deep.png": (deep("PNG", "I;16"), "its mode is I;16; images of 8 bits a channel are read"),
    "float.tiff": (deep("TIFF", "F"), "its mode is F; images of 8 bits a channel are read"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_image_is_one_line_that_names_it(name: str, shapes: Path, train: Train) -> None:
    content, reason = BAD[name]
    bad = shapes / "train" / "ring" / name
    bad.write_bytes(content)
    status, error = train()
    assert status == 2
    assert error.startswith(f"error: {bad}: {reason}")
    assert error.count("\n") == 1


def test_bad_images_of_all_kinds_are_skipped_and_counted(
    shapes: Path, train: Train, tmp_path: Path
) -> None:
    for name, (content, _) in BAD.items():
        (shapes / "train" / "ring" / name).write_bytes(content)
    (shapes / "test" / "box" / "gone.png").symlink_to("nothing.png")
    status, error = train("--skip-bad-images")
    assert status == 0
    assert "skipped 9 bad images, first train/ring/damaged.png" in error
    (row,) = read_results_csv(tmp_path / "results" / "results.csv")
    assert row["status"] == "ok"
    assert 0 <= float(row["test_acc"]) <= 1


def test_a_link_to_nothing_is_named(shapes: Path, train: Train) -> None:
    link = shapes / "train" / "box" / "gone.png"
    link.symlink_to("nothing.png")
    status, error = train()
    assert (status, error.count("\n")) == (2, 1)
    assert error.startswith(f"error: {link}: cannot be read as an image")


def test_an_empty_class_and_a_class_of_one_image_are_named(shapes: Path, train: Train) -> None:
    (shapes / "train" / "star").mkdir()
    status, error = train()
    assert (status, error.count("\n")) == (2, 1)
    assert error.startswith(f"error: {shapes / 'train' / 'star'}: holds no image")
    (shapes / "train" / "ring" / "0.png").rename(shapes / "train" / "star" / "0.png")
    for options in ((), ("--skip-bad-images",)):
        status, error = train(*options)
        assert (status, error.count("\n")) == (2, 1)
        assert "class 'star' has 1 training images" in error


@pytest.mark.parametrize(
    ("form", "mode"),
    [("JPEG", "CMYK"), ("PNG", "P"), ("PNG", "RGBA"), ("PNG", "1"), ("TIFF", "YCbCr")],
)
def test_other_modes_of_eight_bits_are_trained_on(
    form: str, mode: str, shapes: Path, train: Train
) -> None:
    ending = {"JPEG": "jpg", "PNG": "png", "TIFF": "tiff"}[form]
    (shapes / "train" / "ring" / f"other.{ending}").write_bytes(encoded(form, mode))
    status, error = train()
    assert status == 0
    assert "skipped" not in error


def test_whatever_a_reader_raises_names_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(_: object) -> None:
        raise struct.error("unpack requires a buffer of 4 bytes")

    monkeypatch.setattr(Image, "open", stumble)
    with pytest.raises(DataError, match=r"odd: cannot be read as an image \(unpack requires"):
        read_image(BytesIO(), Resizing(), "odd")


def test_what_a_reader_logs_of_a_damaged_file_is_not_shown(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a handler logging prints on standard error, and pytest has one of its own."""
    monkeypatch.setattr(logging.getLogger("PIL"), "propagate", False)
    before = list(logging.getLogger("PIL").handlers)
    with strict_images():
        logging.getLogger("PIL.TiffImagePlugin").error("more samples than can be decoded")
    assert capfd.readouterr().err == ""
    assert logging.getLogger("PIL").handlers == before


def blockzoo(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "blockzoo", *arguments],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_one_corrupt_file_among_ten_thousand(tmp_path: Path) -> None:
    """Real processes: the file is named in one line; on request it is skipped and counted."""
    for split, count in (("train", 4500), ("test", 500)):
        for name in ("box", "ring"):
            place = tmp_path / "many" / split / name
            place.mkdir(parents=True)
            for number in range(count):
                (place / f"{number:04}.png").write_bytes(SMALL[name])
    corrupt = tmp_path / "many" / "train" / "ring" / "3141.png"
    corrupt.write_bytes(flipped(SMALL["ring"], len(SMALL["ring"]) // 2))
    command = ["train", "Identity", "--dataset", "many", "--batch-size", "512", *SETTINGS]
    refused = blockzoo(*command, folder=tmp_path)
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert refused.stderr.startswith("error: many/train/ring/3141.png: cannot be read as an image")
    assert refused.stderr.endswith("; with --skip-bad-images it is left out\n")
    skipped = blockzoo(*command, "--skip-bad-images", folder=tmp_path)
    assert skipped.returncode == 0, skipped.stderr
    assert "skipped 1 bad images, first train/ring/3141.png" in skipped.stderr
    (row,) = read_results_csv(tmp_path / "results" / "results.csv")
    assert (row["dataset"], row["status"]) == ("many", "ok")


SMALL = {"box": encoded("PNG"), "ring": encoded("PNG", "L")}
