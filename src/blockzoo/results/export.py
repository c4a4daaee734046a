"""Results for others: tables of the rows as CSV and Parquet, and bundles of whole records.

A bundle is JSON lines: a header that says how many records follow, then one record per line with
everything that the store has of it. Taking a bundle in gives the same records again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from blockzoo.core.errors import InputError, ResultsError
from blockzoo.core.files import replacing
from blockzoo.results.answers import export_answers
from blockzoo.results.records import SCHEMA_VERSION, AnyRecord
from blockzoo.results.store.database import Store
from blockzoo.results.store.reading import parse_record
from blockzoo.results.store.schema import check_schema_version
from blockzoo.results.submissions.bundle import write_bundle
from blockzoo.results.table.csv import write_latencies_csv, write_results_csv
from blockzoo.results.table.frame import results_frame
from blockzoo.results.table.latencies import latencies_frame

_PART = 500
"""Records that are put at once."""
_HEADER_BYTES = 64
_LONGEST_LINE = 2**28
"""Bytes; thousands of times what a record of the longest timing takes."""


class _Header(BaseModel):
    # JSON of something else, with fields of its own, is then not taken for a header.
    model_config = ConfigDict(extra="forbid")

    blockzoo_bundle: int
    records: int


def export(store: Store, path: str | Path, *, latencies: bool = False) -> None:
    """Write the store to `path`: rows as .csv or .parquet, whole records as a .jsonl bundle.

    As .npz it is which test images each training answered rightly, see `answers.export_answers`;
    as .bundle.zip all records in one file to hand on, see `submissions.bundle`.
    With `latencies` the rows are those of `latencies.csv`: one a timing.

    Raises `InputError` for any other suffix and what the writer of that form raises.

    >>> with Store("results", create=True) as store:
    ...     export(store, "rows.csv")
    >>> Path("rows.csv").read_text().startswith("timestamp,block,dataset")
    True
    """
    forms: dict[str, Callable[[Store, str | Path], object]] = {
        ".csv": write_results_csv,
        ".parquet": export_parquet,
        ".jsonl": export_bundle,
        ".npz": export_answers,
        ".zip": write_bundle,
    }
    if latencies:
        forms = {".csv": write_latencies_csv, ".parquet": export_latencies_parquet}
    write = forms.get(Path(path).suffix.lower())
    if write is None:
        raise InputError(f"cannot export to {path}; its name must end in {', '.join(forms)}")
    write(store, path)


def export_parquet(store: Store, path: str | Path) -> int:
    """Write the rows of `results.csv` as a Parquet table and return how many there are.

    Raises `ResultsError` without pyarrow (`blockzoo[parquet]`) and when the file cannot be written.
    """
    return _write_parquet(results_frame(store), path)


def export_latencies_parquet(store: Store, path: str | Path) -> int:
    """Write the rows of `latencies.csv` as a Parquet table; see `export_parquet`."""
    return _write_parquet(latencies_frame(store), path)


def _write_parquet(frame: pd.DataFrame, path: str | Path) -> int:
    with replacing(path) as scratch:
        try:
            frame.to_parquet(scratch, engine="pyarrow", index=False)
        except ImportError as error:
            raise ResultsError("Parquet needs pyarrow: pip install 'blockzoo[parquet]'") from error
    return len(frame)


def export_bundle(store: Store, path: str | Path) -> int:
    """Write all records of the store to a bundle and return how many there are.

    >>> with Store("mine", create=True) as mine, Store("theirs", create=True) as theirs:
    ...     written = export_bundle(mine, "results.jsonl")
    ...     taken = import_bundle("results.jsonl", theirs)
    >>> written, taken.records
    (0, 0)
    """
    written = 0
    # As bytes: the same on every system, whatever its line ends.
    with replacing(path) as scratch, scratch.open("wb") as file:
        # The header says how many there are, which is known at the end.
        file.write(_header_line(0))
        for line in store.lines():
            file.write(line + b"\n")
            written += 1
        file.seek(0)
        file.write(_header_line(written))
    return written


def _header_line(records: int) -> bytes:
    """Return the header, as long for any number of records."""
    header = _Header(blockzoo_bundle=SCHEMA_VERSION, records=records).model_dump_json()
    return header.encode().ljust(_HEADER_BYTES) + b"\n"


@dataclass(frozen=True, kw_only=True)
class Imported:
    """How many records of a bundle were put into a store, and what was wrong with the others."""

    records: int
    skipped: tuple[str, ...] = ()


def import_bundle(path: str | Path, store: Store, *, skip_bad: bool = False) -> Imported:
    """Put all records of a bundle into the store, or none, and return how many it holds.

    Records that the store has already stay where they are the better ones (see `Store.put`).
    Lines are read one by one, twice: all are checked before the first is put, in parts of 500, so
    that no bundle is too large for the memory and the store is never locked for long.
    With `skip_bad`, lines that hold no record are left out, each with its number and reason.
    Raises `ResultsError` for a file that is no bundle, is damaged or truncated, `SchemaError` for
    one of a newer version.
    """
    skipped: list[str] | None = [] if skip_bad else None
    records = sum(1 for _ in _read_bundle(path, skipped))
    # What is wrong is known by now; a second time it is only passed over.
    again = _read_bundle(path, None if skipped is None else [])
    while part := list(islice(again, _PART)):
        store.put_all(part)
    return Imported(records=records, skipped=tuple(skipped or ()))


def _read_bundle(path: str | Path, skipped: list[str] | None) -> Iterator[AnyRecord]:
    """Yield the records; what is wrong with a line is raised, or goes into `skipped`."""
    try:
        with Path(path).open("rb") as file:
            yield from _records(path, file, skipped)
    except OSError as error:
        raise ResultsError(f"{path} cannot be read: {error.strerror or error}") from error


def _records(path: str | Path, file: BinaryIO, skipped: list[str] | None) -> Iterator[AnyRecord]:
    try:
        header = _Header.model_validate_json(file.readline(_LONGEST_LINE))
    except ValidationError:
        raise ResultsError(
            f"{path} is not a BlockZoo bundle: its first line is no header"
        ) from None
    check_schema_version(header.blockzoo_bundle, location=str(path))
    number = 0
    for number, line in enumerate(iter(partial(file.readline, _LONGEST_LINE), b""), start=1):
        # The last line ends too. Of one that does not, no record is taken, even if it is whole.
        if not line.endswith(b"\n"):
            raise _damaged(path, header)
        record = _record(line, f"{path}, line {number + 1},", skipped)
        if record is not None:
            yield record
    if number != header.records:
        raise _damaged(path, header)


def _damaged(path: str | Path, header: _Header) -> ResultsError:
    return ResultsError(f"{path} is truncated or damaged: {header.records} records were written")


def _record(line: bytes, location: str, skipped: list[str] | None) -> AnyRecord | None:
    try:
        return parse_record(line, location=location)
    except ResultsError as error:
        if skipped is None:
            raise
        skipped.append(str(error))
        return None
