"""The options of `compare`: those of training, and when to stop."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from blockzoo.cli import shared_options
from blockzoo.cli.option_groups import TrainingOptions
from blockzoo.core import ranges


@dataclass(frozen=True, kw_only=True)
class CompareOptions(TrainingOptions):
    """How many seeds a comparison takes, what counts as equal, and what is shown of it."""

    seeds: shared_options.Seeds = None
    until_decided: Annotated[
        bool,
        typer.Option(
            "--until-decided", help="Add seeds until every pair is decided: at 5, 10 and 20."
        ),
    ] = False
    time_budget_h: Annotated[
        float | None,
        typer.Option(
            "--time-budget", metavar="HOURS", help="As many seeds as about that time allows."
        ),
        ranges.SECONDS,
    ] = None
    matches: Annotated[
        list[str] | None,
        typer.Option(
            "--match",
            metavar="COST[@Nx]",
            help="Fit every block's stage to N times the context block's macs, params or latency "
            "first; repeatable.",
        ),
    ] = None
    margin_points: Annotated[
        float,
        typer.Option("--margin", help="Points of accuracy within which blocks count as equal."),
        ranges.POINTS,
    ] = 0.3
    dry_run: shared_options.DryRun = False
    latency_budget_s: shared_options.LatencyBudget = None
    latency_processes: shared_options.LatencyProcesses = None
    plot: shared_options.Plot = None
    report: Annotated[
        Path | None,
        typer.Option(
            "--report", metavar="FILE.html", help="Also write it as one page that needs no other."
        ),
    ] = None
    workers: shared_options.Workers = None
