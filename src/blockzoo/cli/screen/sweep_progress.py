"""What a person sees while a sweep runs: one overall bar with time left, and the trial in hand.

Where standard error is no terminal (a log file, CI) it is one line per finished trial instead.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from blockzoo.experiments.sweep.plan import Plan, Trial
from blockzoo.experiments.sweep.run import Outcome, SweepListener
from blockzoo.results.records import EpochMetrics


class TimeLeft:
    """Estimates the time left from the trials' expected seconds, corrected by what they took.

    Each kind of trial has its own correction, because what makes one slow does not slow another.

    >>> from blockzoo.core.position import Position
    >>> trial = Trial(kind="training", blocks=("A",), position=Position.MID, trial_ids=("x",),
    ...               expected_s=10.0)
    >>> left = TimeLeft([trial] * 3)
    >>> left.finished(trial, 20.0)  # twice what was expected, so the others will be too
    >>> str(left)
    '0:40 left'
    """

    def __init__(self, trials: Iterable[Trial]) -> None:
        self._left: defaultdict[str, float] = defaultdict(float)
        self._expected: defaultdict[str, float] = defaultdict(float)
        self._taken: defaultdict[str, float] = defaultdict(float)
        for trial in trials:
            self._left[trial.kind] += trial.expected_s

    def finished(self, trial: Trial, seconds: float) -> None:
        """Learn that `trial` took `seconds`."""
        self._left[trial.kind] -= trial.expected_s
        self._expected[trial.kind] += trial.expected_s
        self._taken[trial.kind] += seconds

    @property
    def seconds(self) -> float:
        """The estimate."""
        return sum(left * self._correction(kind) for kind, left in self._left.items())

    def _correction(self, kind: str) -> float:
        # A sum over all finished ones, so that a single slow trial does not make the estimate jump.
        # Until one of its kind has ended, the expectation is all that is known.
        return self._taken[kind] / self._expected[kind] if self._expected[kind] else 1.0

    def __str__(self) -> str:
        return f"{_clock(self.seconds)} left"


class SweepProgress(SweepListener):
    """Shows a sweep on `console`; use it as a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
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
        self._left = TimeLeft(plan.trials)
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
        self._bar.update(self._task, description=trial.label)

    def epoch(self, trial: Trial, metrics: EpochMetrics) -> None:
        """Add the epoch to the trial in hand."""
        text = f"{trial.label}, epoch {metrics.epoch}, val acc {metrics.val_accuracy:.1%}"
        self._bar.update(self._task, description=text)

    def finished(self, outcome: Outcome) -> None:
        """Advance the bar; print a failure, and without a terminal every trial."""
        self._left.finished(outcome.trial, outcome.seconds)
        self._bar.update(self._task, advance=1, left=str(self._left))
        for record in outcome.records:
            if record.status == "failed":
                text = f" {outcome.trial.label}: {record.reason}"
                self._console.print(Text.assemble(("failed", "red"), text), soft_wrap=True)
        if not self._console.is_terminal:
            self._console.print(
                f"{outcome.trial.label}: {outcome.seconds:.1f} s, {self._left}", highlight=False
            )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
