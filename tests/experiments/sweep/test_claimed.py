"""A sweep beside others of its store: what they have in hand is waited for or taken over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from blockzoo.experiments.sweep.choice import Choice
from blockzoo.experiments.sweep.plan import Plan, SweepRequest, Trial, make_plan
from blockzoo.experiments.sweep.run import SweepListener, SweepResult, run_sweep, run_trial
from blockzoo.results.store.claims import CLAIMS, Claims
from blockzoo.results.store.database import Store
from tests.experiments.sweep.test_run import request_of


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "blockzoo.db", create=True) as opened:
        yield opened


@pytest.fixture
def costs(tiny_npz: Path) -> SweepRequest:
    return replace(request_of(tiny_npz, "Identity"), choice=Choice(only=("cost",)))


class Other(SweepListener):
    """Another driver, which has trials in hand until this sweep waits for them."""

    def __init__(self, request: SweepRequest, store: Store, count: int, *, ends: bool) -> None:
        self._request, self._store, self._ends = request, store, ends
        self._trials = make_plan(request, store).trials[:count]
        self._ids = [each.trial_ids[0] for each in self._trials]
        self.waited: list[int] = []
        self.started_here: list[str] = []
        self.done_there: list[str] = []

    def __enter__(self) -> Other:
        self._claims = Claims(self._store)
        self._claims.__enter__()
        assert [self._claims.take([each]).state for each in self._ids] == ["mine"] * len(self._ids)
        return self

    def __exit__(self, *_: object) -> None:
        self._claims.__exit__(None, None, None)

    def started(self, trial: Trial) -> None:
        self.started_here.append(trial.trial_ids[0])

    def done_elsewhere(self, trial: Trial) -> None:
        self.done_there.append(trial.trial_ids[0])

    def waiting(self, trials: Sequence[Trial]) -> None:
        self.waited.append(len(trials))
        if self._ends:
            for trial in self._trials:
                self._store.put_all(run_trial(self._request, trial).records)
            self._claims.release(self._ids)
        else:
            with self._store._transaction(write=True) as connection:
                connection.execute(update(CLAIMS).values(machine="far"))


def test_what_others_have_in_hand_is_waited_for_and_not_run_again(
    costs: SweepRequest, store: Store
) -> None:
    with Other(costs, store, 2, ends=True) as other:
        result = run_sweep(costs, store, listener=other)
    assert result == SweepResult(ran=1, failed=0, skipped=0, elsewhere=2)
    assert other.waited == [2]
    assert sorted(other.started_here + other.done_there) == sorted(store.ok_ids())
    with store._transaction() as connection:
        assert connection.scalar(select(func.count()).select_from(CLAIMS)) == 0


class Quick(SweepListener):
    """Another driver, which does a trial while this sweep is about to begin."""

    def __init__(self, request: SweepRequest, store: Store) -> None:
        self._request, self._store = request, store

    def planned(self, plan: Plan) -> None:
        self._store.put_all(run_trial(self._request, plan.trials[0]).records)


def test_what_others_record_between_plan_and_start_is_not_run_again(
    costs: SweepRequest, store: Store
) -> None:
    result = run_sweep(costs, store, listener=Quick(costs, store))
    assert result == SweepResult(ran=2, failed=0, skipped=0, elsewhere=1)


def test_what_a_driver_had_in_hand_that_is_gone_is_run_after_its_lease(
    costs: SweepRequest, store: Store
) -> None:
    with Other(costs, store, 1, ends=False) as other:
        result = run_sweep(costs, store, listener=other, lease_s=0.5)
    assert result == SweepResult(ran=3, failed=0, skipped=0)
    assert other.waited == [1]


def test_a_trial_that_may_not_start_is_not_waited_for(costs: SweepRequest, store: Store) -> None:
    with Other(costs, store, 2, ends=False) as other:
        result = run_sweep(costs, store, listener=other, may_start=lambda trial: not other.waited)
    assert result == SweepResult(ran=1, failed=0, skipped=0, left_out=2)


def test_of_a_session_of_latencies_what_is_missing_is_left(tiny_npz: Path, store: Store) -> None:
    (trial,) = [
        trial
        for trial in make_plan(request_of(tiny_npz, "Identity", "InvertedResidual"), store).trials
        if trial.kind == "latency" and trial.position == "mid"
    ]
    left = trial.narrowed(trial.trial_ids[1:])
    assert (left.blocks, left.trial_ids) == (trial.blocks[1:], trial.trial_ids[1:])
    assert trial.narrowed(trial.trial_ids) is trial
