"""The store: what it keeps, what it gives back, what survives a killed writer, what it refuses."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event
from sqlalchemy.dialects import postgresql

from blockzoo.core.errors import ResultsError, SchemaError
from blockzoo.core.position import Position
from blockzoo.results.families import Family
from blockzoo.results.records import AnyRecord, Record
from blockzoo.results.store import schema
from blockzoo.results.store.database import Store
from tests.record_samples import after, cost, latency, training


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results" / "blockzoo.db"


def execute(path: Path, statement: str, *values: object) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(statement, values)
    connection.close()


def test_what_is_put_comes_back_equal(path: Path) -> None:
    records = [cost(), latency(), training()]
    with Store(path, create=True) as store:
        for record in records:
            store.put(record)
    with Store(path) as again:
        assert [again.get(record.trial_id) for record in records] == records
        assert again.get("unknown") is None


def test_text_of_any_kind_comes_back_equal(path: Path) -> None:
    record = training(notes="ä 'quoted'; -- \x00 \n 🧱", status="failed", reason="a\r\nb")
    with Store(path, create=True) as store:
        store.put(record)
        assert store.get("training") == record


def test_infinite_and_undefined_losses_are_kept(path: Path) -> None:
    with Store(path, create=True) as store:
        store.put(training(val_loss=float("nan"), test_loss=float("inf")))
        found = store.records(kind="training")[0].model_dump()
    assert found["val_loss"] != found["val_loss"]
    assert found["test_loss"] == float("inf")


def test_records_are_filtered_and_the_oldest_comes_first(path: Path) -> None:
    records: list[AnyRecord] = [
        training("t2", "B", created_at=after(2), dataset="cifar10", protocol="v1"),
        training("t1", created_at=after(1), status="failed", reason="no"),
        latency("l", created_at=after(3)),
        cost("c", "B"),
    ]
    with Store(path, create=True) as store:
        store.put_all(records)

        def ids(**filters: str) -> list[str]:
            return [record.trial_id for record in store.records(**filters)]

        assert ids() == ["c", "t1", "t2", "l"]
        assert ids(kind="training") == ["t1", "t2"]
        assert ids(status="failed") == ["t1"]
        assert ids(block="B") == ["c", "t2"]
        assert ids(dataset="cifar10") == ids(protocol="v1") == ["t2"]
        assert ids(kind="cost", block="A") == []
        assert store.ok_ids() == {"c", "t2", "l"}


OK_EARLY = training(test_accuracy=0.1)
OK_LATE = training(test_accuracy=0.2, created_at=after(9))
FAILED_EARLY = training(status="failed", reason="early", created_at=after(-1))
FAILED_LATE = training(status="failed", reason="late", created_at=after(10))


@given(st.permutations([OK_EARLY, OK_LATE, FAILED_EARLY, FAILED_LATE]), st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_the_best_of_one_id_stays_in_whatever_order_they_come(
    tmp_path_factory: pytest.TempPathFactory, order: list[Record], count: int
) -> None:
    order = order[:count]
    with Store(tmp_path_factory.mktemp("store"), create=True) as store:
        for record in order:
            store.put(record)
        expected = max(order, key=lambda record: (record.status == "ok", record.created_at))
        assert store.records() == [expected]


def test_put_all_keeps_all_or_none(path: Path) -> None:
    spoilt = training("t2", notes="\ud800")  # no Unicode text, as in undecodable file names
    with Store(path, create=True) as store:
        with pytest.raises(ResultsError, match="record t2 cannot be written as JSON"):
            store.put_all([training("t1"), spoilt])
        assert store.records() == []


def test_a_folder_stands_for_the_store_in_it(tmp_path: Path) -> None:
    with Store(tmp_path / "new", create=True) as store:
        store.put(cost())
    assert (tmp_path / "new" / "blockzoo.db").is_file()
    with Store(f"sqlite:///{tmp_path}/new") as store:
        assert store.ok_ids() == {"cost"}


def test_odd_file_names_are_taken_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "a b%20?mode=ro#ü.db"
    with Store(path, create=True) as store:
        store.put(cost())
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_reading_what_is_not_there_is_an_error_and_makes_nothing(path: Path) -> None:
    with pytest.raises(ResultsError, match=r"blockzoo\.db does not exist"):
        Store(path)
    assert not path.parent.exists()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ResultsError, match=r"folder .*file cannot be created: File exists"):
        Store(tmp_path / "file" / "blockzoo.db", create=True)


@pytest.mark.parametrize("create", [False, True])
def test_files_that_are_no_store(tmp_path: Path, create: bool) -> None:
    text = tmp_path / "results.csv"
    text.write_text("timestamp,block,dataset\n" * 100)
    with pytest.raises(ResultsError, match=r"results\.csv is not a BlockZoo store"):
        Store(text, create=create)
    assert text.read_text().startswith("timestamp")
    other = tmp_path / "other.db"
    execute(other, "CREATE TABLE bookmarks (url TEXT)")
    with pytest.raises(ResultsError, match=r"other tables \(bookmarks\)"):
        Store(other, create=create)


def test_an_empty_file_is_a_store_only_to_a_writer(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    with pytest.raises(ResultsError, match=r"blockzoo\.db is empty"):
        Store(path)
    with Store(path, create=True) as store:
        assert store.records() == []


@pytest.mark.parametrize("keep", [60, 5000, 20_000])
def test_a_truncated_store_is_refused_and_left_alone(path: Path, keep: int) -> None:
    with Store(path, create=True) as store:
        store.put_all(training(f"t{number}") for number in range(60))
    path.write_bytes(path.read_bytes()[:keep])
    for create in (False, True):
        with (
            pytest.raises(ResultsError, match="is damaged or truncated"),
            Store(path, create=create) as store,
        ):
            store.records()
    assert path.stat().st_size == keep


@pytest.mark.parametrize("version", ["3", "99", "-1", "new"])
def test_a_store_of_another_version(path: Path, version: str) -> None:
    Store(path, create=True).close()
    execute(path, "UPDATE meta SET value = ?", version)
    with pytest.raises(SchemaError, match=f"schema version {version}; this BlockZoo reads"):
        Store(path)


def test_a_store_that_lost_its_version(path: Path) -> None:
    Store(path, create=True).close()
    execute(path, "DELETE FROM meta")
    with pytest.raises(ResultsError, match="does not say its version"):
        Store(path)


def test_records_of_another_version_or_shape(path: Path) -> None:
    with Store(path, create=True) as store:
        store.put(cost())
        execute(path, "UPDATE records SET payload = replace(payload, 'version\":2', 'version\":3')")
        with pytest.raises(SchemaError, match="record cost, has results of schema version 3"):
            store.get("cost")
        execute(path, """UPDATE records SET payload = '{"kind": "cost"}'""")
        with pytest.raises(ResultsError, match=r"record cost, is not a record: cost\.trial_id"):
            store.get("cost")
        execute(path, "UPDATE records SET payload = 'nonsense'")
        with pytest.raises(ResultsError, match="record cost, is not a record: JSON"):
            store.get("cost")


def test_one_bad_row_never_stops_the_rest(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Store(path, create=True) as store:
        store.put_all([cost(), training(), *(latency(f"l{number}") for number in range(450))])
        execute(path, "UPDATE records SET payload = replace(payload, '0.75,', '7.5,')")
        execute(path, "UPDATE records SET payload = x'ff00' WHERE trial_id = 'l7'")
        good = {"cost", *(f"l{number}" for number in range(450) if number != 7)}
        for _ in range(2):  # said once
            assert {record.trial_id for record in store.records()} == good
        assert store.ok_ids() == good  # the others are run again
        (line,) = [message for message in caplog.messages if "cannot be" not in message]
        assert "and 1 more: left out; `blockzoo results --bad` lists all" in line
        assert [row.trial_id for row in store.bad_rows()] == ["l7", "training"]
        assert "training.test_accuracy: Input should be less than or equal to 1" in (
            store.bad_rows()[1].reason
        )
        store.put(training())  # takes the place of what could not be read
        assert len(store.bad_rows()) == 1


def test_a_removed_store_is_made_anew_and_that_is_said(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Store(path, create=True) as store:
        store.put(cost())
        for take_away in ("folder", "file", "content"):
            caplog.clear()
            if take_away == "folder":
                shutil.rmtree(path.parent)
            elif take_away == "file":
                path.unlink()
            else:
                path.write_bytes(b"")
            store.put(training())
            assert store.ok_ids() == {"training"}
            (message,) = caplog.messages
            assert message == f"{path} was removed meanwhile: made anew, without what was in it"
    with Store(path) as reader:
        path.unlink()
        with pytest.raises(ResultsError, match="cannot be opened"):
            reader.records()
    assert not path.exists()


def test_an_unknown_future_field_says_update(path: Path) -> None:
    with Store(path, create=True) as store:
        store.put(cost())
        execute(
            path,
            "UPDATE records SET payload = replace(payload, '\"schema_version\":2', "
            '\'"schema_version":7,"novelty":3\')',
        )
        with pytest.raises(SchemaError, match="update BlockZoo"):
            store.get("cost")


def test_a_locked_store_is_waited_for_and_then_named(path: Path) -> None:
    Store(path, create=True).close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA locking_mode=EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(ResultsError, match="is locked by another process"):
        Store(path, timeout_s=0.05)
    other.close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with Store(path, timeout_s=0.05) as store:
        assert store.records() == []  # a reader needs not wait for a writer
        with pytest.raises(ResultsError, match="is locked by another process"):
            store.put(cost())
    other.close()


@pytest.mark.parametrize(
    ("pragma", "message"),
    [
        ("max_page_count=28", "no space is left on the disk"),
        ("query_only=1", "the file or its folder is read-only"),
    ],
)
def test_a_failed_write_says_why_and_loses_nothing(path: Path, pragma: str, message: str) -> None:
    with Store(path, create=True) as store:
        store.put(cost())

        @event.listens_for(store._engine, "connect")
        def limit(connection: sqlite3.Connection, _: object) -> None:
            connection.execute(f"PRAGMA {pragma}")

        store.close()  # so that it connects anew
        with pytest.raises(ResultsError, match=f"cannot be written: {message}"):
            store.put(training(notes="x" * 100_000))
        assert store.records() == [cost()]


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is write-protected for root")
def test_a_write_protected_store_can_be_read(path: Path) -> None:
    with Store(path, create=True) as store:
        store.put(cost())
    path.chmod(0o400)
    with Store(path) as store:
        assert store.ok_ids() == {"cost"}
        with pytest.raises(ResultsError, match="read-only"):
            store.put(latency())


def test_other_databases_and_a_missing_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ResultsError, match="mysql:// is not supported"):
        Store("mysql://host/name")
    with pytest.raises(ResultsError, match="URL cannot be read"):
        Store("postgresql://host:port/name")
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ResultsError, match=r"pip install 'blockzoo\[postgres\]'"):
        Store("postgresql://user:secret@host/name")


def test_the_upsert_is_one_statement_on_postgresql_too() -> None:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    text = str(schema.upsert(schema.RECORDS, "postgresql").compile(dialect=dialect))
    assert "ON CONFLICT (trial_id) DO UPDATE SET" in text
    assert "excluded.created_at >= records.created_at" in text


def test_what_is_no_kind_of_record_is_refused(path: Path) -> None:
    bare = Record(**cost().model_dump(include=set(Record.model_fields)))
    with Store(path, create=True) as store, pytest.raises(TypeError, match="Record is not a kind"):
        store.put(bare)


WRITER = """
import sys
from blockzoo.results.store.database import Store
from tests.record_samples import training

with Store(sys.argv[1], create=True) as store:
    for number in range(100_000):
        store.put(training(f"t{sys.argv[2]}-{number}", seed=number, notes="x" * 6000))
        print(number, flush=True)
"""


def test_killing_writers_leaves_every_record_that_was_acknowledged(path: Path) -> None:
    root = Path(__file__).parents[3]
    acknowledged: set[str] = set()
    for kill in range(5):
        command = [sys.executable, "-c", WRITER, str(path), str(kill)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as writer:
            assert writer.stdout is not None
            lines = [writer.stdout.readline()]
            time.sleep(0.017 * kill)  # another moment of a put each time
            writer.send_signal(signal.SIGKILL)
            lines += writer.stdout.readlines()
        acknowledged |= {f"t{kill}-{line.strip()}" for line in lines if line.endswith("\n")}
        with Store(path) as store:
            records = store.records()
        found = {record.trial_id for record in records}
        assert len(found) == len(records)
        assert acknowledged <= found
        assert len(found) <= len(acknowledged) + kill + 1  # put, but killed before saying so
        assert all(record.notes == "x" * 6000 for record in records)
    assert len(acknowledged) >= 5


EARLY, MID, LATE = Position.EARLY, Position.MID, Position.LATE


def test_a_network_is_shown_wherever_anybody_asked_for_it(path: Path) -> None:
    everywhere = ("early", "mid", "late")
    with Store(path, create=True) as store:
        store.put(cost(positions=everywhere, asked=(LATE,)))
        store.put(cost(positions=everywhere, asked=(EARLY,), created_at=after(1)))
        (record,) = store.records()
        assert (record.asked, record.created_at) == ((EARLY, LATE), after(1))
        # An older one, which does not take its place, was asked for all the same.
        store.put(cost(positions=everywhere, asked=(MID,)))
        (record,) = store.records()
        assert ({*record.asked}, record.created_at) == ({EARLY, MID, LATE}, after(1))


def test_a_result_that_is_there_can_be_asked_for_elsewhere(path: Path) -> None:
    with Store(path, create=True) as store:
        store.put(cost(positions=("early", "late"), asked=(LATE,)))
        # At mid it is another network, and nothing is known of "none".
        store.ask({"cost": (MID, EARLY), "none": (EARLY,)})
        (record,) = store.records()
        assert record.asked == (LATE, EARLY)


def test_records_that_do_not_say_are_shown_everywhere(path: Path) -> None:
    with Store(path, create=True) as store:
        store.put(cost(positions=("early", "late")))
        store.put(cost(positions=("early", "late"), asked=(LATE,), created_at=after(1)))
        (record,) = store.records()
    assert {*record.shown} == {EARLY, LATE}


def test_a_family_is_declared_once_and_older_stores_take_it_too(tmp_path: Path) -> None:
    one = Family(
        protocol="v1",
        dataset="digits",
        block="A",
        others=("B", "C"),
        positions=("mid",),
        margin=0.003,
    )
    with Store(tmp_path, create=True) as store:
        store.put(training("t"))
    execute(tmp_path / "blockzoo.db", "DROP TABLE declared_families")
    with Store(tmp_path) as store:
        first = store.declare(one)
        assert store.declare(one) == first
        assert store.declare(replace(one, margin=0.004)) > first
        assert [record.trial_id for record in store.records()] == ["t"]
    assert abs((datetime.now(timezone.utc) - first).total_seconds()) < 600
