"""What verifying a store finds, and what pruning one leaves."""

from __future__ import annotations

import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest

from blockzoo.results.prune import Unwanted, find_unwanted, remove
from blockzoo.results.store.database import Store
from blockzoo.results.verify import faults_of
from tests.cli.commands.running import run
from tests.record_samples import START, after, cost, latency, training

CHANGES = {
    "UPDATE records SET block = 'B' WHERE trial_id = 'cost'": ["record cost: its column block"],
    "UPDATE records SET created_at = '2027' WHERE trial_id = 'cost'": ["column created_at"],
    "UPDATE records SET payload = '{' WHERE trial_id = 'training'": ["record training, is not"],
    "UPDATE records SET trial_id = 'other' WHERE trial_id = 'cost'": ["record cost: its row"],
    "UPDATE shared SET payload = replace(payload, 'Some', 'Best')": ["share under"],
    "UPDATE series SET data = x'00' WHERE trial_id = 'latency'": ["record latency, is not"],
    "UPDATE series SET data = substr(data, 1, length(data) - 1)": ["latency, is", "training, is"],
    "UPDATE series SET status = 'failed'": ["those of another record"] * 2,
    "DELETE FROM records WHERE trial_id = 'training'": ["its series are those of no record"],
    "DELETE FROM series WHERE trial_id = 'training'": ["series: they are missing"],
}


@pytest.mark.parametrize("statement", CHANGES)
def test_what_was_changed_by_hand_is_found(tmp_path: Path, statement: str) -> None:
    with Store(tmp_path, create=True) as store:
        store.put_all([cost(), latency(), training()])
        assert list(faults_of(store)) == []
    with sqlite3.connect(tmp_path / "blockzoo.db") as base:
        base.execute(statement)
    base.close()
    with Store(tmp_path) as store:
        found = list(faults_of(store))
    assert len(found) == len(CHANGES[statement])
    for fault, reason in zip(found, CHANGES[statement], strict=True):
        assert reason in fault
    assert run("results", "verify", str(tmp_path))[:2] == (1, "".join(f"{f}\n" for f in found))


def test_answers_that_make_another_accuracy_are_found(tmp_path: Path) -> None:
    with Store(tmp_path, create=True) as store:
        store.put(training(test_images=8, test_correct="gA==", test_accuracy=0.75))
        (fault,) = faults_of(store)
    assert "make no accuracy of 0.75" in fault


def store_to_prune(folder: Path) -> Store:
    store = Store(folder, create=True)
    store.put_all([
        training("failed", status="failed", reason="no"),
        training("made good"),
        training("failed alone", status="failed", reason="no", seed=7),
        training("of another block", "B", created_at=after(100)),
        latency("timing failed", status="failed", reason="no", batch_size=4),
        latency("timing"),
        cost(),
    ])  # fmt: skip
    return store


def ids(store: Store, unwanted: Unwanted) -> list[str]:
    return [each.trial_id for each in find_unwanted(store, unwanted)]


def test_only_what_all_conditions_hold_for_goes(tmp_path: Path) -> None:
    with store_to_prune(tmp_path) as store:
        assert ids(store, Unwanted(made_good=True)) == ["failed"]
        assert ids(store, Unwanted(block="B")) == ["of another block"]
        assert ids(store, Unwanted(block="B", dataset="cifar10")) == []
        late = Unwanted(protocol="quick", before=START + timedelta(seconds=50))
        assert ids(store, late) == ["failed", "failed alone", "made good"]
        assert ids(store, Unwanted(before=START)) == []


def test_what_goes_is_gone_and_what_was_put_anew_stays(tmp_path: Path) -> None:
    with store_to_prune(tmp_path) as store:
        change = store.change
        found = find_unwanted(store, Unwanted(protocol="quick"))
        store.put(training("made good", created_at=after(1000)))
        assert remove(store, found) == 3
        left = {"made good", "timing", "cost", "timing failed"}
        assert {each.trial_id for each in store.records()} == left
        assert list(faults_of(store)) == []
        assert store.change == (change or 0) + 2


def test_the_command_removes_only_what_it_was_told_to(tmp_path: Path) -> None:
    store_to_prune(tmp_path).close()
    status, shown, said = run("results", "prune", str(tmp_path), "--made-good")
    assert (status, said) == (0, "1 records; --yes removes them\n")
    assert shown.startswith("failed  2026-01-02  block A")
    assert run("results", "prune", str(tmp_path), "--made-good", "--yes")[0] == 0
    with Store(tmp_path) as store:
        assert store.get("failed") is None
        assert len(store.records()) == 6


def test_a_list_has_what_was_asked_for_the_newest_first(tmp_path: Path) -> None:
    store_to_prune(tmp_path).close()
    place = str(tmp_path)

    def listed(*options: str) -> list[str]:
        status, shown, _ = run("results", "list", place, *options)
        assert status == 0
        return [line.partition("  ")[0] for line in shown.splitlines()]

    assert listed("--limit", "2") == ["of another b", "cost"]
    assert listed("--kind", "training", "--status", "ok") == ["of another b", "made good"]
    assert listed("--seed", "7") == ["failed alone"]
    assert listed("--block", "B", "--position", "mid") == ["of another b"]
    assert listed("--position", "late") == []


def test_a_record_is_shown_by_the_first_letters_of_its_id(tmp_path: Path) -> None:
    samples = tuple(float(number) for number in range(40))
    with store_to_prune(tmp_path) as store:
        store.put(latency("9f", samples_ms=samples))
    status, shown, _ = run("results", "show", "9", str(tmp_path))
    assert status == 0
    assert "samples_ms: 0.0, 1.0, 2.0, ..., 37.0, 38.0, 39.0 (40 numbers, 0.0 to 39.0)" in shown
    status, _, error = run("results", "show", "timing", str(tmp_path))
    assert status == 0  # a whole id goes before those that begin with it
    status, _, error = run("results", "show", "fail", str(tmp_path))
    assert (status, "several ids begin with 'fail': failed, failed alone" in error) == (2, True)
