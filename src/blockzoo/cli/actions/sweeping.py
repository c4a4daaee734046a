"""What `sweep` does: run what the store lacks, then show the summary and the plots."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import typer

from blockzoo.analysis.summary import summarize
from blockzoo.cli.actions.apart import blocks_apart
from blockzoo.cli.actions.choices import chosen_seeds
from blockzoo.cli.actions.keeping import csv_location, open_store, require_usable
from blockzoo.cli.actions.requests import fitted_sweep, sweep_request
from blockzoo.cli.option_groups import TrainingOptions
from blockzoo.cli.screen.consoles import load_data, output_console, say, say_data
from blockzoo.cli.screen.sweep_progress import progress_of
from blockzoo.experiments.execution.executors import trainers_side_by_side
from blockzoo.experiments.protocol import Protocol
from blockzoo.experiments.sweep.run import run_sweep
from blockzoo.report.tables.summary import older_identity_line, summary_table
from blockzoo.report.visualize import visualize
from blockzoo.results.table.frame import load_results


@blocks_apart
def sweep(
    chosen: TrainingOptions,
    *,
    quick: bool,
    seeds: int | None,
    latency_budget_s: float | None,
    plots: bool,
    side_by_side: int,
    trust_unsure: bool,
) -> None:
    """Run what the store does not hold yet of the sweep, then show its summary and plots."""
    request = sweep_request(
        replace(chosen, protocol="quick") if quick else chosen,
        seeds=None if seeds is None else chosen_seeds(seeds),
        latency_budget_s=latency_budget_s,
        protocols_blocks=True,
    )
    request = replace(request, trust_unsure=trust_unsure)
    require_usable(chosen.results, None)
    load_data(request)
    csv = csv_location(chosen.results)
    with (
        open_store(chosen.results, create=True) as store,
        progress_of(request, store, side_by_side) as listener,
        trainers_side_by_side(side_by_side, request.device) as trainers,
    ):
        say_data(request)
        request = fitted_sweep(request, store)
        result = run_sweep(request, store, csv_path=csv, trainers=trainers, listener=listener)
    _show_sweep(request.protocol, csv, plots)
    if result.failed:
        say(f"{result.failed} failed; their reasons are in {csv}")
        raise typer.Exit(1)


def _show_sweep(protocol: Protocol, csv: Path, plots: bool) -> None:
    frame = load_results(csv)
    summary = summarize(frame)
    # The file holds all that was ever run into this folder; shown is this sweep's protocol.
    output_console().print(summary_table(summary[summary.protocol == protocol.label]))
    if line := older_identity_line(frame[frame.protocol == protocol.label]):
        say(line)
    written = [csv]
    if plots and not summary.empty:
        written += visualize(csv, csv.parent / "plots")
    for path in written:
        say(f"wrote {path}")
