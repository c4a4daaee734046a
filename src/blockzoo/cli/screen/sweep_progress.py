"""What a person sees while a sweep runs: one overall bar with time left, and the trial in hand.

Where standard error is no terminal (a log file, CI) it is one line per finished trial instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.text import Text

from blockzoo.core.text import counted
from blockzoo.experiments.sweep.plan import Plan, Trial
from blockzoo.experiments.sweep.run import Outcome, SweepListener
from blockzoo.experiments.sweep.time_left import TimeLeft
from blockzoo.results.records import EpochMetrics

_FOR_A_RATE = 3


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
        self._trained, self._failed = 0, 0
        self._training_s = 0.0
        self._at_once = at_once
        self._running: dict[Trial, str] = {}
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
        self._task = self._bar.add_task("", total=len(plan.trials), left=self._state)
        self._console.print(
            f"{counted(len(plan.trials), 'trial')} to run, {plan.done} already in the store"
            + (f", {plan.failed} failed before and left so" if plan.failed else ""),
            highlight=False,
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
        self._running[trial] = trial.label
        self._update(description=self._in_hand)

    def epoch(self, trial: Trial, metrics: EpochMetrics) -> None:
        """Add the epoch to the trial in hand."""
        text = f"{trial.label}, epoch {metrics.epoch}, val acc {metrics.val_accuracy:.1%}"
        self._running.pop(trial, None)
        self._running[trial] = text  # as the newest
        # Of others it is known what they took, and asking anew at each epoch would take time.
        if self._epochs and not self._trained:
            self._left.training_will_take(metrics.seconds * self._epochs)
            self._update(left=self._state)
        self._update(description=self._in_hand)

    def finished(self, outcome: Outcome) -> None:
        """Advance the bar; print a failure, and without a terminal every trial."""
        if outcome.trial.kind == "training":
            self._trained += 1
            self._training_s += outcome.seconds
        self._running.pop(outcome.trial, None)
        self._failed += sum(record.status == "failed" for record in outcome.records)
        self._left.finished(outcome.trial, outcome.seconds, outcome.records)
        self._update(advance=1, left=self._state, description=self._in_hand)
        for record in outcome.records:
            if record.status == "failed":
                text = f" {outcome.trial.label}: {record.reason}"
                self._console.print(Text.assemble(("failed", "red"), text), soft_wrap=True)
        if not self._console.is_terminal:
            self._console.print(
                f"{outcome.trial.label}: {outcome.seconds:.1f} s, {self._state}", highlight=False
            )

    def done_elsewhere(self, trial: Trial) -> None:
        """Advance the bar: another driver has done that one."""
        self._left.gone(trial)
        self._update(advance=1, left=self._state)

    def waiting(self, trials: Sequence[Trial]) -> None:
        """Say what is waited for."""
        count = len(trials)
        noun = "trial runs" if count == 1 else "trials run"
        self._console.print(f"{count} {noun} elsewhere; waiting", highlight=False)

    @property
    def _in_hand(self) -> str:
        """The trial that was told of last, and how many others run."""
        if not self._running:
            return ""
        *others, newest = self._running.values()
        return f"{newest} and {len(others)} more" if others else newest

    @property
    def _state(self) -> str:
        """The time left, after what failed and how fast trainings go, where there is any."""
        failed = [f"{self._failed} failed"] if self._failed else []
        per_hour = (
            3600 * self._at_once * self._trained / self._training_s if self._training_s else 0
        )
        # A rate of one or two trainings says no more than their seconds.
        rate = (
            [f"{per_hour:,.{0 if per_hour >= 10 else 1}f} trainings/h"]
            if self._trained >= _FOR_A_RATE
            else []
        )
        return ", ".join((*failed, *rate, str(self._left)))

    def _update(self, **changes: Any) -> None:
        assert self._task is not None  # a plan comes first
        self._bar.update(self._task, **changes)
