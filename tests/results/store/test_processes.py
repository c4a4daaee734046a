"""One store and several processes, threads and readers: nobody loses a record, nobody gives up."""

from __future__ import annotations

import os
import pwd
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Timer

import pytest

from blockzoo.core.errors import ResultsError
from blockzoo.results.store.database import Store
from blockzoo.results.table.csv import write_csv_files
from blockzoo.results.table.frame import load_results
from tests.record_samples import cost, latency, training

ROOT = Path(__file__).parents[3]
WRITER = """
import sys
from pathlib import Path
from blockzoo.results.store.database import Store
from blockzoo.results.table.csv import write_csv_files
from tests.record_samples import training

place, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
for number in range(count):
    with Store(place, create=True) as store:
        store.put(training(f"{name}-{number}a"))
        if number % 2:
            write_csv_files(store, place / "results.csv")
        store.put(training(f"{name}-{number}b"))
"""


@pytest.mark.parametrize("count", [2, 4])
def test_several_writers_on_one_store_that_they_all_make(tmp_path: Path, count: int) -> None:
    commands = [[sys.executable, "-c", WRITER, str(tmp_path), str(n), "6"] for n in range(count)]
    pipe = subprocess.PIPE
    writers = [
        subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT)
        for command in commands
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate()
    assert [writer.returncode for writer in writers] == [0] * count
    with Store(tmp_path) as store:
        found = {record.trial_id for record in store.records()}
        assert store.bad_rows() == []
    assert found == {f"{n}-{k}{x}" for n in range(count) for k in range(6) for x in "ab"}


def test_a_store_has_a_log_and_is_one_file_once_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "blockzoo.db"
    with Store(path, create=True) as store:
        store.put(cost())
        beside = {entry.name for entry in tmp_path.iterdir()}
    assert [entry.name for entry in tmp_path.iterdir()] == ["blockzoo.db"]
    with sqlite3.connect(path) as base:
        ((mode,),) = base.execute("PRAGMA journal_mode")
    base.close()
    assert ("blockzoo.db-wal" in beside) == (mode == "wal")


def test_where_machines_share_the_file_system_there_is_no_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mode() -> str:
        with sqlite3.connect(tmp_path / "blockzoo.db") as base:
            ((found,),) = base.execute("PRAGMA journal_mode")
        base.close()
        return str(found)

    monkeypatch.setattr("blockzoo.results.store.engines._is_local", lambda _: True)
    Store(tmp_path, create=True).close()
    assert mode() == "wal"
    # As after it was copied there.
    monkeypatch.setattr("blockzoo.results.store.engines._is_local", lambda _: False)
    with Store(tmp_path, create=True) as store:
        store.put(cost())
        assert mode() == "delete"
        assert store.get("cost") == cost()


def test_threads_share_a_store(tmp_path: Path) -> None:
    together = Barrier(4)

    def drive(number: int) -> None:
        together.wait()
        for repeat in range(5):
            store.put(training(f"t{number}-{repeat}"))
            assert store.get(f"t{number}-{repeat}") is not None

    with Store(tmp_path, create=True) as store, ThreadPoolExecutor(4) as pool:
        list(pool.map(drive, range(4)))
        assert len(store.ok_ids()) == 20


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_process_has_connections_of_its_own(tmp_path: Path) -> None:
    with Store(tmp_path, create=True) as store:
        store.put(training("before"))
        child = os.fork()
        if child == 0:
            store.put(training("child"))
            store.close()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        store.put(training("after"))
        assert store.ok_ids() == {"before", "child", "after"}
    with Store(tmp_path) as store:
        assert store.ok_ids() == {"before", "child", "after"}


CLOSER = "import sqlite3, sys; b = sqlite3.connect(sys.argv[1]); b.execute('SELECT 1 FROM records')"


def test_nothing_else_in_a_process_opens_the_file_while_a_store_is_open(tmp_path: Path) -> None:
    """To close it would let go of SQLite's locks: others would take the log away from under it."""
    path = tmp_path / "blockzoo.db"
    with Store(path, create=True) as store:
        for number in range(3):
            store.put(training(f"t{number}"))
            write_csv_files(store, tmp_path / "results.csv")
            assert len(load_results(tmp_path)) == number + 1
            # Somebody else comes and goes; whoever goes last removes the log.
            subprocess.run(
                [sys.executable, "-c", f"{CLOSER}.fetchone(); b.close()", path], check=True
            )
    with Store(path) as store:
        assert store.ok_ids() == {"t0", "t1", "t2"}


def test_a_store_that_another_made_anew_is_gone_on_with(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "results"
    with Store(folder, create=True) as first, Store(folder) as reader:
        first.put(cost())
        assert reader.ok_ids() == {"cost"}
        shutil.rmtree(folder)
        with Store(folder, create=True) as second:
            second.put(training("of second"))
            first.put(training("of first"))  # lets go of the old file, whose log had this name
            assert [message for message in caplog.messages if "made anew" in message]
            assert reader.ok_ids() == {"of second", "of first"}
            second.put(training("again"))
    with Store(folder) as store:
        assert store.ok_ids() == {"of second", "of first", "again"}


def test_a_writer_waits_for_a_lock_and_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("blockzoo.results.store.engines._SLICE_S", 0.05)
    path = tmp_path / "blockzoo.db"
    with Store(path, create=True, timeout_s=60) as store:
        store.close()  # it connects anew, and waits in shorter slices
        other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        timer = Timer(0.4, other.execute, ["ROLLBACK"])
        timer.start()
        store.put(cost())
        timer.join()
        assert store.ok_ids() == {"cost"}
    other.close()
    (line,) = caplog.messages
    assert line == f"{path} is locked by another process: waiting for it, 60 s at most"


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_a_long_read_ends_no_writer(
    tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("blockzoo.results.store.engines._SLICE_S", 0.05)
    monkeypatch.setattr("blockzoo.results.store.engines._is_local", lambda _: mode == "wal")
    path = tmp_path / "blockzoo.db"
    with Store(path, create=True) as store:
        store.put(cost())
        reader = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM records").fetchone() == (1,)
        timer = Timer(0.4, reader.execute, ["ROLLBACK"])
        timer.start()
        store.put(training())
        timer.join()
        assert store.ok_ids() == {"cost", "training"}
    reader.close()
    assert ["waiting for it" in each for each in caplog.messages] == [True] * (mode == "delete")


def read_as_nobody(place: Path) -> list[str]:
    """Return what a process that nothing there is writable for says of the store."""
    if os.geteuid() == 0:
        os.setuid(pwd.getpwnam("nobody").pw_uid)
    said = []
    with Store(place) as store:
        said.append(str(sorted(store.ok_ids())))
        try:
            store.put(latency())
        except ResultsError as error:
            said.append(str(error).partition("blockzoo.db ")[2])
    return said


@pytest.mark.skipif(sys.platform == "win32", reason="folders have no such rights")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(("folder", "file"), [(0o555, 0o444), (0o777, 0o444), (0o555, 0o666)])
def test_a_read_only_store_can_be_read(folder: int, file: int) -> None:
    place = Path(tempfile.mkdtemp())  # that anybody can enter
    try:
        place.chmod(0o777)
        with Store(place, create=True) as store:
            store.put_all([cost(), training()])
        (place / "blockzoo.db").chmod(file)
        place.chmod(folder)
        with Store(place) as store:  # what is imported late is there before rights are given up
            store.ok_ids()
        reading, writing = os.pipe()
        if (child := os.fork()) == 0:
            os.write(writing, "\n".join(read_as_nobody(place)).encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            names, reason = pipe.read().splitlines()
        assert os.waitpid(child, 0)[1] == 0
    finally:
        place.chmod(0o777)
        shutil.rmtree(place)
    assert names == "['cost', 'training']"
    assert reason == "cannot be written: the file or its folder is read-only"


def test_a_reader_without_a_store_is_one_line(tmp_path: Path) -> None:
    with Store(tmp_path, create=True) as store:
        store.put(cost())
    with Store(tmp_path) as reader:
        (tmp_path / "blockzoo.db").unlink()
        with pytest.raises(ResultsError, match="cannot be opened"):
            reader.ok_ids()
