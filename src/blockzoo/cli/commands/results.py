"""`blockzoo visualize` and `blockzoo results`: what was measured, as plots, a table or files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from blockzoo.cli import shared_options
from blockzoo.cli.app import examples
from blockzoo.core import ranges


@examples(
    "blockzoo visualize",
    "blockzoo visualize results/results.csv --output-dir figures --format svg",
)
def visualize(
    source: shared_options.Source = "results",
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
    from blockzoo.cli.actions import results as action

    action.draw(source, output_dir, formats or [])


@examples(
    "blockzoo results",
    "blockzoo results results/blockzoo.db --export results.parquet",
    "blockzoo results --latencies --export latencies.parquet",
    "blockzoo results --robustness --time-to 0.5 --time-to 0.6",
    "blockzoo results --checklist > checklist.md",
    "blockzoo results --export everything.jsonl",
    "blockzoo results --export answers.npz",
    "blockzoo results --import everything.jsonl",
)
def results(
    source: shared_options.Source = "results",
    export: Annotated[
        Path | None,
        typer.Option(
            "--export",
            help="Write .csv, .parquet, .jsonl (whole records), .bundle.zip (the same, to hand on) "
            "or .npz (which test images each training answered rightly).",
        ),
    ] = None,
    import_from: Annotated[
        Path | None,
        typer.Option("--import", help="Put the records of a bundle into the store."),
    ] = None,
    skip_bad: shared_options.SkipBad = False,
    bad: Annotated[
        bool, typer.Option("--bad", help="List the records that cannot be read, and why not.")
    ] = False,
    latencies: Annotated[
        bool,
        typer.Option("--latencies", help="Show, or export, every timing: one row each."),
    ] = False,
    robustness: Annotated[
        bool,
        typer.Option("--robustness", help="Also show accuracy on changed test images."),
    ] = False,
    checklist: Annotated[
        bool,
        typer.Option("--checklist", help="Write what a paper has to say of these experiments."),
    ] = False,
    time_to: Annotated[
        list[float] | None,
        typer.Option(
            "--time-to",
            help="Also show the seconds of training until this validation accuracy, "
            "a fraction of 1; may be repeated.",
        ),
        ranges.REACHED,
    ] = None,
) -> None:
    """Show the summary of the results, export them, or import somebody else's.

    `blockzoo results list`, `show`, `export`, `import`, `merge`, `verify` and `prune` do more; a
    folder of such a name is `./list`.

    A bundle with a line that holds no record is refused, with the line's number; nothing of it is
    put into the store. With `--skip-bad` such lines are left out, each with its reason.
    """
    from blockzoo.cli.actions import results as action

    # Imported first: given both, what is written includes what was just taken in.
    if import_from is not None:
        action.import_records(import_from, source, skip_bad=skip_bad)
    if export is not None:
        action.export_records(source, export, latencies=latencies)
    if bad:
        action.show_bad(source)
    elif checklist:
        action.show_checklist(source)
    elif import_from is None and export is None:
        action.show(source, robustness=robustness, accuracies=time_to or [], latencies=latencies)
