"""What `sweep` does: run what the store lacks, then show the summary and the plots."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import typer

from blockzoo.analysis.compare import typical_deviation
from blockzoo.analysis.summary import summarize
from blockzoo.analysis.trainings import trained
from blockzoo.cli.actions.apart import blocks_apart
from blockzoo.cli.actions.choices import chosen_seeds
from blockzoo.cli.actions.keeping import csv_location, open_store, require_usable
from blockzoo.cli.actions.requests import fitted_sweep, sweep_request
from blockzoo.cli.option_groups import TrainingOptions, as_arguments
from blockzoo.cli.screen.consoles import load_data, output_console, say, say_data
from blockzoo.cli.screen.next_steps import next_steps, unfound_line
from blockzoo.cli.screen.sweep_progress import progress_of
from blockzoo.core.position import Position
from blockzoo.experiments.compare import detectable_by
from blockzoo.experiments.execution.executors import trainers_side_by_side
from blockzoo.experiments.protocol import QUICK, Protocol
from blockzoo.experiments.sweep.run import run_sweep
from blockzoo.report.tables.summary import older_identity_line, summary_table
from blockzoo.report.visualize import visualize
from blockzoo.results.records import TrainingRecord
from blockzoo.results.store.database import Store
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
    chosen = replace(chosen, protocol=QUICK) if quick else chosen
    request = sweep_request(
        chosen,
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
        unfound = _unfound(request.protocol, store)
    _show_sweep(request.protocol, csv, plots, unfound)
    _show_next_steps(chosen, request.protocol)
    if result.failed:
        say(f"{result.failed} failed; their reasons are in {csv}")
        raise typer.Exit(1)


def _unfound(protocol: Protocol, store: Store) -> str:
    """Return the line on what the seeds cannot find, by how these blocks differ over them."""
    known = store.listed("training", status="ok", protocol=protocol.label)
    deviation = typical_deviation(
        trained(
            record
            for record in known
            if isinstance(record, TrainingRecord) and record.block in protocol.blocks
        )
    )
    comparisons = len(protocol.blocks) - 1
    return unfound_line(
        len(protocol.seeds), detectable_by(deviation, len(protocol.seeds), comparisons)
    )


def _show_next_steps(chosen: TrainingOptions, protocol: Protocol) -> None:
    own = {"blocks", "everything", "positions"}
    steps = next_steps(
        protocol.blocks,
        protocol.context,
        position=str(Position.MID if Position.MID in protocol.positions else protocol.positions[0]),
        options=as_arguments(chosen, without=own),
        results=chosen.results,
    )
    for line in steps:
        # On standard output, for they are of what was found; never wrapped, for they are copied.
        output_console().print(line, highlight=False, soft_wrap=True)


def _show_sweep(protocol: Protocol, csv: Path, plots: bool, unfound: str) -> None:
    frame = load_results(csv)
    summary = summarize(frame)
    # The file holds all that was ever run into this folder; shown is this sweep's protocol.
    output_console().print(summary_table(summary[summary.protocol == protocol.label]))
    if unfound:
        output_console().print(unfound, highlight=False, soft_wrap=True)
    if line := older_identity_line(frame[frame.protocol == protocol.label]):
        say(line)
    written = [csv]
    if plots and not summary.empty:
        written += visualize(csv, csv.parent / "plots")
    for path in written:
        say(f"wrote {path}")
