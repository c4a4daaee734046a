"""`results.csv` and `latencies.csv`: written whole, read back with a check of every row.

Text that a spreadsheet would run as a formula is escaped, see `cells.py`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable
from itertools import chain
from pathlib import Path
from typing import TextIO

from blockzoo.core.errors import ResultsError
from blockzoo.core.files import replacing
from blockzoo.results.records import Record
from blockzoo.results.store.database import Store
from blockzoo.results.store.schema import check_schema_version
from blockzoo.results.table.cells import escaped_cell, unescaped_cell
from blockzoo.results.table.columns import COLUMNS, EARLY_COLUMNS, LATENCY_TABLE
from blockzoo.results.table.join import result_rows, timing_rows
from blockzoo.results.table.values import Row

CSV_NAME = "results.csv"
LATENCIES_NAME = "latencies.csv"
_QUOTED_ENDS = "\r\n"


def write_results_csv(source: Store | Iterable[Record], path: str | Path) -> None:
    """Write the rows of all records to `path`; the file is whole at every moment.

    Rows of the early version that the file holds already stay, before the others: no store has
    them. Raises `ResultsError` when the file cannot be written, or is there and is no results file.

    >>> write_results_csv([], "results.csv")
    >>> read_results_csv("results.csv")
    []
    """
    early = _early_rows(Path(path))
    with replacing(path) as scratch:
        write_rows(chain(early, result_rows(source)), scratch, COLUMNS)


def write_latencies_csv(source: Store | Iterable[Record], path: str | Path) -> None:
    """Write the table of all latencies to `path`; the file is whole at every moment.

    Raises `ResultsError` when it cannot be written.

    >>> write_latencies_csv([], "latencies.csv")
    >>> read_rows("latencies.csv", LATENCY_TABLE)
    []
    """
    with replacing(path) as scratch:
        write_rows(timing_rows(source), scratch, LATENCY_TABLE)


def write_csv_files(store: Store, path: str | Path) -> None:
    """Write `path`, which is results.csv, and latencies.csv beside it once anything was timed.

    Raises what `write_results_csv` raises.
    """
    write_results_csv(store, path)
    beside = Path(path).with_name(LATENCIES_NAME)
    if beside.is_file() or any(True for _ in store.listed("latency")):
        write_latencies_csv(store, beside)


def _early_rows(path: Path) -> list[Row]:
    if not path.is_file() or path.stat().st_size == 0:
        return []
    return [row for row in read_results_csv(path) if not row["schema_version"]]


def write_rows(rows: Iterable[Row], path: Path, columns: Collection[str]) -> None:
    """Write those columns of the rows to a new file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(
            _LineEnds(file), list(columns), lineterminator=_QUOTED_ENDS, extrasaction="ignore"
        )
        writer.writeheader()
        writer.writerows(map(_as_cells, rows))


class _LineEnds:
    """Ends rows with a line feed alone; the module quotes of line ends those that it writes."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, row: str) -> int:
        """Write one row."""
        return self._file.write(row.removesuffix(_QUOTED_ENDS) + "\n")


def _as_cells(row: Row) -> Row:
    return {
        # Of text alone: a number may well begin with a minus.
        # Python 3.10 reads no file that holds a zero character.
        name: escaped_cell(value.replace("\0", r"\x00"))
        if isinstance(value, str) and _is_text(name)
        else value
        for name, value in row.items()
    }


def _is_text(column: str) -> bool:
    return COLUMNS[column] == "text"


def read_results_csv(path: str | Path) -> list[dict[str, str]]:
    """Return the rows of a results CSV, of this or the early version, every cell as its text.

    Columns that the file lacks are empty, columns that BlockZoo does not know are left out.
    Raises `ResultsError` for a file that is no results CSV or is truncated, `SchemaError` for one
    of a newer version.
    """
    return read_rows(path, COLUMNS, EARLY_COLUMNS)


def read_rows(
    path: str | Path, columns: Collection[str], required: Collection[str] | None = None
) -> list[dict[str, str]]:
    """Return those columns of a CSV, every cell as its text; see `read_results_csv`.

    `required` columns must be there, all if None.
    """
    text = _read_text(path)
    header, *lines = _parse(text, path) or [[]]
    _check_header(header, path, columns if required is None else required)
    # The early version's files may have been edited by hand; BlockZoo ends every line of its own.
    if not text.endswith("\n") and ("schema_version" in header or not lines):
        raise ResultsError(f"{path} is truncated: its last row does not end")
    rows = []
    for number, line in enumerate(lines, start=1):
        if len(line) != len(header):
            end = "the file may be truncated" if number == len(lines) else "the file is damaged"
            raise ResultsError(
                f"{path}: row {number} has {len(line)} values for {len(header)} columns; {end}"
            )
        by_column = dict(zip(header, line, strict=True))
        check_schema_version(by_column.get("schema_version") or 1, location=str(path))
        cells = {name: by_column.get(name, "") for name in columns}
        rows.append({n: unescaped_cell(cell) if _is_text(n) else cell for n, cell in cells.items()})
    return rows


def _check_header(header: list[str], path: str | Path, required: Collection[str]) -> None:
    missing = [name for name in required if name not in header]
    if missing:
        some = ", ".join(missing[:4]) + (" and others" if len(missing) > 4 else "")
        raise ResultsError(f"{path} is not a BlockZoo results file: no column {some}")


def _parse(text: str, path: str | Path) -> list[list[str]]:
    """Return the cells of all lines that are not blank."""
    try:
        return [line for line in csv.reader(io.StringIO(text, newline=""), strict=True) if line]
    except csv.Error as error:
        raise ResultsError(f"{path} is damaged or truncated: {error}") from None


def _read_text(path: str | Path) -> str:
    try:
        # Spreadsheets may begin a file with a byte order mark; line breaks within cells are kept.
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            return file.read()
    except UnicodeDecodeError:
        raise ResultsError(f"{path} is not a BlockZoo results file: it is not text") from None
    except OSError as error:
        raise ResultsError(f"{path} cannot be read: {error.strerror or error}") from error
