"""Who is told of a sweep as it runs: the screen, its log, the file that `sweep status` reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from blockzoo.cli.actions.keeping import csv_location
from blockzoo.cli.screen.consoles import message_console, say
from blockzoo.cli.screen.sweep_progress import SweepProgress
from blockzoo.cli.stopping import Stop
from blockzoo.core.text import counted
from blockzoo.experiments.sweep.listeners import Listeners
from blockzoo.experiments.sweep.log import LOG_NAME, SweepLog
from blockzoo.experiments.sweep.pace import Pace
from blockzoo.experiments.sweep.plan import SweepRequest, Trial
from blockzoo.experiments.sweep.progress_file import ProgressFile
from blockzoo.experiments.sweep.run import SweepListener
from blockzoo.experiments.sweep.time_budget import TimeBudget
from blockzoo.results.store.database import Store

PROGRESS_FOLDER = "progress"
"""Beside results.csv."""


@dataclass(frozen=True, kw_only=True)
class Watched:
    """Who is told of a sweep, and who says whether a trial may start."""

    listener: SweepListener
    may_start: Callable[[Trial], bool]


@contextmanager
def watched(
    request: SweepRequest,
    store: Store,
    *,
    results: str,
    at_once: int,
    stop: Stop,
    end_s: float | None = None,
    part: tuple[int, int] = (1, 1),
    pace: Pace | None = None,
) -> Iterator[Watched]:
    """Show, log and keep how far that sweep is; at its end say what there was no time for.

    `end_s`: when it is to end, by the monotonic clock. `part`: which of how many protocols it is.
    `pace`: what trainings took by the store, where that is known.
    """
    pace = pace or Pace.of(store, request.protocol, request.dataset.name)
    folder = csv_location(results).parent
    budget = None if end_s is None else TimeBudget(end_s=end_s, by_block=pace.by_block)
    number, parts = part
    with (
        SweepProgress(
            message_console(),
            by_block=pace.by_block,
            epochs=request.protocol.recipe.epochs,
            at_once=at_once,
        ) as progress,
        ProgressFile(
            folder / PROGRESS_FOLDER,
            request,
            by_block=pace.by_block,
            at_once=at_once,
            part=number,
            parts=parts,
        ) as file,
    ):
        log = SweepLog(folder / "logs" / LOG_NAME)
        heard = (stop, progress, log, file, *(() if budget is None else (budget,)))

        def may_start(trial: Trial) -> bool:
            return not stop.asked and (budget is None or budget.allows(trial))

        yield Watched(listener=Listeners(*heard), may_start=may_start)
    if budget is not None and budget.left_out:
        kinds = [trial.kind for trial in budget.left_out]
        counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
        say(
            f"no time for {counted(len(kinds), 'trial')} ({counts}), which would not have ended "
            f"within the time budget; the same command goes on with them"
        )


def say_stopped() -> None:
    """Say how to go on after a first Ctrl-C, once what ran has ended."""
    say("stopped: what has ended is kept, and the same command goes on from there")
