"""The options of `sweep`: those of training, which trials are run here, and when to stop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from blockzoo.cli import shared_options
from blockzoo.cli.option_groups import TrainingOptions
from blockzoo.core import ranges


@dataclass(frozen=True, kw_only=True)
class SweepOptions(TrainingOptions):
    """What of a sweep is run, in which order of things, and for how long."""

    blocks: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="BLOCK",
            help="Names as `blockzoo blocks` lists them, or FILE.py:CLASS, or MODULE:CLASS; or one "
            "sweep file, FILE.toml; or the word `status`, which shows how far the sweeps are that "
            "write into --results.",
        ),
    ] = None
    quick: Annotated[
        bool, typer.Option("--quick", help="Short for --protocol quick3: three blocks on digits.")
    ] = False
    seeds: shared_options.Seeds = None
    latency_budget_s: shared_options.LatencyBudget = None
    latency_processes: shared_options.LatencyProcesses = None
    dry_run: shared_options.DryRun = False
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only", metavar="KIND", help="Run cost, latency or training alone; repeatable."
        ),
    ] = None
    retry_failed: Annotated[
        bool,
        typer.Option(
            "--retry-failed/--keep-failed", help="Try again what failed before. (default: yes)"
        ),
    ] = True
    time_budget_h: Annotated[
        float | None,
        typer.Option(
            "--time-budget", metavar="HOURS", help="Start nothing that would not end in that time."
        ),
        ranges.SECONDS,
    ] = None
    shard: Annotated[
        str | None,
        typer.Option(
            "--shard",
            metavar="I/N",
            help="Run part I of N alone, in a results folder of its own; for job arrays.",
        ),
    ] = None
    pace_from: Annotated[
        str | None,
        typer.Option(
            "--pace-from",
            metavar="STORE",
            help="A store that says what trainings take, where --results does not yet; shards are "
            "balanced by it, so give all of them the same.",
        ),
    ] = None
    plots: Annotated[
        bool, typer.Option("--plots/--no-plots", help="Draw the plots at the end.")
    ] = True
    trust_unsure: Annotated[
        bool,
        typer.Option(
            "--trust-unsure",
            help="Take stored results also of blocks that may have changed unseen.",
        ),
    ] = False
    executor: Annotated[
        str | None,
        typer.Option(
            "--executor",
            metavar="NAME",
            help="Where trainings run: in-process, in a pool of worker processes, or on a ray "
            "cluster. (default: pool; in-process for one at a time on a CPU)",
        ),
    ] = None
    workers: shared_options.Workers = None
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            metavar="auto|HOST:PORT|local",
            help="The Ray cluster; local starts one of this machine for this sweep. "
            "(default: local)",
        ),
    ] = None
