"""The long table of latencies: every timing has a row, from wherever it is read."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from blockzoo.core.errors import InputError
from blockzoo.core.position import Position
from blockzoo.results.export import export
from blockzoo.results.store.database import Store
from blockzoo.results.table.columns import IDENTITY, LATENCY_TABLE
from blockzoo.results.table.csv import read_results_csv, write_csv_files, write_results_csv
from blockzoo.results.table.latencies import latencies_frame, load_latencies
from tests.record_samples import after, cost, latency, training

WAYS = [
    latency("fp32", backend="onnxruntime", median_ms=5.0),
    latency("int8", backend="onnxruntime", precision="int8", median_ms=3.0, created_at=after(1)),
]


def test_every_way_has_a_row_with_the_costs_of_its_structure() -> None:
    older = latency("old", created_at=after(-1), block_fingerprint="print-old")
    frame = latencies_frame([cost(), training(), *WAYS, older])
    assert list(frame.columns) == [*LATENCY_TABLE, IDENTITY]
    assert frame["trial_id"].tolist() == ["old", "fp32", "int8"]
    assert frame["latency_precision"].tolist() == ["fp32", "fp32", "int8"]
    assert frame["latency_ms"].tolist() == [5.0, 5.0, 3.0]
    # Of another structure the costs are not known.
    assert frame["macs_deploy"].fillna(0).tolist() == [0, 50_000, 50_000]
    assert frame["timestamp"].tolist()[1:] == [
        "2026-01-02T03:04:05+00:00",
        "2026-01-02T03:04:06+00:00",
    ]


def test_one_timing_has_a_row_for_each_position_asked_for() -> None:
    late = latency(positions=("early", "mid", "late"), asked=(Position.LATE,))
    assert latencies_frame([late])["position"].tolist() == ["late"]


def test_what_was_timed_in_another_run_stays() -> None:
    again = latency("again", created_at=after(5), session="two")
    frame = latencies_frame([latency(session="one"), again])
    assert frame["latency_session"].tolist() == ["one", "two"]


def test_a_failed_timing_says_why() -> None:
    (row,) = latencies_frame(
        [cost(), latency(status="failed", reason="parity", median_ms=None)]
    ).to_dict("records")
    assert (row["status"], row["reason"]) == ("failed", "latency: parity")


def test_store_folder_and_csv_give_the_same_frame(tmp_path: Path) -> None:
    with Store(tmp_path, create=True) as store:
        store.put_all([cost(), training(), *WAYS])
        write_csv_files(store, tmp_path / "results.csv")
    frame = load_latencies(tmp_path)
    assert len(frame) == 2
    for path in (tmp_path / "blockzoo.db", tmp_path / "latencies.csv", tmp_path / "results.csv"):
        assert_frame_equal(load_latencies(path), frame)
    # The row of the training has one latency; it is all that this file alone can tell.
    (tmp_path / "latencies.csv").unlink()
    assert len(load_latencies(tmp_path / "results.csv")) == 1


def test_without_any_timing_there_is_no_file(tmp_path: Path) -> None:
    with Store(tmp_path, create=True) as store:
        store.put(cost())
        write_csv_files(store, tmp_path / "results.csv")
    assert not (tmp_path / "latencies.csv").exists()
    assert load_latencies(tmp_path).empty


def test_a_file_of_timings_alone_has_a_row_for_each_way(tmp_path: Path) -> None:
    write_results_csv(WAYS, tmp_path / "lat.csv")
    rows = read_results_csv(tmp_path / "lat.csv")
    assert [(row["latency_precision"], row["latency_ms"]) for row in rows] == [
        ("fp32", "5.0"),
        ("int8", "3.0"),
    ]
    assert load_latencies(tmp_path / "lat.csv")["latency_precision"].tolist() == ["fp32", "int8"]


def test_exports_of_latencies(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    with Store(tmp_path, create=True) as store:
        store.put_all([cost(), training(), *WAYS])
        for name in ("all.csv", "all.parquet"):
            export(store, tmp_path / name, latencies=True)
        with pytest.raises(InputError, match=r"must end in \.csv, \.parquet"):
            export(store, tmp_path / "all.jsonl", latencies=True)
    assert len(load_latencies(tmp_path / "all.csv")) == 2
    assert pd.read_parquet(tmp_path / "all.parquet")["latency_ms"].tolist() == [5.0, 3.0]
