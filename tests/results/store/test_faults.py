"""What happens to a store while it is written to: a full disk, locks, deaths, a folder removed.

Whatever it is, at the end every record is there once and can be read, or one line says why not.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

import pytest

from blockzoo.core.errors import ResultsError
from blockzoo.results.store.claims import Claims
from blockzoo.results.store.database import Store
from blockzoo.results.verify import faults_of
from tests.record_samples import after, cost, training
from tests.results.store.postgres_server import MISSING, Server

ROOT = Path(__file__).parents[3]
DRIVER = """
import sys
from blockzoo.core.errors import ResultsError
from blockzoo.results.store.claims import Claims
from blockzoo.results.store.database import Store
from tests.record_samples import training
import time

place, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
planned = [f"t{number}" for number in range(count)]
print("ready", flush=True)
sys.stdin.readline()
while True:
    try:
        with Store(place, create=True) as store, Claims(store, lease_s=1.0) as claims:
            # One and the same claims: only who has watched a lease for as long as it is takes over.
            while len(done := store.ok_ids()) < count:
                for each in planned:
                    if each not in done and claims.take([each]).state == "mine":
                        time.sleep(0.02)
                        store.put(training(each, experiment_name=name))
                time.sleep(0.1)
        break
    except ResultsError as error:
        assert "\\n" not in str(error), error
        print(error, flush=True)
    time.sleep(0.1)  # and the same command goes on
"""


_STARTED: list[subprocess.Popen[str]] = []


def started(place: str, name: str, count: int) -> subprocess.Popen[str]:
    """Start a driver, which runs the same command again whenever it fails, until all is there."""
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, place, name, str(count)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    _STARTED.append(driver)
    return driver


@pytest.fixture(autouse=True)
def _no_driver_outlives_its_test() -> Iterator[None]:
    yield
    while _STARTED:
        driver = _STARTED.pop()
        if driver.poll() is None:
            driver.kill()
            driver.communicate()


def let_go(drivers: list[subprocess.Popen[str]]) -> None:
    for driver in drivers:
        assert driver.stdout is not None
        assert driver.stdout.readline() == "ready\n"
    for driver in drivers:
        assert driver.stdin is not None
        driver.stdin.write("\n")
        driver.stdin.flush()


def assert_all_there(place: str, count: int) -> None:
    with Store(place) as store:
        assert sorted(record.trial_id for record in store.records()) == sorted(
            f"t{number}" for number in range(count)
        )
        assert list(faults_of(store)) == []


def wait_for(place: str, count: int) -> None:
    """Wait until some records are there."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            with Store(place) as store:
                if len(store.ok_ids()) >= count:
                    return
        except ResultsError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"fewer than {count} records in a minute")


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="mounts are Linux's")
def test_a_full_disk_loses_the_record_in_hand_alone_and_is_gone_on_with(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk, Store(disk, create=True) as store:
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(400_000))
        put: list[str] = []

        def fill() -> None:
            while True:
                store.put(training(f"t{len(put)}", notes=os.urandom(5000).hex()))
                put.append(f"t{len(put)}")

        with pytest.raises(ResultsError, match="cannot be written: no space") as caught:
            fill()
        assert "\n" not in str(caught.value)
        assert store.ok_ids() == {*put}
        ballast.unlink()
        store.put(training(f"t{len(put)}"))
        assert len(store.ok_ids()) == len(put) + 1
        assert list(faults_of(store)) == []


def test_a_file_that_may_not_grow_is_one_line(tmp_path: Path) -> None:
    script = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from blockzoo.results.store.database import Store\n"
        "from blockzoo.core.errors import ResultsError\n"
        "from tests.record_samples import training\n"
        f"with Store({str(tmp_path)!r}, create=True) as store:\n"
        "    store.put(training('first'))\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 10**9))\n"
        "    try:\n"
        "        for number in range(100): store.put(training(str(number), notes='x' * 10_000))\n"
        "    except ResultsError as error: print(error)\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (10**9, 10**9))\n"
        "    store.put(training('last'))\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    assert found.stdout.count("\n") == 1
    with Store(tmp_path) as store:
        ids = store.ok_ids()
        assert {"first", "last"} <= ids
        assert len(ids) < 100
        assert list(faults_of(store)) == []


@pytest.mark.parametrize(("patience_s", "waits"), [(60, True), (0.2, False)])
@pytest.mark.parametrize("lock", ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
def test_a_writer_holds_the_lock_for_shorter_or_longer_than_patience(
    tmp_path: Path, patience_s: float, waits: bool, lock: str
) -> None:
    with Store(tmp_path, create=True, timeout_s=patience_s) as store:
        store.put(cost())
        other = sqlite3.connect(
            tmp_path / "blockzoo.db", isolation_level=None, check_same_thread=False
        )
        other.execute(lock)
        timer = Timer(0.6, other.execute, ["ROLLBACK"])
        timer.start()
        if waits:
            store.put(training())
        else:
            with pytest.raises(ResultsError, match="is locked by another process that did not"):
                store.put(training())
        timer.join()
        other.close()
        store.put(training())  # the result in hand was not lost
        assert store.ok_ids() == {"cost", "training"}


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="no such signals here")
def test_a_writer_that_is_killed_leaves_no_half_of_a_record(tmp_path: Path) -> None:
    driver = started(str(tmp_path), "killed", 500)
    let_go([driver])
    wait_for(str(tmp_path), 3)
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    with Store(tmp_path, create=True) as store:
        there = store.ok_ids()
        assert there == {f"t{number}" for number in range(len(there))}
        assert list(faults_of(store)) == []
        store.put(cost())


def test_a_clock_that_is_set_back_keeps_claims_and_later_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(tmp_path, create=True) as store, Claims(store) as mine:
        assert mine.take(["a"]).state == "mine"
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now - 1e6)
        with Claims(store) as others:
            assert others.take(["a"]).state == "elsewhere"
            store.put(training("a", created_at=after(-1e6)))
            assert others.take(["a"]).state == "done"
        store.put(training("a", status="failed", reason="no", created_at=after(0)))
        assert store.ok_ids() == {"a"}


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
def test_several_drivers_do_each_trial_once_although_some_are_killed(
    tmp_path: Path, count: int
) -> None:
    drivers = [started(str(tmp_path), f"d{number}", 60) for number in range(count)]
    let_go(drivers)
    wait_for(str(tmp_path), 10)
    drivers[0].send_signal(signal.SIGKILL)
    for driver in drivers:
        driver.communicate(timeout=200)
    assert [driver.returncode for driver in drivers] == [-signal.SIGKILL, *[0] * (count - 1)]
    assert_all_there(str(tmp_path), 60)


@pytest.mark.slow
def test_a_folder_that_is_removed_in_the_middle_is_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    drivers = [started(str(folder), f"d{number}", 60) for number in range(2)]
    let_go(drivers)
    wait_for(str(folder), 10)
    shutil.rmtree(folder, ignore_errors=True)
    for driver in drivers:
        driver.communicate(timeout=200)
    assert [driver.returncode for driver in drivers] == [0, 0]
    assert_all_there(str(folder), 60)


@pytest.fixture
def server() -> Iterator[Server]:
    """A server of this test's own, which it may kill."""
    pytest.importorskip("psycopg")
    if MISSING:
        pytest.skip("no PostgreSQL server")
    server = Server()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_server_that_is_killed_and_restarted_loses_nothing(server: Server, count: int) -> None:
    url = server.new_database("kept")
    drivers = [started(url, f"d{number}", 60) for number in range(count)]
    let_go(drivers)
    wait_for(url, 10)
    server.kill()
    time.sleep(1.0)
    server.start_again()
    said = [driver.communicate(timeout=200)[0] for driver in drivers]
    assert [driver.returncode for driver in drivers] == [0] * count
    assert "postgres" in "".join(said)  # each failure was one line, which the driver checks
    assert_all_there(url, 60)
