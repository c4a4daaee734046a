"""Ten columns or all, pandas or Arrow: the same rows and values."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from blockzoo import ResultsError, Store, UnknownNameError, load_latencies, load_results
from blockzoo.results.table.columns import COLUMNS, EARLY_COLUMNS, IDENTITY, LATENCY_TABLE
from tests.record_samples import cost, latency, training

Load = Callable[..., Any]
BOTH: list[tuple[Load, list[str]]] = [
    (load_results, list(COLUMNS)),
    (load_latencies, list(LATENCY_TABLE)),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    failed = training("with id behind", seed=1, status="failed", reason="nan", test_accuracy=None)
    with Store(tmp_path, create=True) as store:
        store.put_all([cost(), latency(), training(), failed])
    return tmp_path


@pytest.mark.parametrize(("load", "columns"), BOTH)
def test_the_short_view_is_ten_columns_of_the_long_one(
    folder: Path, load: Load, columns: list[str]
) -> None:
    long, short = load(folder), load(folder, view="short")

    assert list(long.columns) == [*columns, IDENTITY]
    assert len(short.columns) == 10
    assert_frame_equal(short, long[list(short.columns)])


def test_the_short_view_says_what_it_is_of_and_how_well_it_did(folder: Path) -> None:
    good, failed = load_results(folder, view="short").to_dict("records")

    assert good == {
        "block": "A", "position": "mid", "dataset": "digits", "protocol": "quick", "seed": 0,
        "test_acc": 0.75, "params_total": 1100, "flops": 100_000, "latency_ms": 5.0, "status": "ok",
    }  # fmt: skip
    assert (failed["status"], failed["seed"]) == ("failed", 1)


@pytest.mark.parametrize("view", ["long", "short"])
@pytest.mark.parametrize(("load", "columns"), BOTH)
def test_arrow_holds_the_same(folder: Path, load: Load, columns: list[str], view: str) -> None:
    pytest.importorskip("pyarrow")
    frame, table = load(folder, view=view), load(folder, view=view, as_="arrow")

    assert table.column_names == list(frame.columns)
    assert str(table.schema.field("block").type) in ("string", "large_string")
    back = table.to_pandas().astype(frame.dtypes.to_dict())
    assert_frame_equal(back, frame)


def test_what_is_not_known_is_null_in_arrow(folder: Path) -> None:
    pytest.importorskip("pyarrow")
    table = load_results(folder, as_="arrow")
    assert table.column("test_acc").to_pylist() == [0.75, None]
    assert str(table.schema.field("seed").type) == "int64"


@pytest.mark.parametrize("load", [load_results, load_latencies])
@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"view": "tiny"}, "unknown view 'tiny'; allowed: long, short"),
        ({"as_": "csv"}, "unknown as_ 'csv'; allowed: pandas, arrow"),
    ],
)
def test_another_view_or_form_is_refused_before_anything_is_read(
    load: Load, wrong: dict[str, str], told: str
) -> None:
    with pytest.raises(UnknownNameError, match=told):
        load("there is no such folder", **wrong)


def test_arrow_without_pyarrow_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ResultsError, match=r"pip install 'blockzoo\[parquet\]'"):
        load_results("there is no such folder", as_="arrow")


def test_a_file_of_the_early_version_has_both_views(tmp_path: Path) -> None:
    early = pd.DataFrame({"block": ["A"], "position": ["mid"], "val_acc": [91.0], "flops": [5.0]})
    path = tmp_path / "results.csv"
    early.reindex(columns=list(EARLY_COLUMNS)).to_csv(path, index=False)

    assert list(load_results(path).columns)[:23] == list(EARLY_COLUMNS)
    assert load_results(path).loc[0, "val_acc"] == pytest.approx(0.91)
    assert load_results(path, view="short")["flops"].tolist() == [5.0]
