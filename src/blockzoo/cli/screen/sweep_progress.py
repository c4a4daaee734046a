"""What a person sees while a sweep runs: one overall bar with time left, and the trial in hand.

Where standard error is no terminal (a log file, CI) it is one line per finished trial instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.text import Text

from blockzoo.cli.screen.consoles import message_console
from blockzoo.experiments.sweep.time_left import TimeLeft
from blockzoo.experiments.sweep.pace import Pace
from blockzoo.experiments.sweep.plan import Plan, SweepRequest, Trial
from blockzoo.experiments.sweep.run import Outcome, SweepListener
from blockzoo.results.records import EpochMetrics
from blockzoo.results.store.database import Store


def progress_of(request: SweepRequest, store: Store, at_once: int) -> SweepProgress:
    """Return the progress of that sweep, which knows what its trainings took before."""
    pace = Pace.of(store, request.protocol, request.dataset.name)
    return SweepProgress(
        message_console(),
        by_block=pace.by_block,
        epochs=request.protocol.recipe.epochs,
        at_once=at_once,
    )


class SweepProgress(SweepListener):
    """Shows a sweep on `console`; use it as a context manager.

    `by_block` is what trainings took before, in seconds; `epochs` of each there are, and `at_once`
    of them run at a time.
    """

    def __init__(
        self,
        console: Console,
        *,
        by_block: Mapping[str, float] | None = None,
        epochs: int = 0,
        at_once: int = 1,
    ) -> None:
        self._console, self._epochs = console, epochs
        self._left = TimeLeft(by_block, at_once=at_once)
        self._trained = False
        self._task: TaskID | None = None
        self._bar = Progress(
            TextColumn("sweep", style="bold"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
            TextColumn("{task.description}", style="dim", markup=False),
            console=console,
            # Where there is none, `finished` prints a line per trial.
            disable=not console.is_terminal,  # a log file would keep every redrawing
            transient=True,
        )

    def __enter__(self) -> SweepProgress:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def planned(self, plan: Plan) -> None:
        """Say what there is to do and what is done already."""
        self._left.plan(plan.trials)
        if self._task is not None:  # of an earlier look, whose bar is full
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task("", total=len(plan.trials), left=str(self._left))
        self._console.print(
            f"{len(plan.trials)} trials to run, {plan.done} already in the store", highlight=False
        )
        for block, reasons in plan.unsure.items():
            self._console.print(
                Text(
                    f"{block} is measured anew each time (--trust-unsure: not), for it may have "
                    f"changed unseen: {reasons[0]}"
                ),
                soft_wrap=True,
            )

    def started(self, trial: Trial) -> None:
        """Name the trial in hand."""
        self._update(description=trial.label)

    def epoch(self, trial: Trial, metrics: EpochMetrics) -> None:
        """Add the epoch to the trial in hand."""
        text = f"{trial.label}, epoch {metrics.epoch}, val acc {metrics.val_accuracy:.1%}"
        # Of others it is known what they took, and asking anew at each epoch would take time.
        if self._epochs and not self._trained:
            self._left.training_will_take(metrics.seconds * self._epochs)
            self._update(left=str(self._left))
        self._update(description=text)

    def finished(self, outcome: Outcome) -> None:
        """Advance the bar; print a failure, and without a terminal every trial."""
        self._trained |= outcome.trial.kind == "training"
        self._left.finished(outcome.trial, outcome.seconds, outcome.records)
        self._update(advance=1, left=str(self._left))
        for record in outcome.records:
            if record.status == "failed":
                text = f" {outcome.trial.label}: {record.reason}"
                self._console.print(Text.assemble(("failed", "red"), text), soft_wrap=True)
        if not self._console.is_terminal:
            self._console.print(
                f"{outcome.trial.label}: {outcome.seconds:.1f} s, {self._left}", highlight=False
            )

    def _update(self, **changes: Any) -> None:
        assert self._task is not None  # a plan comes first
        self._bar.update(self._task, **changes)
