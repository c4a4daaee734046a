"""Where results lie, and what `results` and `visualize` do with them; never torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer
from rich.table import Table

from blockzoo.analysis.summary import summarize
from blockzoo.cli.screen.consoles import output_console, show_written
from blockzoo.core.errors import InputError
from blockzoo.report.tables.measured import summary_table
from blockzoo.report.tables.training import robustness_tables, time_table
from blockzoo.report.visualize import visualize
from blockzoo.results.export import export, import_bundle
from blockzoo.results.records import Record
from blockzoo.results.store.database import STORE_NAME, Store
from blockzoo.results.table.csv import CSV_NAME, write_results_csv
from blockzoo.results.table.frame import load_results


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


def keep(records: Sequence[Record], results: str | None, output: Path | None) -> None:
    """Put the records into the store in `results`, and their rows into the file `output`."""
    if results is not None:
        with open_store(results, create=True) as store:
            for record in records:
                store.put(record)
            # All rows of the store and not these alone: the file beside a store mirrors it.
            write_results_csv(store, csv_location(results))
    if output is not None:
        write_results_csv(records, output)


def fail_if_any_failed(records: Sequence[Record]) -> None:
    """Exit with status 1 where a record failed."""
    if any(record.status == "failed" for record in records):
        raise typer.Exit(1)


def draw(source: str, folder: Path | None, formats: Sequence[str]) -> None:
    """Draw all plots that the results allow, in both formats unless told which."""
    for path in visualize(source, folder, formats=tuple(formats or ("png", "svg"))):
        show_written(path)


def import_records(bundle: Path, source: str) -> None:
    """Put the records of a .jsonl bundle into the store, which is made where there is none."""
    with open_store(source, create=True) as store:
        output_console().print(f"imported {import_bundle(bundle, store)} records into {source}")


def export_records(source: str, file: Path) -> None:
    """Write the whole store to a file, whose suffix says how."""
    with open_store(source, create=False) as store:
        export(store, file)
    show_written(file)


def show(source: str, *, robustness: bool, accuracies: Sequence[float]) -> None:
    """Show the summary, and the tables that were asked for."""
    tables = _training_tables(source, robustness, accuracies)
    for table in (summary_table(summarize(load_results(source))), *tables):
        output_console().print(table)


def _training_tables(source: str, robustness: bool, accuracies: Sequence[float]) -> list[Table]:
    """Return the tables that need whole records, as the store alone has them."""
    if not robustness and not accuracies:
        return []
    for accuracy in accuracies:
        # A percent, 60 say, would be reached by no training and look like a result.
        if not 0 < accuracy <= 1:
            raise InputError(f"--time-to is {accuracy:g}; it must be above 0 and at most 1")
    with open_store(source, create=False) as store:
        trainings = store.records(kind="training")
    tables = robustness_tables(trainings) if robustness else []
    if robustness and not tables:
        raise InputError(f"no training in {source} was tested so; train with --robustness")
    return [*tables, *([time_table(trainings, accuracies)] if accuracies else [])]
