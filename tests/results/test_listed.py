from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from blockzoo.analysis.summary import summarize
from blockzoo.results.listed import ListedLatency, ListedTraining, shortened
from blockzoo.results.records import EpochMetrics
from blockzoo.results.store.database import Store
from blockzoo.results.store.reading import parse_listed, parse_record
from blockzoo.results.store.schema import payload_of
from blockzoo.results.table.frame import load_results
from blockzoo.results.table.join import parted, result_rows
from tests.record_samples import after, cost, latency, training

EPOCH = EpochMetrics(
    epoch=1,
    learning_rate=0.1,
    train_loss=1.0,
    train_accuracy=0.5,
    val_loss=0.5,
    val_accuracy=0.8,
    seconds=6.0,
    # What ends the list for whoever reads text carelessly.
    gradient_norms={'}],"robustness":': 1.0, "]": 2.0},
)


def test_a_listed_record_is_the_record_without_its_series() -> None:
    record = training(epochs=(EPOCH,) * 3, test_class_accuracy=(0.5, None))
    listed = parse_listed(payload_of(record), location="here")
    assert isinstance(listed, ListedTraining)
    assert listed.model_dump() == record.model_dump() | {"epochs": (), "test_class_accuracy": ()}
    timed = latency(rounds=(0, 1, 2), process_counts=(3,))
    listed = parse_listed(payload_of(timed), location="here")
    assert isinstance(listed, ListedLatency)
    assert listed.model_dump() == timed.model_dump() | {"samples_ms": (), "rounds": ()}
    assert parse_listed(payload_of(cost()), location="here") == cost()


def _without(name: str) -> Callable[[str], str]:
    def change(payload: str) -> str:
        record = parse_record(payload, location="here")
        return record.model_dump_json(exclude={name})

    return change


@pytest.mark.parametrize(
    "change",
    [
        lambda payload: json.dumps(json.loads(payload)),  # not as a store writes it
        _without("robustness"),  # what comes behind the curve, as in an older record
        _without("compiled"),
        lambda payload: payload.replace('],"robustness":null', '],"seed":3,"robustness":null', 1),
    ],
)
def test_text_that_is_not_as_a_store_writes_it_is_read_whole(change: Callable[[str], str]) -> None:
    record = training(epochs=(EPOCH,) * 3, robustness=None)
    payload = change(payload_of(record))
    listed = parse_listed(payload, location="here")
    whole = parse_record(payload, location="here")
    assert listed.model_dump() == whole.model_dump() | {"epochs": (), "test_class_accuracy": ()}


def test_a_listed_record_cannot_be_stored(tmp_path: Path) -> None:
    with Store(tmp_path, create=True) as store:
        store.put(training())
        (listed,) = store.listed("training")
        with pytest.raises(TypeError, match="without its samples or its curve"):
            store.put(listed)
        assert store.get("training") == training()


def test_listed_come_by_kind_then_time_and_filtered(tmp_path: Path) -> None:
    with Store(tmp_path, create=True) as store:
        store.put_all(
            [
                training("t2", created_at=after(2)),
                training("t1"),
                latency("l"),
                cost("c", block="B"),
            ]
        )
        assert [record.trial_id for record in store.listed()] == ["c", "l", "t1", "t2"]
        assert [record.trial_id for record in store.listed("cost", "latency")] == ["c", "l"]
        assert [record.trial_id for record in store.listed(block="B")] == ["c"]
        beside, trainings = parted(store)
    assert [record.trial_id for record in beside] == ["c", "l"]
    assert [record.trial_id for record in trainings] == ["t1", "t2"]


def test_a_listing_reads_no_epoch_and_no_sample_however_many_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither time nor memory of a table may grow with the length of curves."""
    with Store(tmp_path, create=True) as store:
        store.put_all(
            [
                training(f"t{seed}", seed=seed, epochs=(EPOCH,) * 200, created_at=after(seed))
                for seed in range(20)
            ]
        )
        store.put_all([latency(), cost()])
    sizes: list[int] = []

    def counted(payload: str) -> str:
        short = shortened(payload)
        sizes.append(len(short))
        return short

    monkeypatch.setattr("blockzoo.results.store.reading.shortened", counted)
    summary = summarize(load_results(tmp_path))
    assert summary["n"].tolist() == [20]
    assert len(sizes) == 22  # each record once
    assert max(sizes) < 4000  # a curve alone has 40,000


def test_rows_of_a_store_are_made_one_training_at_a_time(tmp_path: Path) -> None:
    """Two parts are read before the second of many is asked for, and no more."""
    with Store(tmp_path, create=True) as store:
        store.put_all([training(f"t{n:03}", seed=n, created_at=after(n)) for n in range(500)])
        rows = result_rows(store)
        assert next(iter(rows))["trial_id"] == "t000"
        with sqlite3.connect(tmp_path / "blockzoo.db") as base:
            base.execute("DELETE FROM records WHERE trial_id >= 't200'")
        base.close()
        assert sum(1 for _ in rows) == 199  # what was not read yet is not there
