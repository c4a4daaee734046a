"""Series come back bit for bit, and what was not packed here is refused."""

from __future__ import annotations

import base64
import sqlite3
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockzoo.results.records import EpochMetrics, TrainingRecord
from blockzoo.results.store.database import Store
from blockzoo.results.store.series import packed_series, unpacked_series
from tests.record_samples import cost, latency, training

FRACTIONS = st.floats(0, 1)
AMOUNTS = st.floats(0, allow_infinity=False)
NORMS = st.one_of(
    st.fixed_dictionaries({"stem": st.floats(), "epochs.head": st.floats()}),
    st.dictionaries(st.text(max_size=3), st.floats(), max_size=2),
)
EPOCHS = st.builds(
    EpochMetrics,
    epoch=st.integers(0, 2**63 - 1),
    learning_rate=AMOUNTS,
    train_loss=st.floats(),
    train_accuracy=FRACTIONS,
    val_loss=st.floats(),
    val_accuracy=FRACTIONS,
    seconds=AMOUNTS,
    train_top5_accuracy=st.none() | FRACTIONS,
    images_per_s=st.none() | AMOUNTS,
    gradient_norms=NORMS,
)


def bits(value: Any) -> Any:
    """Return the value with every float by its bits; only NaN may have others."""
    if isinstance(value, float):
        return "nan" if value != value else struct.pack("<d", value)
    if isinstance(value, dict):
        return [(name, bits(each)) for name, each in value.items()]
    return [bits(each) for each in value] if isinstance(value, list | tuple) else value


@given(
    st.lists(EPOCHS, max_size=4),
    st.lists(st.none() | FRACTIONS, max_size=4),
    st.none()
    | st.binary(max_size=9).map(lambda b: base64.b64encode(b).decode())
    | st.text(max_size=3),
)
@settings(max_examples=60, deadline=None)
def test_series_of_a_training_come_back_bit_for_bit(
    epochs: list[EpochMetrics], classes: list[float | None], correct: str | None
) -> None:
    record = training(epochs=epochs, test_class_accuracy=classes, test_correct=correct)
    head = record.model_dump(exclude={"epochs", "test_class_accuracy", "test_correct"})
    again = TrainingRecord(**head, **unpacked_series(packed_series(record) or b""))
    assert bits(again.model_dump()) == bits(record.model_dump())


@given(st.lists(AMOUNTS, max_size=9), st.lists(st.integers(0, 2**63 - 1), max_size=9))
@settings(max_examples=30, deadline=None)
def test_samples_and_rounds_come_back(samples: list[float], rounds: list[int]) -> None:
    record = latency(samples_ms=samples, rounds=rounds)
    found = unpacked_series(packed_series(record) or b"")
    assert (found.get("samples_ms", []), found.get("rounds", [])) == (samples, rounds)


def test_a_cost_has_none_and_curves_take_little_room() -> None:
    assert packed_series(cost()) is None
    one = training().epochs[0].model_copy(update={"train_loss": 1 / 3})
    kept = packed_series(training(epochs=(one,) * 50))
    assert kept is not None
    assert len(kept) < 600  # of 12,000 as JSON


WHOLE = packed_series(training(test_correct="gYA=")) or b""
EMPTY = b'{"floats":[],"integers":[],"nothing":[],"others":{},"answers":null}'


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nonsense",
        WHOLE[:-1],
        WHOLE + b"x",
        zlib.compress(b"\xff\xff\xff\xff{}"),
        zlib.compress(struct.pack("<I", 2) + b"[]"),
        zlib.compress(struct.pack("<I", len(EMPTY)) + EMPTY + b"more"),
        zlib.compress(struct.pack("<I", 44) + b'{"floats":[["a",9,[]]],"integers":[],"others":{}'),
    ],
)
def test_what_was_not_packed_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="series: "):
        unpacked_series(data)


def test_lines_of_a_store_are_the_records_as_json(tmp_path: Path) -> None:
    epochs = (training().epochs[0].model_copy(update={"gradient_norms": {"stem": 1e-300}}),) * 3
    odd: dict[str, Any] = {
        "val_loss": float("nan"),
        "test_loss": float("inf"),
        "test_correct": "gYA=",
    }
    records = [cost(), latency(rounds=(0, 1, 2)), training(epochs=epochs, **odd)]
    with Store(tmp_path, create=True) as store:
        store.put_all(records)
        lines = sorted(store.lines())
        assert lines == sorted(record.model_dump_json().encode() for record in records)
        assert [each.trial_id for each in store.bad_rows()] == []
    with sqlite3.connect(tmp_path / "blockzoo.db") as base:
        base.execute("DELETE FROM series WHERE trial_id = 'latency'")
    base.close()
    with Store(tmp_path) as store:
        assert len([*store.lines()]) == 2
        (bad,) = store.bad_rows()
        assert "record latency, is not a record: series: they are missing" in bad.reason
