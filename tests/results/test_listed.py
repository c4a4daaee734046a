from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from blockzoo.analysis.summary import summarize
from blockzoo.results.listed import ListedLatency, ListedTraining
from blockzoo.results.records import EpochMetrics
from blockzoo.results.store.database import Store
from blockzoo.results.store.reading import parse_listed
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


SERIES = {"epochs": (), "test_class_accuracy": (), "test_correct": None}


def test_a_listed_record_is_the_record_without_its_series(tmp_path: Path) -> None:
    record = training(epochs=(EPOCH,) * 3, test_class_accuracy=(0.5, None), test_correct="gYA=")
    timed = latency(rounds=(0, 1, 2), process_counts=(3,))
    with Store(tmp_path, create=True) as store:
        store.put_all([record, timed, cost()])
        counted, sampled, listed = store.listed()
        assert store.get("training") == record
    assert isinstance(listed, ListedTraining)
    assert listed.model_dump() == record.model_dump() | SERIES
    assert isinstance(sampled, ListedLatency)
    assert sampled.model_dump() == timed.model_dump() | {"samples_ms": (), "rounds": ()}
    assert counted == cost()


def test_of_a_whole_record_a_listing_leaves_the_series_unread() -> None:
    record = training(epochs=(EPOCH,) * 3, robustness=None)
    listed = parse_listed(record.model_dump_json(), location="here")
    assert listed.model_dump() == record.model_dump() | SERIES


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


def test_a_listing_reads_no_series_at_all(tmp_path: Path) -> None:
    """Neither time nor memory of a table may grow with the length of curves."""
    with Store(tmp_path, create=True) as store:
        store.put_all(
            [training(f"t{seed}", seed=seed, created_at=after(seed)) for seed in range(20)]
        )
        store.put_all([latency(), cost()])
    with sqlite3.connect(tmp_path / "blockzoo.db") as base:
        base.execute("UPDATE series SET data = x'00'")
    base.close()
    assert summarize(load_results(tmp_path))["n"].tolist() == [20]
    with Store(tmp_path) as store:
        assert len(store.bad_rows()) == 21
        assert "record t0, is not a record: series" in store.bad_rows()[1].reason


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
