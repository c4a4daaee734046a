"""Results as a pandas frame, from wherever they lie."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

import pandas as pd

from blockzoo.core.errors import ResultsError
from blockzoo.results.ranges import LARGEST_COUNT
from blockzoo.results.records import Record, identity_of
from blockzoo.results.store.database import Store
from blockzoo.results.store.engines import STORE_NAME, is_store
from blockzoo.results.table.columns import COLUMNS, EARLY_COLUMNS, IDENTITY, ColumnType
from blockzoo.results.table.csv import CSV_NAME, read_rows
from blockzoo.results.table.join import result_rows
from blockzoo.results.table.values import Row
from blockzoo.results.table.views import SHORT_RESULTS, Form, View, check_view, viewed

if TYPE_CHECKING:
    import pyarrow

# Int64 with a capital is pandas' own, in which a value may be missing.
_DTYPES: dict[ColumnType, str] = {"text": "str", "integer": "Int64", "number": "float64"}
_LARGEST = {name: math.inf if name.endswith("_loss") else sys.float_info.max for name in COLUMNS}
# What other tools write into an empty cell.
_NOTHING = frozenset({"", "nan", "none", "n/a"})


@overload
def load_results(
    path: str | Path, *, view: View = "long", as_: Literal["pandas"] = "pandas"
) -> pd.DataFrame: ...
@overload
def load_results(
    path: str | Path, *, view: View = "long", as_: Literal["arrow"]
) -> pyarrow.Table: ...
def load_results(
    path: str | Path, *, view: View = "long", as_: Form = "pandas"
) -> pd.DataFrame | pyarrow.Table:
    """Return the trainings of a results folder, a store or a CSV: one row a seed and position.

    Text that is not known is "", a number NaN, an integer <NA>; in Arrow numbers are null. Results
    that hold nothing yet give a table without rows.

    Args:
        path: A folder, of which the store is read, or `results.csv` where there is none; a store,
            as a file or URL; or a CSV file, also one of the early version.
        view: "long" has all columns, the early version's first, and
            `identity`. "short" has ten: block, position, dataset, protocol, seed, test_acc (a
            fraction of 1), params_total, flops (of one image), latency_ms and status.
        as_: "pandas" for a DataFrame, "arrow" for a `pyarrow.Table` (`blockzoo[parquet]`).

    Returns:
        The table, in the order of the store or file.

    Raises:
        UnknownNameError: For another view or form.
        ResultsError: For what is missing, damaged or no results file, and without pyarrow.
        SchemaError: For results of a newer version.

    Example:
        >>> with Store("results", create=True):  # a store without records yet
        ...     frame = load_results("results")
        >>> len(frame), list(frame.columns)[:4]
        (0, ['timestamp', 'block', 'dataset', 'position'])
        >>> load_results("results", view="short").shape
        (0, 10)
    """
    check_view(view, as_)
    frame = load_table(path, result_rows, COLUMNS, [CSV_NAME])
    return viewed(frame, SHORT_RESULTS, view, as_)


def load_table(
    path: str | Path,
    rows_of: Callable[[Store], Iterable[Row]],
    columns: Mapping[str, ColumnType],
    csv_names: Sequence[str],
) -> pd.DataFrame:
    """Return a table of results from wherever they lie, see `load_results`.

    `rows_of` makes its rows of the records of a store; in a folder without one the
    first of the files `csv_names` is read.
    """
    if "://" in str(path):
        return _load_store(path, rows_of, columns)
    source = _source(Path(path), csv_names)
    if is_store(source):
        return _load_store(source, rows_of, columns)
    return _load_csv(source, columns)


def results_frame(source: Store | Iterable[Record]) -> pd.DataFrame:
    """Return trainings with the columns and types of `load_results`, one row a seed and position.

    Args:
        source: An open store, or records, as verbs return them.

    Returns:
        The long table of `load_results`; costs and latencies stand beside the trainings that they
        belong to.

    Example:
        >>> len(results_frame([])), "test_acc" in results_frame([])
        (0, True)
    """
    return typed_frame(result_rows(source), COLUMNS)


def _source(path: Path, csv_names: Sequence[str]) -> Path:
    """Return the file that the path means; raises `ResultsError` where there is none."""
    if not path.is_dir():
        if not path.exists():
            raise ResultsError(f"{path} does not exist: there are no results there")
        return path
    # The store first: the CSV is made from it, and may lag behind while a sweep runs.
    for name in (STORE_NAME, *csv_names):
        if (path / name).is_file():
            return path / name
    raise ResultsError(f"folder {path} holds no results: neither {STORE_NAME} nor {csv_names[-1]}")


def _load_store(
    location: str | Path,
    rows_of: Callable[[Store], Iterable[Row]],
    columns: Mapping[str, ColumnType],
) -> pd.DataFrame:
    with Store(location) as store:
        return typed_frame(rows_of(store), columns)


def _load_csv(path: Path, columns: Mapping[str, ColumnType]) -> pd.DataFrame:
    # The early version's files have the latencies that they have under its columns.
    rows = read_rows(path, columns, [name for name in EARLY_COLUMNS if name in columns])
    try:
        values = [{name: _value(row[name], name) for name in columns} for row in rows]
        frame = typed_frame(values, columns)
    except ValueError as error:
        raise ResultsError(f"{path} is damaged: {error}") from None
    return _in_fractions(frame) if "val_acc" in columns else frame


def _value(text: str, column: str) -> object:
    """Return the cell as its column's type, None for nothing; raises `ValueError`."""
    if COLUMNS[column] == "text":
        return text
    if text.strip().casefold() in _NOTHING:
        return None
    try:
        value = float(text) if COLUMNS[column] == "number" else _integer(text)
    except ValueError:
        raise ValueError(f"{column} is {text[:40]!r}; it must be a number") from None
    # As in records: only losses may be infinite, and integers have 64 bits.
    if not abs(value) <= (LARGEST_COUNT if isinstance(value, int) else _LARGEST[column]):
        raise ValueError(f"{column} is {text[:40]!r}; it must be a finite number of 64 bits")
    return value


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        value = float(text)  # tools that read and write CSV turn 64 into 64.0
        if not value.is_integer():
            raise
        return int(value)


def _in_fractions(frame: pd.DataFrame) -> pd.DataFrame:
    """Turn accuracies of the early version that can only be percent into fractions."""
    # Its rows have no trial id; 1.0 itself is read as a fraction, which a percent of 1 is not.
    percent = frame["trial_id"].eq("") & frame["val_acc"].gt(1)
    return frame.assign(val_acc=frame["val_acc"].where(~percent, frame["val_acc"] / 100))


def typed_frame(
    rows: Iterable[Mapping[str, object]], columns: Mapping[str, ColumnType]
) -> pd.DataFrame:
    """Return those columns of the rows, each as its type, and `identity`."""
    # Of each row the cells alone: rows as they come take many times the memory.
    cells = list(map(itemgetter(*columns), rows))
    frame = pd.DataFrame(
        {
            name: _column([row[index] for row in cells], kind)
            for index, (name, kind) in enumerate(columns.items())
        }
    )
    versions = (None if pd.isna(version) else int(version) for version in frame["schema_version"])
    return frame.assign(**{IDENTITY: pd.Series(map(identity_of, versions), dtype="str")})


def _column(values: list[object], kind: ColumnType) -> pd.Series:
    if kind == "text":
        values = ["" if value is None else value for value in values]
    return pd.Series(values, dtype=_DTYPES[kind])
