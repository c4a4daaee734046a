"""Stores put together: every record once, the better one, all or nothing of a source."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from blockzoo.core.errors import InputError, ResultsError
from blockzoo.core.position import Position
from blockzoo.results.families import Family
from blockzoo.results.merge import merge_store
from blockzoo.results.store import taking
from blockzoo.results.store.database import Store
from tests.cli.commands.running import run
from tests.record_samples import after, cost, latency, training

FAMILY = Family(
    protocol="v1", dataset="digits", block="A", others=("B",), positions=(), margin=0.003
)


def spoil(folder: Path, trial_id: str) -> None:
    with sqlite3.connect(folder / "blockzoo.db") as base:
        base.execute("UPDATE records SET payload = '{}' WHERE trial_id = ?", [trial_id])
    base.close()


def test_the_better_of_two_records_stays_whichever_store_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taking, "_PART", 2)
    with Store(tmp_path / "a", create=True) as a, Store(tmp_path / "b", create=True) as b:
        a.put_all([training("x"), training("y", status="failed", reason="no"), cost(), latency()])
        b.put_all([training("x", notes="later", created_at=after(9)), training("y"), cost()])
        b.put(latency(status="failed", reason="no", created_at=after(9)))
        taken = merge_store(a, b)
        assert (taken.new, taken.same, taken.replaced, taken.kept) == (0, 1, 1, 2)
        assert b.get("x") == training("x", notes="later", created_at=after(9))
        assert (b.get("y"), b.get("latency"), b.get("cost")) == (training("y"), latency(), cost())
        taken = merge_store(b, a)
        assert (taken.new, taken.same, taken.replaced, taken.kept) == (0, 2, 2, 0)
        assert sorted(a.lines()) == sorted(b.lines())
        change = a.change
        assert merge_store(b, a).same == 4
        assert a.change == change


def test_a_result_is_shown_where_either_store_asked_for_it(tmp_path: Path) -> None:
    early, mid, late = Position
    three = ("early", "mid", "late")
    with Store(tmp_path / "a", create=True) as a, Store(tmp_path / "b", create=True) as b:
        a.put_all([cost(positions=three, asked=(mid,)), training(positions=three, asked=(mid,))])
        b.put(cost(positions=three, asked=(late,), created_at=after(9)))
        b.put(training(positions=three, asked=(early,), notes="older", created_at=after(-9)))
        merge_store(a, b)
        assert [b.get(each).asked for each in ("cost", "training")] == [(late, mid), (early, mid)]  # type: ignore[union-attr]
        change = b.change
        merge_store(a, b)
        assert b.change == change


def test_a_source_with_a_record_that_cannot_be_read_is_not_merged_or_without_it(
    tmp_path: Path,
) -> None:
    with Store(tmp_path / "a", create=True) as a:
        a.put_all([training(f"t{number}") for number in range(3)])
    spoil(tmp_path / "a", "t2")
    with Store(tmp_path / "a") as a, Store(tmp_path / "b", create=True) as b:
        with pytest.raises(ResultsError, match=r"record t2, is not a record.*--skip-bad"):
            merge_store(a, b)
        assert (b.is_empty, b.change) == (True, 0)
        taken = merge_store(a, b, skip_bad=True)
        assert (taken.new, len(taken.skipped)) == (2, 1)
        assert b.ok_ids() == {"t0", "t1"}


def test_a_family_keeps_the_time_at_which_it_was_first_declared(tmp_path: Path) -> None:
    with Store(tmp_path / "a", create=True) as a, Store(tmp_path / "b", create=True) as b:
        first = a.declare(FAMILY)
        assert b.declare(FAMILY) > first
        merge_store(a, b)
        assert b.declare(FAMILY) == first
        with Store(tmp_path / "c", create=True) as c:
            merge_store(b, c)
            assert c.declare(FAMILY) == first


def test_a_store_is_not_merged_into_itself(tmp_path: Path) -> None:
    with (
        Store(tmp_path, create=True) as one,
        Store(tmp_path / ".." / tmp_path.name) as same,
        pytest.raises(InputError, match="merged into itself"),
    ):
        merge_store(same, one)


def test_merged_shards_are_one_store_and_verified(tmp_path: Path) -> None:
    for number in range(3):
        with Store(tmp_path / str(number), create=True) as store:
            store.put_all([training(f"t{number}"), cost()])
    sources = [str(tmp_path / str(number)) for number in range(3)]
    into = str(tmp_path / "all")
    status, shown, _ = run("results", "merge", *sources, "--into", into)
    assert status == 0
    assert [line.partition(": ")[2] for line in shown.splitlines()] == [
        "2 new, 0 same, 0 replaced, 0 older, 0 left out",
        *["1 new, 1 same, 0 replaced, 0 older, 0 left out"] * 2,
    ]
    assert run("results", "verify", into) == (0, f"{into} holds what was put into it\n", "")
    shutil.rmtree(sources[0])
    status, shown, error = run("results", "merge", *sources[::-1], "--into", into)
    assert (status, shown) == (1, "")
    assert error.endswith("does not exist: there are no results there yet\n")
