"""`blockzoo sweep`: the main job."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from blockzoo.cli.app import examples
from blockzoo.cli.requests import TrainingOptions, spread

if TYPE_CHECKING:
    from pathlib import Path

    from blockzoo.experiments.protocol import Protocol


@examples(
    "blockzoo sweep --quick",
    "blockzoo sweep --protocol v1 --dataset cifar100 --seeds 5",
    "blockzoo sweep RepMixer MBConvLNBlock -p mid --dataset images.npz --width 32 --epochs 20",
)
@spread
def sweep(
    given: TrainingOptions,
    quick: Annotated[
        bool, typer.Option("--quick", help="Short for --protocol quick: three blocks on digits.")
    ] = False,
    seeds: Annotated[
        int | None, typer.Option("--seeds", help="How many seeds. (default: the protocol's)")
    ] = None,
    latency_budget: Annotated[
        float | None,
        typer.Option(
            "--latency-budget",
            help="Seconds of timing per block and position at the most. (default: the protocol's)",
        ),
    ] = None,
    plots: Annotated[
        bool, typer.Option("--plots/--no-plots", help="Draw the plots at the end.")
    ] = True,
    side_by_side: Annotated[
        int, typer.Option("--side-by-side", help="Trainings at once, each in its own process.")
    ] = 1,
) -> None:
    """Measure blocks at all positions over seeds: cost, latency, training; then table and plots.

    What the store in the results folder already holds is not run again. A trial that fails is
    recorded with its reason and the sweep goes on. Stop it at any time and run it again.
    """
    from blockzoo.cli.choices import chosen_seeds, csv_location, open_store
    from blockzoo.cli.screen.consoles import load_data, message_console
    from blockzoo.cli.screen.sweep_progress import SweepProgress
    from blockzoo.experiments.execution.executors import trainers_side_by_side
    from blockzoo.experiments.sweep.run import run_sweep

    request = replace(given, protocol="quick" if quick else given.protocol).request(
        seeds=None if seeds is None else chosen_seeds(seeds),
        latency_budget_s=latency_budget,
        protocols_blocks=True,
    )
    load_data(request)
    messages, csv = message_console(), csv_location(given.results)
    with (
        open_store(given.results, create=True) as store,
        SweepProgress(messages) as listener,
        trainers_side_by_side(side_by_side, request.device) as trainers,
    ):
        result = run_sweep(request, store, csv_path=csv, trainers=trainers, listener=listener)
    _show(request.protocol, csv, plots)
    if result.failed:
        messages.print(f"{result.failed} failed; their reasons are in {csv}")
        raise typer.Exit(1)


def _show(protocol: Protocol, csv: Path, plots: bool) -> None:
    from blockzoo.analysis.summary import summarize
    from blockzoo.cli.screen.consoles import message_console, output_console
    from blockzoo.report.tables.measured import summary_table
    from blockzoo.report.visualize import visualize
    from blockzoo.results.table.frame import load_results

    summary = summarize(load_results(csv))
    output_console().print(summary_table(summary[summary.protocol == protocol.label]))
    written = [csv]
    if plots and not summary.empty:
        written += visualize(csv, csv.parent / "plots")
    for path in written:
        message_console().print(f"wrote {path}", highlight=False, soft_wrap=True)
