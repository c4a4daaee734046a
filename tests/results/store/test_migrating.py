"""A store of an older layout: read as it is, brought up to date by the first writer, whole."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from blockzoo.core.errors import SchemaError
from blockzoo.results.store import migrating
from blockzoo.results.store.database import Store
from tests.record_samples import training

OLD = Path(__file__).parents[2] / "golden" / "stored" / "blockzoo.db"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A store as version 0.1 left it, with a table that another version added."""
    path = Path(shutil.copy(OLD, tmp_path / "blockzoo.db"))
    with sqlite3.connect(path) as base:
        base.execute("CREATE TABLE declared_families (family_id, declared_at, payload)")
        base.execute("INSERT INTO declared_families VALUES ('f', '2026', '{}')")
        base.execute(
            "INSERT INTO records SELECT 'bad', kind, status, block, dataset, protocol, seed, "
            "created_at, schema_version, 'nonsense' FROM records LIMIT 1"
        )
    base.close()
    return path


def tables(path: Path) -> set[str]:
    with sqlite3.connect(path) as base:
        found = {name for (name,) in base.execute("SELECT name FROM sqlite_master")}
    base.close()
    return found


def test_an_old_store_is_read_as_it_is(old: Path) -> None:
    before = old.read_bytes()
    with Store(old) as store:
        assert len(store.records()) == len([*store.listed()]) > 5
        assert [row.trial_id for row in store.bad_rows()] == ["bad"]
        assert store.change is None
    assert old.read_bytes() == before


@pytest.mark.parametrize("create", [True, False])
def test_the_first_writer_brings_it_up_to_date(
    old: Path, create: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with Store(old) as store:
        before = store.records()
    caplog.clear()
    with Store(old, create=create) as store:
        store.put(training("new"))
        store.put(training("newer"))
        (line,) = [each for each in caplog.messages if "layout" in each]
        assert line == f"{old} is of an older layout: it is brought up to date"
        assert [r for r in store.records() if "new" not in r.trial_id] == before
        assert [row.trial_id for row in store.bad_rows()] == ["bad"]
        assert {r.trial_id for r in before} <= store.ok_ids()
    assert {"series", "shared", "changes", "records_by_kind"} <= tables(old)
    assert "ix_records_kind" not in tables(old)
    with sqlite3.connect(old) as base:
        ((payloads,),) = base.execute("SELECT sum(payload LIKE '%epochs\":[{%') FROM records")
        assert payloads == 0
        assert [*base.execute("SELECT family_id FROM declared_families")] == [("f",)]
    base.close()


def test_a_reader_notices_that_another_brought_it_up_to_date(old: Path) -> None:
    with Store(old) as reader:
        before = reader.records()
        Store(old, create=True).close()
        assert reader.records() == before


def test_a_migration_that_fails_leaves_the_store_as_it_was(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(old) as store:
        before = store.records()

    def fails(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(migrating, "put_rows", fails)
    with pytest.raises(KeyboardInterrupt):
        Store(old, create=True)
    assert "series" not in tables(old)
    monkeypatch.undo()
    with Store(old, create=True) as store:
        assert store.records() == before


def test_a_store_of_a_newer_layout_is_refused_in_one_line(tmp_path: Path) -> None:
    Store(tmp_path, create=True).close()
    with sqlite3.connect(tmp_path / "blockzoo.db") as base:
        base.execute("UPDATE alembic_version SET version_num = 'layout_3'")
    base.close()
    for create in (True, False):
        with pytest.raises(
            SchemaError, match=r"laid out as layout_3, by a newer.*update"
        ) as caught:
            Store(tmp_path, create=create)
        assert "\n" not in str(caught.value)


def test_alembic_is_imported_by_a_migration_alone(tmp_path: Path) -> None:
    script = (
        "import sys; from blockzoo.results.store.database import Store; "
        f"Store({str(tmp_path)!r}, create=True).close(); print('alembic' in sys.modules)"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, check=True
    )
    assert found.stdout == "False\n"
