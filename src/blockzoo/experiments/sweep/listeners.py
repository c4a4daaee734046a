"""Several listeners of one sweep, told one after the other, whichever thread tells."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from blockzoo.experiments.sweep.plan import Plan, Trial
from blockzoo.experiments.sweep.run import Outcome, SweepListener
from blockzoo.results.records import EpochMetrics


class Listeners(SweepListener):
    """Tells each of `listeners` what it is told, one event at a time.

    >>> class Loud(SweepListener):
    ...     def planned(self, plan):
    ...         print(plan.done, "are there")
    >>> Listeners(Loud(), Loud()).planned(Plan(trials=(), done=7))
    7 are there
    7 are there
    """

    def __init__(self, *listeners: SweepListener) -> None:
        self._listeners = listeners
        # Epochs of trainings in other processes are told by a thread.
        self._lock = threading.RLock()

    def planned(self, plan: Plan) -> None:
        """Tell all."""
        with self._lock:
            for each in self._listeners:
                each.planned(plan)

    def started(self, trial: Trial) -> None:
        """Tell all."""
        with self._lock:
            for each in self._listeners:
                each.started(trial)

    def epoch(self, trial: Trial, metrics: EpochMetrics) -> None:
        """Tell all."""
        with self._lock:
            for each in self._listeners:
                each.epoch(trial, metrics)

    def finished(self, outcome: Outcome) -> None:
        """Tell all."""
        with self._lock:
            for each in self._listeners:
                each.finished(outcome)

    def done_elsewhere(self, trial: Trial) -> None:
        """Tell all."""
        with self._lock:
            for each in self._listeners:
                each.done_elsewhere(trial)

    def waiting(self, trials: Sequence[Trial]) -> None:
        """Tell all."""
        with self._lock:
            for each in self._listeners:
                each.waiting(trials)
