"""Curves, samples and bits of records, packed: columns of numbers, compressed.

They are nearly all of a record and no listing reads them, so a store keeps them apart. A column is
one field of all epochs, or all samples. Floats of all columns lie together, their first bytes
first, then their second: so zlib finds what is alike. Every bit of a float comes back.
"""

from __future__ import annotations

import base64
import binascii
import struct
import zlib
from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json, to_json

from blockzoo.results.records import EpochMetrics, LatencyRecord, Record, TrainingRecord

SERIES: dict[str, tuple[str, ...]] = {
    "training": ("test_class_accuracy", "epochs", "test_correct"),
    "latency": ("samples_ms", "rounds"),
}
"""The fields that are packed, by kind of record."""

_LARGEST_BYTES = 2**28
"""Unpacked; thousands of times what the longest timing takes."""
_LENGTH = struct.Struct("<I")
_INTEGER, _FLOAT = np.dtype("<i8"), np.dtype("<f8")
_NORMS = "gradient_norms"
_Columns = dict[str, list[Any]]


def packed_series(record: Record) -> bytes | None:
    """Return the series of a record, packed; None where its kind has none."""
    if isinstance(record, TrainingRecord):
        columns = _columns_of(record.epochs)
        columns["test_class_accuracy"] = list(record.test_class_accuracy)
        return _packed(columns, record.test_correct)
    if isinstance(record, LatencyRecord):
        return _packed({"samples_ms": list(record.samples_ms), "rounds": list(record.rounds)}, None)
    return None


def unpacked_series(data: bytes) -> dict[str, Any]:
    """Return the fields that were packed, as a record's document has them.

    Those that hold nothing are left out. Raises `ValueError` for what was not packed here.
    """
    try:
        return _unpacked(data)
    except (zlib.error, struct.error, ValueError, KeyError, TypeError, IndexError) as error:
        raise ValueError(f"series: {error}") from None


class Skimmed(NamedTuple):
    """Of a training's series what is of use without the rest."""

    val_accuracies: array[float]
    """By epoch; empty where an epoch lacks it."""
    test_correct: str | None


_CURVE = "epochs.val_accuracy"


def skimmed_series(data: bytes) -> Skimmed:
    """Return curve and answers alone, which takes a fifth of the time.

    Raises `ValueError` for what was not packed here.
    """
    try:
        text, header, at = _opened(data)
        columns: _Columns = {}
        wanted = [entry for entry in header["floats"] if entry[0] == _CURVE]
        if wanted and not wanted[0][2]:
            _unshuffled(text, at, header["floats"], _FLOAT, columns)
        answers = header["answers"]
        bits = None if answers is None else base64.b64encode(text[len(text) - answers :]).decode()
        bits = header["others"].get("test_correct", bits)
        return Skimmed(array("d", columns.get(_CURVE, ())), bits)
    except (zlib.error, struct.error, ValueError, KeyError, TypeError, IndexError) as error:
        raise ValueError(f"series: {error}") from None


def skimmed_document(document: Mapping[str, Any]) -> Skimmed:
    """Return the same of a record's document, as older stores keep it.

    >>> skimmed_document({"epochs": [{"val_accuracy": 0.5}], "test_correct": "gA=="})
    Skimmed(val_accuracies=array('d', [0.5]), test_correct='gA==')
    """
    values = [epoch.get("val_accuracy") for epoch in document.get("epochs", ())]
    known = [value for value in values if isinstance(value, int | float)]
    curve = known if len(known) == len(values) else []
    return Skimmed(array("d", curve), document.get("test_correct"))


def _columns_of(epochs: Sequence[Any]) -> _Columns:
    """Return the fields of all epochs by column; a part of the network is a column of its own."""
    rows = [vars(epoch) for epoch in epochs]
    names = rows[0].keys() if rows else ()
    columns = {f"epochs.{name}": [row[name] for row in rows] for name in names if name != _NORMS}
    norms = [row[_NORMS] for row in rows]
    parts = list(norms[0]) if norms else []
    if parts and all(list(each) == parts for each in norms):
        return columns | {f"{_NORMS}.{part}": [each[part] for each in norms] for part in parts}
    return columns | {f"epochs.{_NORMS}": norms}


def _packed(columns: _Columns, bits: str | None) -> bytes:
    floats: list[NDArray[Any]] = []
    integers: list[NDArray[Any]] = []
    header: dict[str, Any] = {"floats": [], "integers": [], "nothing": [], "others": {}}
    for name, values in columns.items():
        missing = [index for index, value in enumerate(values) if value is None]
        kinds = {type(value) for value in values} - {type(None)}
        if not kinds:
            header["nothing"] += [[name, len(values)]] if values else []
        elif kinds == {float}:
            floats.append(np.array([0.0 if v is None else v for v in values], dtype=_FLOAT))
            header["floats"].append([name, len(values), missing])
        elif kinds == {int} and not missing:
            integers.append(np.array(values, dtype=_INTEGER))
            header["integers"].append([name, len(values)])
        else:
            header["others"][name] = values
    answers = _bytes_of(bits)
    if bits is not None and answers is None:
        header["others"]["test_correct"] = bits
    header["answers"] = None if answers is None else len(answers)
    text = to_json(header)
    parts = (_LENGTH.pack(len(text)), text, _shuffled(floats), _shuffled(integers), answers or b"")
    return zlib.compress(b"".join(parts))


def _bytes_of(bits: str | None) -> bytes | None:
    """Return what base64 text says; None where the text would not come back as it is."""
    try:
        found = None if bits is None else base64.b64decode(bits, validate=True)
    except (binascii.Error, ValueError):
        return None
    return found if found is not None and base64.b64encode(found).decode() == bits else None


def _shuffled(arrays: Sequence[NDArray[Any]]) -> bytes:
    if not arrays:
        return b""
    return np.concatenate(arrays).view(np.uint8).reshape(-1, 8).T.tobytes()


def _opened(data: bytes) -> tuple[bytes, dict[str, Any], int]:
    """Return the series inflated, what they say of themselves, and where numbers begin."""
    inflate = zlib.decompressobj()
    text = inflate.decompress(data, _LARGEST_BYTES)
    if not inflate.eof or inflate.unused_data:
        raise ValueError("they are cut off, or too large")
    (length,) = _LENGTH.unpack_from(text)
    at = _LENGTH.size + length
    return text, from_json(text[_LENGTH.size : at]), at


def _unpacked(data: bytes) -> dict[str, Any]:
    text, header, at = _opened(data)
    columns: _Columns = {}
    at = _unshuffled(text, at, header["floats"], _FLOAT, columns)
    at = _unshuffled(text, at, header["integers"], _INTEGER, columns)
    columns |= {name: [None] * length for name, length in header["nothing"]}
    found = _fields(columns | header["others"])
    if header["answers"] is not None:
        found["test_correct"] = base64.b64encode(text[at : at + header["answers"]]).decode()
        at += int(header["answers"])
    if at != len(text):
        raise ValueError("they are not as long as they say")
    return found


def _unshuffled(
    text: bytes,
    at: int,
    entries: Iterable[Sequence[Any]],
    dtype: np.dtype[Any],
    columns: _Columns,
) -> int:
    """Add the columns of those numbers, which begin at `at`; return where they end."""
    entries = list(entries)
    count = int(sum(entry[1] for entry in entries))
    shuffled = np.frombuffer(text, dtype=np.uint8, count=8 * count, offset=at)
    values = np.ascontiguousarray(shuffled.reshape(8, count).T).view(dtype).ravel().tolist()
    start = 0
    for name, length, *missing in entries:
        columns[name] = values[start : start + length]
        for index in missing[0] if missing else ():
            columns[name][index] = None
        start += length
    return at + 8 * count


def _fields(columns: Mapping[str, list[Any]]) -> dict[str, Any]:
    """Return the fields that the columns are of; those of epochs put together."""
    of_epochs = {n.removeprefix("epochs."): c for n, c in columns.items() if n[:7] == "epochs."}
    norms = {n.removeprefix(f"{_NORMS}."): c for n, c in columns.items() if n.startswith(_NORMS)}
    found = {n: c for n, c in columns.items() if not n.startswith(("epochs.", f"{_NORMS}."))}
    if norms:
        of_epochs[_NORMS] = [dict(zip(norms, row, strict=True)) for row in _rows(norms)]
    if of_epochs:
        of_epochs = {n: of_epochs[n] for n in EpochMetrics.model_fields if n in of_epochs}
        found["epochs"] = [dict(zip(of_epochs, row, strict=True)) for row in _rows(of_epochs)]
    return found


def _rows(columns: Mapping[str, list[Any]]) -> Iterable[tuple[Any, ...]]:
    return zip(*columns.values(), strict=True)
