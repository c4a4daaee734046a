"""The store in a real PostgreSQL server, which is started for these tests where there is one."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from threading import Barrier, Timer

import pytest
from sqlalchemy import create_engine, text

from blockzoo.core.errors import ResultsError
from blockzoo.results.families import Family
from blockzoo.results.merge import merge_store
from blockzoo.results.prune import Unwanted, find_unwanted, remove
from blockzoo.results.store.database import Store
from blockzoo.results.verify import faults_of
from tests.record_samples import cost, training
from tests.results.store.postgres_server import MISSING, Server

pytest.importorskip("psycopg")


pytestmark = pytest.mark.skipif(MISSING, reason="no PostgreSQL server")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A running server."""
    server = Server()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def url(server: Server, request: pytest.FixtureRequest) -> str:
    """The URL of an empty database."""
    return server.new_database(f"db{abs(hash(request.node.name))}")


def test_what_is_put_comes_back_equal(url: str) -> None:
    record = training(seed=2**32 - 1, notes="ä\x00\x1b", created_at=cost().created_at)
    with Store(url, create=True) as store:
        store.put_all([record, cost()])
        store.put(training(status="failed", reason="no"))  # is no better
        assert store.records(kind="training") == [record]
        assert store.ok_ids() == {"training", "cost"}
    with Store(url) as again:
        assert again.get("cost") == cost()


def test_drivers_that_start_at_once_on_an_empty_database_all_go_on(url: str) -> None:
    together = Barrier(8)

    def drive(number: int) -> None:
        together.wait()
        with Store(url, create=True) as store:
            store.put(training(f"t{number}"))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(drive, range(8)))
    with Store(url) as store:
        assert store.ok_ids() == {f"t{number}" for number in range(8)}


def test_a_family_is_declared_once_whoever_comes_first(url: str) -> None:
    one = Family(
        protocol="v1", dataset="digits", block="A", others=("B",), positions=(), margin=0.003
    )
    together = Barrier(4)

    def declare(_: int) -> datetime:
        together.wait()
        with Store(url) as store:
            return store.declare(one)

    with Store(url, create=True) as store, ThreadPoolExecutor(4) as pool:
        assert len({*pool.map(declare, range(4)), store.declare(one)}) == 1


def test_a_locked_table_is_waited_for_and_then_named(url: str) -> None:
    with Store(url, create=True, timeout_s=0.1) as store:
        other = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
        with other.begin() as holding:
            holding.execute(text("LOCK TABLE records IN ACCESS EXCLUSIVE MODE"))
            for use in (store.records, lambda: store.put(cost())):
                with pytest.raises(ResultsError, match="is locked by another process") as caught:
                    use()
                assert "\n" not in str(caught.value)
        other.dispose()
        store.put(cost())
        assert store.records() == [cost()]


def test_who_waits_for_a_lock_says_so_once(
    url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("blockzoo.results.store.engines._SLICE_S", 0.1)
    with Store(url, create=True, timeout_s=60) as store:
        other = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
        holding = other.connect()
        holding.execute(text("LOCK TABLE records IN ACCESS EXCLUSIVE MODE"))
        timer = Timer(1.0, holding.rollback)
        timer.start()
        store.put(cost())
        timer.join()
        holding.close()
        other.dispose()
        assert store.records() == [cost()]
    (line,) = caplog.messages
    assert line.endswith("is locked by another process: waiting for it, 60 s at most")


def test_a_bad_row_never_stops_the_rest(url: str) -> None:
    with Store(url, create=True) as store:
        store.put_all([training(), cost()])
        engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
        with engine.begin() as connection:
            connection.execute(text("UPDATE records SET payload = '{}' WHERE trial_id = 'cost'"))
        engine.dispose()
        assert store.records() == [training()]
        assert [row.trial_id for row in store.bad_rows()] == ["cost"]


def test_stores_are_merged_into_it_and_from_it(url: str, tmp_path: Path) -> None:
    with (
        Store(url, create=True) as there,
        Store(tmp_path / "a", create=True) as a,
        Store(tmp_path / "b", create=True) as b,
    ):
        a.put_all([training(), cost()])
        there.put(cost("own"))
        assert merge_store(a, there).new == 2
        change = there.change
        assert merge_store(a, there).same == 2
        assert there.change == change
        assert list(faults_of(there)) == []
        assert merge_store(there, b).new == 3
        assert sorted(b.lines()) == sorted(there.lines())
        assert remove(there, find_unwanted(there, Unwanted(protocol="quick"))) == 1
        assert there.ok_ids() == {"cost", "own"}


def test_a_server_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ResultsError) as caught:
        Store(f"postgresql://postgres@/none?host={tmp_path}")
    assert "\n" not in str(caught.value)
