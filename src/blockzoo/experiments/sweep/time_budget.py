"""A sweep that is to end at a certain time starts nothing that would not end by then."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from blockzoo.experiments.sweep.plan import Plan, Trial
from blockzoo.experiments.sweep.run import Outcome, SweepListener
from blockzoo.experiments.sweep.time_left import TimeLeft


class TimeBudget(SweepListener):
    """Allows trials that end by `end_s`, as `clock` counts; it learns what they take.

    `by_block` is what trainings took before, in seconds. Where nothing is known of a kind its first
    trial is allowed, for nothing would ever be known else.

    >>> budget = TimeBudget(end_s=60.0, clock=lambda: 0.0)
    >>> budget.spent
    False
    """

    def __init__(
        self,
        *,
        end_s: float,
        by_block: Mapping[str, float] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._end_s, self._clock = end_s, clock
        self._left = TimeLeft(by_block)
        self.left_out: list[Trial] = []

    @property
    def spent(self) -> bool:
        """Whether the time is over."""
        return self._clock() >= self._end_s

    def planned(self, plan: Plan) -> None:
        """Take in what there is to run."""
        self._left.plan(plan.trials)

    def finished(self, outcome: Outcome) -> None:
        """Learn what a trial took."""
        self._left.finished(outcome.trial, outcome.seconds, outcome.records)

    def done_elsewhere(self, trial: Trial) -> None:
        """Forget what another driver has done."""
        self._left.gone(trial)

    def allows(self, trial: Trial) -> bool:
        """Tell whether the trial would end in time, and note it where not."""
        takes_s = self._left.of(trial) or 0.0
        allowed = not self.spent and self._clock() + takes_s <= self._end_s
        if not allowed:
            self.left_out.append(trial)
        return allowed
