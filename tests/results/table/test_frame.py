"""Results as a frame: from a folder, a store, a CSV, of both versions, and from what is neither."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from blockzoo.core.errors import ResultsError
from blockzoo.results.store.database import Store
from blockzoo.results.table.columns import COLUMNS, IDENTITY
from blockzoo.results.table.csv import write_results_csv
from blockzoo.results.table.frame import load_results
from tests.record_samples import cost, latency, training
from tests.results.table.test_csv import EARLY_HEADER, EARLY_ROW


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with Store(tmp_path, create=True) as store:
        store.put_all([cost(), latency(), training(), training("u", "B", seed=1, best_epoch=None)])
        write_results_csv(store, tmp_path / "results.csv")
    return tmp_path


def test_folder_store_url_and_csv_give_the_same_frame(folder: Path) -> None:
    frame = load_results(folder)
    assert list(frame.columns) == [*COLUMNS, IDENTITY]
    assert frame["block"].tolist() == ["A", "B"]
    assert_frame_equal(load_results(folder / "blockzoo.db"), frame)
    assert_frame_equal(load_results(f"sqlite:///{folder}/blockzoo.db"), frame)
    assert_frame_equal(load_results(folder / "results.csv"), frame)
    (folder / "blockzoo.db").unlink()
    assert_frame_equal(load_results(str(folder)), frame)


def test_types_and_unknown_values(folder: Path) -> None:
    frame = load_results(folder)
    assert frame["flops"].dtype == "float64"
    assert str(frame["seed"].dtype) == "Int64"
    assert frame.loc[1, "best_epoch"] is pd.NA
    assert frame["flops"].isna().tolist() == [False, True]
    assert frame.loc[1, "latency_verdict"] == ""
    assert frame.loc[0, "macs_deploy"] == 50_000


def test_a_store_is_known_by_its_content(folder: Path) -> None:
    (folder / "blockzoo.db").rename(folder / "odd.csv")
    assert len(load_results(folder / "odd.csv")) == 2


def test_results_without_rows_give_a_frame_without_rows(tmp_path: Path) -> None:
    Store(tmp_path, create=True).close()
    write_results_csv([], tmp_path / "results.csv")
    for path in (tmp_path, tmp_path / "results.csv"):
        frame = load_results(path)
        assert len(frame) == 0
        assert list(frame.columns) == [*COLUMNS, IDENTITY]


def test_the_early_versions_file(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    percent = EARLY_ROW.replace("0.71", "71.0").replace("1000,1000", "1000.0,nan")
    path.write_text(f"\ufeff{EARLY_HEADER}\r\n{EARLY_ROW}\r\n\r\n{percent}")
    frame = load_results(path)
    assert frame["val_acc"].tolist() == [0.71, pytest.approx(0.71)]
    assert frame["params_total"].tolist() == [1000, 1000]
    assert frame["params_trainable"].isna().tolist() == [False, True]
    assert frame["notes"].tolist() == ["a, b", "a, b"]
    assert frame["test_acc"].isna().all()
    assert frame["protocol"].tolist() == ["", ""]


@pytest.mark.parametrize("value", ["fast", "10.5"])
def test_a_cell_that_is_no_number(tmp_path: Path, value: str) -> None:
    path = tmp_path / "results.csv"
    path.write_text(f"{EARLY_HEADER}\n{EARLY_ROW.replace('mid,10,', f'mid,{value},')}\n")
    with pytest.raises(ResultsError, match=f"damaged: epochs is '{value}'; it must be a number"):
        load_results(path)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="nowhere does not exist"):
        load_results(tmp_path / "nowhere")
    with pytest.raises(ResultsError, match=r"holds no results: neither blockzoo\.db nor results"):
        load_results(tmp_path)
    (tmp_path / "text.db").write_text("hello, I am no database at all")
    with pytest.raises(ResultsError, match=r"text\.db is not a BlockZoo store"):
        load_results(tmp_path / "text.db")


def test_neither_results_nor_analysis_load_torch() -> None:
    modules = "results.store, blockzoo.results.export, blockzoo.analysis.summary"
    code = f"import sys, blockzoo.{modules}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("seed", "9" * 30),
        ("seed", "9" * 5000),
        ("params_total", "-9223372036854775809"),
        ("epochs", "inf"),
        ("val_acc", "Infinity"),
        ("latency_ms", "1e999"),
    ],
)
def test_a_number_that_cannot_be_is_one_line(tmp_path: Path, column: str, text: str) -> None:
    path = tmp_path / "results.csv"
    write_results_csv([training()], path)
    header, cells = (line.split(",") for line in path.read_text().splitlines())
    cells[header.index(column)] = text
    path.write_text(",".join(header) + "\n" + ",".join(cells) + "\n")
    with pytest.raises(ResultsError, match=rf"is damaged: {column} is '.*'; it must be") as caught:
        load_results(path)
    assert len(str(caught.value)) < 300


def test_an_infinite_loss_of_a_file_is_read(tmp_path: Path) -> None:
    write_results_csv([training(val_loss=float("inf"))], tmp_path / "results.csv")
    assert load_results(tmp_path / "results.csv").loc[0, "val_loss"] == float("inf")
