"""`blockzoo visualize` and `blockzoo results`: what was measured, as plots, a table or files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blockzoo.cli.app import examples
from blockzoo.core.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table

Source = Annotated[
    str, typer.Argument(help="A results folder, a store (file or URL), or a results CSV.")
]


@examples(
    "blockzoo visualize",
    "blockzoo visualize results/results.csv --output-dir figures --format svg",
)
def visualize(
    source: Source = "results",
    output_dir: Annotated[
        Path | None,
        typer.Option(
            "--output-dir", "-o", help="Folder of the plots. (default: plots beside the results)"
        ),
    ] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", help="png or svg; may be repeated. Default: both."),
    ] = None,
) -> None:
    """Plot accuracy against latency, FLOPs and memory, one figure per data set and protocol."""
    from blockzoo.cli.screen.consoles import output_console
    from blockzoo.report.visualize import visualize as draw

    for path in draw(source, output_dir, formats=tuple(formats or ("png", "svg"))):
        output_console().print(f"wrote {path}", highlight=False, soft_wrap=True)


@examples(
    "blockzoo results",
    "blockzoo results results/blockzoo.db --export results.parquet",
    "blockzoo results --robustness --time-to 0.5 --time-to 0.6",
    "blockzoo results --export everything.jsonl",
    "blockzoo results --import everything.jsonl",
)
def results(
    source: Source = "results",
    export: Annotated[
        Path | None,
        typer.Option("--export", help="Write .csv, .parquet, or .jsonl (whole records)."),
    ] = None,
    import_from: Annotated[
        Path | None,
        typer.Option("--import", help="Put the records of a .jsonl bundle into the store."),
    ] = None,
    robustness: Annotated[
        bool,
        typer.Option("--robustness", help="Also show accuracy on changed test images."),
    ] = False,
    time_to: Annotated[
        list[float] | None,
        typer.Option(
            "--time-to",
            help="Also show the seconds of training until this validation accuracy, "
            "a fraction of 1; may be repeated.",
        ),
    ] = None,
) -> None:
    """Show the summary of the results, export them, or import somebody else's."""
    from blockzoo.analysis.summary import summarize
    from blockzoo.cli.choices import open_store
    from blockzoo.cli.screen.consoles import output_console
    from blockzoo.report.tables.measured import summary_table
    from blockzoo.results.export import export as write
    from blockzoo.results.export import import_bundle
    from blockzoo.results.table.frame import load_results

    console = output_console()
    if import_from is not None:
        with open_store(source, create=True) as store:
            console.print(f"imported {import_bundle(import_from, store)} records into {source}")
    if export is not None:
        with open_store(source, create=False) as store:
            write(store, export)
        console.print(f"wrote {export}", highlight=False, soft_wrap=True)
    if import_from is None and export is None:
        tables = _training_tables(source, robustness, time_to or [])
        for table in (summary_table(summarize(load_results(source))), *tables):
            console.print(table)


def _training_tables(source: str, robustness: bool, accuracies: list[float]) -> list[Table]:
    """Return the tables that need whole records, as the store alone has them."""
    from blockzoo.cli.choices import open_store
    from blockzoo.report.tables.training import robustness_tables, time_table

    if not robustness and not accuracies:
        return []
    for accuracy in accuracies:
        if not 0 < accuracy <= 1:
            raise InputError(f"--time-to is {accuracy:g}; it must be above 0 and at most 1")
    with open_store(source, create=False) as store:
        trainings = store.records(kind="training")
    tables = robustness_tables(trainings) if robustness else []
    if robustness and not tables:
        raise InputError(f"no training in {source} was tested so; train with --robustness")
    return [*tables, *([time_table(trainings, accuracies)] if accuracies else [])]
