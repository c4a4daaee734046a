"""Where results lie, and what `results` and `visualize` do with them; never torch.

What takes long to import, pandas and matplotlib among it, each action imports itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from blockzoo.cli.actions.keeping import open_store
from blockzoo.cli.screen.consoles import output_console, say, show_written
from blockzoo.core.errors import InputError
from blockzoo.core.ranges import REACHED, check_all
from blockzoo.results.store.engines import has_whole_records

if TYPE_CHECKING:
    from blockzoo.report.tables.fitting import FittedTable
    from blockzoo.results.store.taking import Taken


def draw(source: str, folder: Path | None, formats: Sequence[str]) -> None:
    """Draw all plots that the results allow, in both formats unless told which."""
    from blockzoo.report.tables.summary import older_identity_line
    from blockzoo.report.visualize import visualize
    from blockzoo.results.table.frame import load_results

    for path in visualize(source, folder, formats=tuple(formats or ("png", "svg"))):
        show_written(path)
    if line := older_identity_line(load_results(source)):
        say(line)


def import_records(bundle: Path, source: str, *, skip_bad: bool) -> None:
    """Put the records of a bundle into the store, which is made where there is none."""
    from blockzoo.results.export import import_bundle
    from blockzoo.results.submissions.bundle import is_bundle, read_bundle

    if is_bundle(bundle):
        with open_store(source, create=True) as store:
            taken = read_bundle(bundle, store, skip_bad=skip_bad)
        say_taken(f"imported {taken.records} records into {source}", taken)
        return
    with open_store(source, create=True) as store:
        imported = import_bundle(bundle, store, skip_bad=skip_bad)
    output_console().print(f"imported {imported.records} records into {source}")
    for reason in imported.skipped:
        say(f"left out: {reason}")


def show_bad(source: str) -> None:
    """Show what is in the store and cannot be read, a line each; exits with status 1 if any is."""
    with open_store(source, create=False) as store:
        rows = store.bad_rows()
    for row in rows:
        output_console().print(row.reason, highlight=False, soft_wrap=True)
    if rows:
        raise typer.Exit(1)
    output_console().print("every record can be read")


def show_checklist(source: str) -> None:
    """Write the answers of a paper's checklist, as Markdown."""
    from blockzoo.analysis.checklist import checklist
    from blockzoo.report.checklist import checklist_text

    with open_store(source, create=False) as store:
        found = checklist(store.listed())
    output_console().print(checklist_text(found), highlight=False, markup=False, soft_wrap=True)


def export_records(source: str, file: Path, *, latencies: bool) -> None:
    """Write the whole store to a file, whose suffix says how; or its latencies alone."""
    from blockzoo.results.export import export

    with open_store(source, create=False) as store:
        export(store, file, latencies=latencies)
    show_written(file)


def show(source: str, *, robustness: bool, accuracies: Sequence[float], latencies: bool) -> None:
    """Show the summary, and the tables that were asked for.

    Where nothing was trained, the latencies are all there is to show.
    """
    if _holds_nothing(source):
        output_console().print(f"{source} holds no results yet", highlight=False, markup=False)
        return
    from blockzoo.analysis.summary import summary_of
    from blockzoo.report.tables.summary import older_rows_line, summary_table, untrained_line

    tables = _training_tables(source, robustness, accuracies)
    summary, (older, rows) = summary_of(source)
    timed = _timing_tables(source, shown=latencies) if latencies or summary.empty else []
    # Where nothing was trained, timings take the summary's place.
    if summary.empty and not timed:
        say(untrained_line(source))
    tables = [*timed, *tables] if summary.empty else [summary_table(summary), *tables, *timed]
    for table in tables:
        output_console().print(table)
    if line := older_rows_line(older, rows):
        say(line)


def _timing_tables(source: str, *, shown: bool) -> list[FittedTable]:
    """Return the tables of latencies; where there are none a table that says so, if it is shown."""
    from blockzoo.report.tables.latencies import latencies_table
    from blockzoo.results.table.latencies import load_latencies

    timed = load_latencies(source)
    return [latencies_table(timed), *_way_tables(source)] if shown or len(timed) else []


def _holds_nothing(source: str) -> bool:
    """Tell whether there is a store that nothing was put into."""
    if not has_whole_records(source):
        return False
    with open_store(source, create=False) as store:
        return store.is_empty


def _way_tables(source: str) -> list[FittedTable]:
    """Return the table of ways of running, where a store has networks timed in several at once."""
    if not has_whole_records(source):  # rows of a CSV have no samples to be paired
        return []
    from blockzoo.analysis.ways import way_ratios
    from blockzoo.report.tables.ways import ways_table

    with open_store(source, create=False) as store:
        found = way_ratios(store.each(kind="latency"))
    return [ways_table(found)] if found else []


def _training_tables(
    source: str, robustness: bool, accuracies: Sequence[float]
) -> list[FittedTable]:
    """Return the tables that need whole records, as the store alone has them."""
    if not robustness and not accuracies:
        return []
    # A percent, 60 say, would be reached by no training and look like a result.
    check_all(accuracies, "--time-to", REACHED)
    from blockzoo.report.tables.training import robustness_tables, time_table

    with open_store(source, create=False) as store:
        trainings = store.records(kind="training")
    tables = robustness_tables(trainings) if robustness else []
    if robustness and not tables:
        raise InputError(f"no training in {source} was tested so; train with --robustness")
    return [*tables, *([time_table(trainings, accuracies)] if accuracies else [])]


def say_taken(what: str, taken: Taken) -> None:
    """Print what came of records that were put into a store, and why some were left out."""
    output_console().print(f"{what}: {taken}", highlight=False, soft_wrap=True)
    for reason in taken.skipped:
        say(f"left out: {reason}")
