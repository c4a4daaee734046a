"""Which test images were answered rightly: one bit an image, kept with every training.

It cannot be had again later, and without it no interval can be given that holds for new images.
Packed are eight images a byte, the first in the highest bit, the last byte filled up with zeros;
as base64 text 10,000 images take 1.7 KB.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from blockzoo.core.errors import ResultsError
from blockzoo.core.files import replacing
from blockzoo.results.records import Record, TrainingRecord
from blockzoo.results.store.database import Store

Bits = NDArray[np.bool_]


def packed(correct: Bits) -> str:
    """Return the bits (N,) as text.

    >>> packed(np.array([True, False, False, False, False, False, False, True, True]))
    'gYA='
    """
    return base64.b64encode(np.packbits(correct).tobytes()).decode()


def unpacked(text: str, images: int) -> Bits:
    """Return the bits (images,) of that text; raises `ResultsError` where it is of other images.

    >>> unpacked("gYA=", 9).tolist().count(True)
    3
    """
    try:
        packed_bytes = np.frombuffer(base64.b64decode(text, validate=True), dtype=np.uint8)
    except (binascii.Error, ValueError) as error:
        raise ResultsError(f"answers to test images are no base64 text ({error})") from None
    bits = np.unpackbits(packed_bytes).astype(bool)
    if len(packed_bytes) != -(-images // 8) or bits[images:].any():
        raise ResultsError(f"answers to test images are {len(packed_bytes)} bytes for {images}")
    return bits[:images]


class Answered(Protocol):
    """What of a training says which test images were answered rightly; a record has it."""

    @property
    def trial_id(self) -> str: ...  # noqa: D102
    @property
    def test_accuracy(self) -> float | None: ...  # noqa: D102
    @property
    def test_images(self) -> int | None: ...  # noqa: D102
    @property
    def test_correct(self) -> str | None: ...  # noqa: D102


def answers_of(record: Answered) -> Bits | None:
    """Return which test images were answered rightly, in their order.

    Args:
        record: A training.

    Returns:
        bool (images,), or None if that was not kept.

    Raises:
        ResultsError: Where the bits are not those of the record's images, naming it.

    Example:
        >>> from blockzoo import ScaffoldConfig, get_recipe, load_dataset, train_block
        >>> digits, tiny = load_dataset("digits"), ScaffoldConfig(width=4, depth=1)
        >>> brief = get_recipe("quick").lasting(1)
        >>> record = train_block(
        ...     "Identity", "mid", dataset=digits, recipe=brief, seed=0, config=tiny
        ... )
        >>> answers_of(record).shape == (len(digits.x_test),)
        True
    """
    if record.test_correct is None or record.test_images is None:
        return None
    try:
        bits = unpacked(record.test_correct, record.test_images)
    except ResultsError as error:
        raise ResultsError(f"record {record.trial_id}: {error}") from None
    if record.test_accuracy is not None and not math.isclose(bits.mean(), record.test_accuracy):
        raise ResultsError(
            f"record {record.trial_id}: {int(bits.sum())} of {len(bits)} test images answered "
            f"rightly make no accuracy of {record.test_accuracy}"
        )
    return bits


def export_answers(source: Store | Iterable[Record], path: str | Path) -> int:
    """Write the answers of all trainings that have some to an `.npz`; return how many those are.

    The file holds one array of bool (images,) for each, named by its trial id. Records of one data
    set fingerprint have the same images in the same order. Raises what `answers_of` does, and
    `ResultsError` when the file cannot be written.

    >>> export_answers([], "answers.npz")
    0
    """
    records = source.records() if isinstance(source, Store) else source
    found = {r.trial_id: answers_of(r) for r in records if isinstance(r, TrainingRecord)}
    arrays = {identity: bits for identity, bits in found.items() if bits is not None}
    with replacing(path) as scratch, scratch.open("wb") as file:
        # Of a file and not of a name, to which numpy would add its own suffix.
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    return len(arrays)
