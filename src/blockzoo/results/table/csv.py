"""`results.csv` and `latencies.csv`: written whole, read back with a check of every row.

Text that a spreadsheet would run as a formula is escaped, see `cells.py`.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import TextIO

from blockzoo.core.errors import ResultsError
from blockzoo.core.files import replacing
from blockzoo.results.records import Record
from blockzoo.results.store.database import Store
from blockzoo.results.store.schema import check_schema_version
from blockzoo.results.table.cells import SUSPECT, escaped_cell, unescaped_cell
from blockzoo.results.table.columns import COLUMNS, EARLY_COLUMNS, LATENCY_TABLE
from blockzoo.results.table.join import result_rows, timing_rows
from blockzoo.results.table.values import Row

CSV_NAME = "results.csv"
LATENCIES_NAME = "latencies.csv"
_QUOTED_ENDS = "\r\n"
_TEXTS = frozenset(name for name, kind in COLUMNS.items() if kind == "text")


def write_results_csv(source: Store | Iterable[Record], path: str | Path) -> None:
    """Write the rows of all records to `path`; the file is whole at every moment.

    Rows of the early version that the file holds already stay, before the others: no store has
    them. Raises `ResultsError` when the file cannot be written, or is there and is no results file.

    >>> write_results_csv([], "results.csv")
    >>> read_results_csv("results.csv")
    []
    """
    _write_results(source, path, _early_rows(Path(path)))


def _write_results(source: Store | Iterable[Record], path: str | Path, early: list[Row]) -> None:
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

    A file that was made of the records that are there now stays: the store has a note of it.
    Raises what `write_results_csv` raises.
    """
    results, latencies = Path(path), Path(path).with_name(LATENCIES_NAME)
    if not _is_of(store, results, COLUMNS):
        # To read a long file takes as long as to write it.
        early_known = _was_written_for(store, results) and not _begins_early(results)
        with _noted(store, results):
            if early_known:
                _write_results(store, results, [])
            else:
                write_results_csv(store, results)
    if _is_of(store, latencies, LATENCY_TABLE):
        return
    if latencies.is_file() or any(True for _ in store.listed("latency")):
        with _noted(store, latencies):
            write_latencies_csv(store, latencies)


def _is_of(store: Store, path: Path, columns: Iterable[str]) -> bool:
    """Tell whether the file was made of what the store holds, and has those columns."""
    if not _was_written_for(store, path, now=True):
        return False
    with path.open(encoding="utf-8") as file:
        return file.readline().rstrip("\n") == ",".join(columns)


def _was_written_for(store: Store, path: Path, *, now: bool = False) -> bool:
    """Tell whether the file is as it was written of that store, `now`: as the store is now."""
    return path.is_file() and store.is_noted(str(path.resolve()), _mark(path), now=now)


def _begins_early(path: Path) -> bool:
    """Tell whether a file that BlockZoo wrote holds rows of the early version, which come first."""
    first = next(_checked_rows(path, COLUMNS, EARLY_COLUMNS), None)
    return first is not None and not first.get("schema_version")


@contextmanager
def _noted(store: Store, path: Path) -> Iterator[None]:
    """Have the store note of what the file was made, which is there once this ends."""
    before = store.change  # what comes meanwhile may not be in the file
    yield
    if before is not None:
        store.note(str(path.resolve()), _mark(path), before)


def _mark(path: Path) -> str:
    """Return what tells the file from one that is written or edited later."""
    found = path.stat()
    return f"{found.st_ino} {found.st_size} {found.st_mtime_ns}"


def _early_rows(path: Path) -> list[Row]:
    if not path.is_file() or path.stat().st_size == 0:
        return []
    return list(read_results_csv(path, early=True))


def write_rows(rows: Iterable[Row], path: Path, columns: Collection[str]) -> None:
    """Write those columns of the rows to a new file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(_LineEnds(file), lineterminator=_QUOTED_ENDS)
        writer.writerow(columns)
        pick = itemgetter(*columns)
        texts = [index for index, name in enumerate(columns) if name in _TEXTS]
        writer.writerows(_escaped(list(pick(row)), texts) for row in rows)


class _LineEnds:
    """Ends rows with a line feed alone; the module quotes of line ends those that it writes."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, row: str) -> int:
        """Write one row."""
        return self._file.write(row.removesuffix(_QUOTED_ENDS) + "\n")


def _escaped(cells: list[object], texts: Iterable[int]) -> list[object]:
    """Return the cells, those of text escaped: a number may well begin with a minus."""
    for index in texts:
        text = cells[index]
        # Of nearly all cells the first character says enough, and there are very many.
        if text and (text[0] in SUSPECT or "\0" in text):  # type: ignore[index, operator]
            # Python 3.10 reads no file that holds a zero character.
            cells[index] = escaped_cell(str(text).replace("\0", r"\x00"))
    return cells


def read_results_csv(path: str | Path, *, early: bool = False) -> list[dict[str, str]]:
    """Return the rows of a results CSV, of this or the early version, every cell as its text.

    With `early` those of the early version alone. Columns that the file lacks are empty, columns
    that BlockZoo does not know are left out.
    Raises `ResultsError` for a file that is no results CSV or is truncated, `SchemaError` for one
    of a newer version.
    """
    rows = _checked_rows(path, COLUMNS, EARLY_COLUMNS)
    # One by one, for of a file of BlockZoo's own there may be very many.
    return [_cells(row, COLUMNS) for row in rows if not (early and row.get("schema_version"))]


def read_rows(
    path: str | Path, columns: Collection[str], required: Collection[str] | None = None
) -> list[dict[str, str]]:
    """Return those columns of a CSV, every cell as its text; see `read_results_csv`.

    `required` columns must be there, all if None.
    """
    return [_cells(row, columns) for row in _checked_rows(path, columns, required)]


def _cells(row: Mapping[str, str], columns: Collection[str]) -> dict[str, str]:
    cells = {name: row.get(name, "") for name in columns}
    return {n: unescaped_cell(cell) if n in _TEXTS else cell for n, cell in cells.items()}


def _checked_rows(
    path: str | Path, columns: Collection[str], required: Collection[str] | None
) -> Iterator[dict[str, str]]:
    """Yield the rows as they are in the file."""
    lines = _lines(path)
    header = next(lines, [])
    _check_header(header, path, columns if required is None else required)
    line = next(lines, None)
    # The early version's files may have been edited by hand; BlockZoo ends every line of its own.
    if ("schema_version" in header or line is None) and not _ends(path):
        raise ResultsError(f"{path} is truncated: its last row does not end")
    number = 0
    while line is not None:
        row, line, number = line, next(lines, None), number + 1
        if len(row) != len(header):
            end = "the file may be truncated" if line is None else "the file is damaged"
            raise ResultsError(
                f"{path}: row {number} has {len(row)} values for {len(header)} columns; {end}"
            )
        by_column = dict(zip(header, row, strict=True))
        check_schema_version(by_column.get("schema_version") or 1, location=str(path))
        yield by_column


def _check_header(header: list[str], path: str | Path, required: Collection[str]) -> None:
    missing = [name for name in required if name not in header]
    if missing:
        some = ", ".join(missing[:4]) + (" and others" if len(missing) > 4 else "")
        raise ResultsError(f"{path} is not a BlockZoo results file: no column {some}")


def _lines(path: str | Path) -> Iterator[list[str]]:
    """Yield the cells of all lines that are not blank."""
    try:
        # Spreadsheets may begin a file with a byte order mark; line breaks within cells are kept.
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            yield from filter(None, csv.reader(file, strict=True))
    except csv.Error as error:
        raise ResultsError(f"{path} is damaged or truncated: {error}") from None
    except UnicodeDecodeError:
        raise ResultsError(f"{path} is not a BlockZoo results file: it is not text") from None
    except OSError as error:
        raise ResultsError(f"{path} cannot be read: {error.strerror or error}") from error


def _ends(path: str | Path) -> bool:
    """Tell whether the last line of a file that is not empty ends."""
    with Path(path).open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"
