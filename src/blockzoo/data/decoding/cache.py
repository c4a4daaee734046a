"""Images decoded once, kept as bytes on disk, and mapped into memory from then on.

A cache is a folder named after everything its pixels depend on:

- `shape.json`: height and width of every image, known once the first was decoded,
- `images.u8`: the pixels, uint8 (N, 3, H, W),
- `state.u8`: one byte per image: to do, decoded, or bad,
- `packed.u8`: the pixels without the bad images, in place of `images.u8` where there are any,
- `complete`: an empty file, made last: nothing is left to do.

Pixels reach the disk before their states do, so that a decode that is killed goes on where it was.
Two processes that decode the same images write the same bytes to the same places.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np

from blockzoo.core.errors import DataError
from blockzoo.data.decoding.image_files import strict_images
from blockzoo.data.image_dataset import Array

Progress = Callable[[float, str], None]
"""Called with the fraction that is done, 0 to 1, and a short text."""

CHUNK_BYTES = 2**25
"""Pixels decoded between two marks: the most that is decoded again after a kill."""

_RULES = "1"  # to be changed when the same images come to give other pixels
_TO_DO, _DECODED, _BAD = range(3)
_MAX_THREADS = 16


@dataclass(frozen=True, kw_only=True)
class ImageSource:
    """Images to be decoded.

    `names`: one per image, for messages. `key`: all that the pixels depend on. `read(index)`
    returns an image as RGB, uint8 (H, W, 3); it raises `DataError` for a bad one and is called
    from several threads, within `strict_images`.
    """

    names: Sequence[str]
    key: Iterable[object]
    read: Callable[[int], Array]


@dataclass(frozen=True, kw_only=True, eq=False)
class DecodedImages:
    """`pixels`: uint8 (N, 3, H, W) without the bad images, mapped from disk, read-only.

    `bad`: bool, one per image of the source: whether it was left out. `folder`: the cache.
    """

    pixels: Array
    bad: Array
    folder: Path


def decoded(
    source: ImageSource,
    folder: Path,
    *,
    skip_bad: bool = False,
    progress: Progress | None = None,
) -> DecodedImages:
    """Return the images of `source` out of their cache in `folder`, decoding what it lacks.

    Bad images are left out with `skip_bad`, else they end it. Images of more than one size are
    refused. Raises `DataError` naming the image, or the cache where that cannot be used.
    """
    cache = folder / _digest(source.key)
    try:
        with strict_images():
            if not (cache / "complete").exists():
                _Decode(source, cache, skip_bad).run(progress)
            bad = np.fromfile(cache / "state.u8", dtype=np.uint8) == _BAD
            if bad.any() and not skip_bad:
                # Marked by a call that skipped; why it is bad is not kept, so it is read again.
                first = _attempt(source, int(np.flatnonzero(bad)[0]))
                if isinstance(first, DataError):
                    raise _refused(first)
        return DecodedImages(pixels=_mapped(cache, bad), bad=bad, folder=cache)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{cache}: the cache of decoded images cannot be used ({error}); "
            f"delete it, or set another data folder"
        ) from error


def _attempt(source: ImageSource, index: int) -> Array | DataError:
    try:
        return source.read(index)
    except DataError as error:
        # Returned and not raised, for a map over threads ends at the first that raises.
        return error


def _refused(error: DataError) -> DataError:
    """Return the error of a bad image with what can be done about it."""
    return DataError(f"{error}; with --skip-bad-images it is left out")


def _digest(key: Iterable[object]) -> str:
    digest = hashlib.sha256(_RULES.encode())
    for part in key:
        digest.update(repr(part).encode() + b"\n")
    return digest.hexdigest()[:32]


def _mapped(cache: Path, bad: Array) -> Array:
    count = len(bad) - int(bad.sum())
    file = cache / ("packed.u8" if bad.any() else "images.u8")
    return np.memmap(file, dtype=np.uint8, mode="r", shape=(count, 3, *_size(cache)))


def _size(cache: Path) -> tuple[int, int]:
    height, width = json.loads((cache / "shape.json").read_text())
    return height, width


class _Decode:
    """Fills one cache, from wherever it stands."""

    def __init__(self, source: ImageSource, cache: Path, skip_bad: bool) -> None:
        self._source, self._cache, self._skip_bad = source, cache, skip_bad

    def run(self, progress: Progress | None) -> None:
        """Decode what is to do, leave out what is bad, and mark the cache as complete."""
        self._cache.mkdir(parents=True, exist_ok=True)
        self._first, self._size = self._first_size()
        self._image_bytes, count = 3 * self._size[0] * self._size[1], len(self._source.names)
        _grow(self._cache / "images.u8", count * self._image_bytes)
        _grow(self._cache / "state.u8", count)
        # What a decode that was killed has marked already is not done again.
        states = np.fromfile(self._cache / "state.u8", dtype=np.uint8)
        to_do = np.flatnonzero(states == _TO_DO)
        per_chunk = max(1, CHUNK_BYTES // self._image_bytes)
        pool = ThreadPoolExecutor(min(_MAX_THREADS, os.cpu_count() or 1))
        try:
            for start in range(0, len(to_do), per_chunk):
                self._decode_chunk(pool, to_do[start : start + per_chunk], states)
                if progress is not None:
                    done = int((states != _TO_DO).sum())
                    progress(done / count, f"{done} of {count} images decoded")
        finally:
            pool.shutdown(cancel_futures=True)
        self._pack(states)

    def _decode_chunk(self, pool: ThreadPoolExecutor, chunk: Array, states: Array) -> None:
        """Write the images of `chunk` (indices, ascending), then their states."""
        failures, read = [], partial(_attempt, self._source)
        with (self._cache / "images.u8").open("r+b") as pixels:
            for index, image in zip(chunk, pool.map(read, chunk.tolist()), strict=True):
                if isinstance(image, DataError):
                    failures.append(image)
                    states[index] = _BAD
                    continue
                self._check_size(index, image)
                pixels.seek(int(index) * self._image_bytes)
                pixels.write(image.transpose(2, 0, 1).tobytes())
                states[index] = _DECODED
            _to_disk(pixels)
        with (self._cache / "state.u8").open("r+b") as marks:
            marks.seek(int(chunk[0]))
            marks.write(states[chunk[0] : chunk[-1] + 1].tobytes())
            _to_disk(marks)
        if failures and not self._skip_bad:
            raise _refused(failures[0])

    def _first_size(self) -> tuple[str, tuple[int, int]]:
        """Return the first good image's name and its (height, width)."""
        for index, name in enumerate(self._source.names):
            image = _attempt(self._source, index)
            if not isinstance(image, DataError):
                write_whole(self._cache / "shape.json", json.dumps(image.shape[:2]).encode())
                return name, (image.shape[0], image.shape[1])
            if not self._skip_bad:
                raise _refused(image)
        raise DataError(f"{self._source.names[0]}: cannot be read, and no other image either")

    def _check_size(self, index: int, image: Array) -> None:
        if image.shape[:2] != self._size:
            raise DataError(
                f"{self._source.names[index]}: is of size {image.shape[:2]}, "
                f"{self._first} of {self._size}; "
                f"all must be of one size, or a size must be given, as in FOLDER@64"
            )

    def _pack(self, states: Array) -> None:
        """Close the gaps that bad images leave, in a second file, and mark the cache complete."""
        images, good = self._cache / "images.u8", np.flatnonzero(states == _DECODED)
        if len(good) == len(states):
            (self._cache / "complete").touch()
            return
        partial = self._cache / "packed.part"
        # Made, not emptied: another process may be writing the same bytes into it.
        _grow(partial, 0)
        with images.open("rb") as pixels, partial.open("r+b") as packed:
            for index in good.tolist():
                pixels.seek(index * self._image_bytes)
                packed.write(pixels.read(self._image_bytes))
            _to_disk(packed)
        with suppress(FileNotFoundError):  # another process was there first
            partial.replace(self._cache / "packed.u8")
        (self._cache / "complete").touch()
        with suppress(OSError):  # another process may still be reading it
            images.unlink()


def _grow(file: Path, size_bytes: int) -> None:
    """Make the file at least that long, with zeros at its end, and keep what it holds."""
    with file.open("ab") as opened:
        if opened.tell() < size_bytes:
            opened.truncate(size_bytes)


def _to_disk(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def write_whole(file: Path, content: bytes) -> None:
    """Write a small file so that it is never seen half written."""
    # A name for each process, so that two never write into one file.
    partial = file.with_name(f"{file.name}.{os.getpid()}")
    partial.write_bytes(content)
    partial.replace(file)
