"""What a sweep with little time starts, and what it leaves out."""

from __future__ import annotations

from blockzoo.core.position import Position
from blockzoo.experiments.sweep.plan import Plan, Trial
from blockzoo.experiments.sweep.run import Outcome
from blockzoo.experiments.sweep.time_budget import TimeBudget


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def _training(block: str, seed: int) -> Trial:
    return Trial(
        kind="training",
        blocks=(block,),
        position=Position.MID,
        seed=seed,
        trial_ids=(f"{block} {seed}",),
        expected_s=1.0,
    )


TRIALS = tuple(_training(block, seed) for seed in range(3) for block in ("Quick", "Slow"))


def test_what_would_not_end_in_time_is_left_out_and_what_would_is_not() -> None:
    clock = Clock()
    budget = TimeBudget(end_s=100.0, by_block={"Quick": 10.0, "Slow": 60.0}, clock=clock)
    budget.planned(Plan(trials=TRIALS, done=0))
    started = []
    for trial in TRIALS:
        if budget.allows(trial):
            started.append(trial.trial_ids[0])
            clock.now_s += 10.0 if "Quick" in trial.blocks else 60.0
    # 10 + 60 + 10 + 10 s; another 60 would end at 150.
    assert started == ["Quick 0", "Slow 0", "Quick 1", "Quick 2"]
    assert [trial.trial_ids[0] for trial in budget.left_out] == ["Slow 1", "Slow 2"]


def test_the_first_of_its_kind_shows_what_the_others_take() -> None:
    clock = Clock()
    budget = TimeBudget(end_s=100.0, clock=clock)
    budget.planned(Plan(trials=TRIALS, done=0))
    assert budget.allows(TRIALS[0])
    clock.now_s = 70.0
    budget.finished(Outcome(trial=TRIALS[0], records=(), seconds=70.0))
    assert not budget.allows(TRIALS[1])


def test_nothing_starts_once_the_time_is_over() -> None:
    budget = TimeBudget(end_s=5.0, clock=lambda: 5.0)
    budget.planned(Plan(trials=TRIALS, done=0))
    assert budget.spent
    assert not budget.allows(TRIALS[0])
