"""Where commands keep records, and how they end where one failed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from blockzoo.core.errors import InputError, ResultsError
from blockzoo.results.records import Record
from blockzoo.results.store.database import Store
from blockzoo.results.store.engines import STORE_NAME, is_postgres, store_path
from blockzoo.results.table.csv import CSV_NAME, write_csv_files, write_results_csv


def open_store(results: str, *, create: bool) -> Store:
    """Open the store in that folder, that file, or that database."""
    # A folder need not be there yet, and a name without a suffix is one.
    if create and "://" not in results and not Path(results).suffix:
        return Store(Path(results) / STORE_NAME, create=True)
    return Store(results, create=create)


def csv_location(results: str) -> Path:
    """Return where results.csv goes: into the folder, or beside the store's file.

    Beside a database URL that is the folder `results` here.

    >>> csv_location("kept").as_posix(), csv_location("kept/my.db").as_posix()
    ('kept/results.csv', 'kept/results.csv')
    """
    if "://" in results:
        return Path("results") / CSV_NAME
    path = Path(results)
    return (path.parent if path.suffix else path) / CSV_NAME


def require_usable(results: str | None, output: Path | None) -> None:
    """Raise `InputError` for places where nothing could be kept, before there is anything.

    >>> require_usable("results", Path("rows.csv"))
    """
    if results is not None and not is_postgres(results):
        try:
            path = store_path(results)
        except ResultsError as error:
            raise InputError(str(error)) from None
        if path.is_dir():
            raise InputError(f"--results is {results}; {path} is a folder, not a store")
    if output is not None and output.is_dir():
        raise InputError(f"--output is {output}; that is a folder, give a file")


def keep(records: Sequence[Record], results: str | None, output: Path | None) -> None:
    """Put the records into the store in `results`, and their rows into the file `output`."""
    if results is not None:
        with open_store(results, create=True) as store:
            for record in records:
                store.put(record)
            # All rows of the store and not these alone: the file beside a store mirrors it.
            write_csv_files(store, csv_location(results))
    if output is not None:
        write_results_csv(records, output)


def fail_if_any_failed(records: Sequence[Record]) -> None:
    """Exit with status 1 where a record failed."""
    if any(record.status == "failed" for record in records):
        raise typer.Exit(1)
