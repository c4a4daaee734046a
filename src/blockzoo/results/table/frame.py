"""Results as a pandas frame, from wherever they lie."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from blockzoo.core.errors import ResultsError
from blockzoo.results.ranges import LARGEST_COUNT
from blockzoo.results.records import Record, identity_of
from blockzoo.results.store.database import Store
from blockzoo.results.store.engines import STORE_NAME
from blockzoo.results.table.columns import COLUMNS, IDENTITY, ColumnType
from blockzoo.results.table.csv import CSV_NAME, read_results_csv
from blockzoo.results.table.join import result_rows

# Int64 with a capital is pandas' own, in which a value may be missing.
_DTYPES: dict[ColumnType, str] = {"text": "str", "integer": "Int64", "number": "float64"}
_LARGEST = {name: math.inf if name.endswith("_loss") else sys.float_info.max for name in COLUMNS}
# What other tools write into an empty cell.
_NOTHING = frozenset({"", "nan", "none", "n/a"})
_STORE_SUFFIXES = frozenset({".db", ".sqlite", ".sqlite3"})
_SQLITE_MAGIC = b"SQLite format 3\x00"


def load_results(path: str | Path) -> pd.DataFrame:
    """Return the rows of a results folder, a store (file or URL) or a CSV.

    The columns are `COLUMNS` and `identity`.
    Of a folder the store is read, or `results.csv` where there is none. Text that is not known is
    "", a number NaN, an integer <NA>. Results that hold nothing yet give a frame without rows.
    Raises `ResultsError` for what is missing, damaged or no results file, `SchemaError` for results
    of a newer version.

    >>> with Store("results", create=True):  # a store without records yet
    ...     frame = load_results("results")
    >>> len(frame), list(frame.columns)[:4]
    (0, ['timestamp', 'block', 'dataset', 'position'])
    """
    if "://" in str(path):
        return _load_store(path)
    source = _source(Path(path))
    return _load_store(source) if _is_store(source) else _load_csv(source)


def results_frame(records: Iterable[Record]) -> pd.DataFrame:
    """Return the rows of the records with the columns and types of `load_results`."""
    return _frame(result_rows(records))


def _source(path: Path) -> Path:
    """Return the file that the path means; raises `ResultsError` where there is none."""
    if not path.is_dir():
        if not path.exists():
            raise ResultsError(f"{path} does not exist: there are no results there")
        return path
    # The store first: the CSV is made from it, and may lag behind while a sweep runs.
    for name in (STORE_NAME, CSV_NAME):
        if (path / name).is_file():
            return path / name
    raise ResultsError(f"folder {path} holds no results: neither {STORE_NAME} nor {CSV_NAME}")


def _is_store(path: Path) -> bool:
    if path.suffix in _STORE_SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            return file.read(len(_SQLITE_MAGIC)) == _SQLITE_MAGIC
    except OSError as error:
        raise ResultsError(f"{path} cannot be read: {error.strerror or error}") from error


def _load_store(location: str | Path) -> pd.DataFrame:
    with Store(location) as store:
        return results_frame(store.records())


def _load_csv(path: Path) -> pd.DataFrame:
    rows = read_results_csv(path)
    try:
        frame = _frame([{name: _value(row[name], name) for name in COLUMNS} for row in rows])
    except ValueError as error:
        raise ResultsError(f"{path} is damaged: {error}") from None
    return _in_fractions(frame)


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


def _frame(rows: Iterable[Mapping[str, object]]) -> pd.DataFrame:
    rows = list(rows)
    frame = pd.DataFrame(
        {name: _column([row[name] for row in rows], kind) for name, kind in COLUMNS.items()}
    )
    versions = (None if pd.isna(version) else int(version) for version in frame["schema_version"])
    return frame.assign(**{IDENTITY: pd.Series(map(identity_of, versions), dtype="str")})


def _column(values: list[object], kind: ColumnType) -> pd.Series:
    if kind == "text":
        values = ["" if value is None else value for value in values]
    return pd.Series(values, dtype=_DTYPES[kind])
