"""Who has a trial in hand: leases that run out, and none that holds a trial twice."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from blockzoo.results.store import claims
from blockzoo.results.store.claims import CLAIMS, Claim, Claims
from blockzoo.results.store.database import Store
from tests.record_samples import cost, training

ELSEWHERE = Claim(state="elsewhere")


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "blockzoo.db", create=True) as opened:
        yield opened


def mine(*ids: str) -> Claim:
    return Claim(state="mine", left=ids)


def of_another_machine(store: Store, trial_id: str) -> None:
    """Have the claim be one of a driver whose process cannot be looked at from here."""
    with store._transaction(write=True) as connection:
        change = update(CLAIMS).where(CLAIMS.c.trial_id == trial_id).values(machine="far")
        connection.execute(change)


def test_one_driver_has_a_trial_and_again_when_it_asks_again(store: Store) -> None:
    with Claims(store) as first, Claims(store) as second:
        assert first.take(["a"]) == first.take(["a"]) == mine("a")
        assert second.take(["a"]) == ELSEWHERE
        assert second.take(["b"]) == mine("b")
    with Claims(store) as third:  # those that ended have none
        assert third.take(["a"]) == mine("a")


def test_all_of_a_trial_is_claimed_or_nothing(store: Store) -> None:
    with Claims(store) as first, Claims(store) as second:
        first.take(["b"])
        assert second.take(["a", "b", "c"]) == ELSEWHERE
        assert first.take(["a", "c"]) == mine("a", "c")


def test_what_was_recorded_since_the_plan_is_done_whether_it_went_well_or_not(
    store: Store,
) -> None:
    failed = training(trial_id="bad", status="failed", reason="x", val_accuracy=None)
    with Claims(store) as first, Claims(store) as second:
        first.take(["a"])
        first.take(["bad"])
        store.put_all([cost(trial_id="a"), failed])
        first.release(["a"])
        assert second.take(["a"]) == Claim(state="done")
        assert second.take(["bad"]) == Claim(state="done")
        # Of a session of latencies the rest is still to be done.
        assert second.take(["a", "new"]) == mine("new")
    # What is there when a plan is made is no news: it decided to run it again.
    with Claims(store) as third:
        assert third.take(["bad"]) == mine("bad")


def test_a_lease_that_is_not_renewed_runs_out_by_the_clock_of_who_watches(store: Store) -> None:
    clock = Clock()
    with Claims(store, lease_s=60) as first:
        first.take(["a"])
        of_another_machine(store, "a")
        with Claims(store, lease_s=60, clock=clock) as second:
            assert second.take(["a"]) == ELSEWHERE
            clock.now_s += 59
            assert second.take(["a"]) == ELSEWHERE
            first.renew()
            clock.now_s += 59
            assert second.take(["a"]) == ELSEWHERE
            clock.now_s += 59
            assert second.take(["a"]) == ELSEWHERE
            clock.now_s += 1
            assert second.take(["a"]) == mine("a")
            assert first.take(["a"]) == ELSEWHERE


def test_a_wall_clock_set_back_or_ahead_moves_no_lease(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    with Claims(store) as first, Claims(store, clock=clock) as second:
        first.take(["a"])
        of_another_machine(store, "a")
        for shift_s in (-1e6, 1e6):
            monkeypatch.setattr("time.time", lambda shift_s=shift_s: 1.8e9 + shift_s)
            assert second.take(["a"]) == ELSEWHERE
        clock.now_s += claims.LEASE_S
        assert second.take(["a"]) == mine("a")


def test_what_a_killed_process_of_this_machine_held_is_free_at_once(
    store: Store, tmp_path: Path
) -> None:
    script = (
        "import os, sys; from blockzoo.results.store.claims import Claims;"
        "from blockzoo.results.store.database import Store;"
        "claims = Claims(Store(sys.argv[1])); print(claims.take(['a']).state, flush=True);"
        "os.kill(os.getpid(), 9)"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "blockzoo.db")]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (ended.stdout, ended.returncode) == ("mine\n", -9)
    with store._transaction() as connection:
        assert connection.scalar(select(func.count()).select_from(CLAIMS)) == 1
    with Claims(store) as second:
        assert second.take(["a"]) == mine("a")


def test_a_number_of_a_process_that_another_one_has_now_is_that_of_a_dead_one(
    store: Store,
) -> None:
    with Claims(store) as first, Claims(store) as second:
        first.take(["a"])
        with store._transaction(write=True) as connection:
            connection.execute(update(CLAIMS).values(process_started=1.0))
        assert second.take(["a"]) == mine("a")
    assert claims._start_of(2**22 + 1) is None
    assert claims._start_of(os.getpid()) == claims._start_of(os.getpid())


def test_claims_are_renewed_as_long_as_their_driver_runs(store: Store) -> None:
    with Claims(store, lease_s=0.03) as first:
        first.take(["a"])
        renewed = threading.Event()
        query = select(CLAIMS.c.renewals)
        for _ in range(500):
            with store._transaction() as connection:
                if (connection.scalar(query) or 0) >= 2:
                    renewed.set()
                    break
            renewed.wait(0.02)
        assert renewed.is_set()


def test_of_many_that_ask_at_once_one_has_each_trial(store: Store) -> None:
    ids = [f"t{number}" for number in range(12)]
    drivers = [Claims(store) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(lambda each: [each.take([i]).state for i in ids], drivers))
    for states in zip(*taken, strict=True):
        assert sorted(states) == ["elsewhere"] * 3 + ["mine"]


def test_a_store_that_was_removed_meanwhile_takes_claims_again(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Claims(store) as first:
        first.take(["a"])
        (tmp_path / "blockzoo.db").unlink()
        assert first.take(["b"]) == mine("b")
    assert "made anew" in caplog.text
