"""Where a store lies and how it is connected to: an SQLite file or a PostgreSQL database."""

from __future__ import annotations

import ctypes
import logging
import os
import re
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path
from threading import Timer
from typing import NamedTuple
from urllib.parse import quote

from sqlalchemy import Connection, Engine, ExceptionContext, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError
from sqlalchemy.pool import QueuePool

from blockzoo.core.errors import ResultsError
from blockzoo.core.files import make_folder

STORE_NAME = "blockzoo.db"
WRITES = "blockzoo_writes"
"""The execution option of a connection whose transactions write."""
_STORE_SUFFIXES = frozenset({".db", ".sqlite", ".sqlite3"})
_HEADER_BYTES = 100
"""No SQLite database is smaller."""
_SLICE_S = 1.0
"""So long at once a lock is waited for."""
_LOCAL_KINDS = re.compile(
    "apfs|bcachefs|btrfs|exfat|ext[234]|f2fs|hfs|jfs|ntfs|overlay|ramfs|refs|tmpfs|ufs|xfs|zfs"
)
"""File systems of one machine: a log's index is memory that all its users must share."""
_log = logging.getLogger(__name__)


def store_path(location: str | Path) -> Path:
    """Return the path of the SQLite file meant by a path, a folder or an `sqlite:///` URL.

    A name that is not there yet is a file's when it has a suffix, else a folder's.

    >>> store_path("mine/kept.db").as_posix(), store_path("sqlite:///kept.db").as_posix()
    ('mine/kept.db', 'kept.db')
    """
    text = str(location)
    if "://" in text:
        if not text.startswith("sqlite:///"):
            raise ResultsError(
                f"{text.partition('://')[0]}:// is not supported; a store is a path, "
                "sqlite:///PATH or postgresql://USER@HOST/DATABASE"
            )
        text = text.removeprefix("sqlite:///")
    path = Path(text)
    # What is there goes before what its name looks like: a folder may have a dot in it.
    is_folder = path.is_dir() or not (path.suffix or path.exists())
    return path / STORE_NAME if is_folder else path


def is_postgres(location: str | Path) -> bool:
    """Tell whether the location is the URL of a PostgreSQL database."""
    scheme, separator, _ = str(location).partition("://")
    return bool(separator) and scheme.partition("+")[0] in {"postgres", "postgresql"}


def check_file(path: Path, *, create: bool) -> None:
    """Make the folder of a store that is made; raises `ResultsError` where one is to be there."""
    if create:
        make_folder(path.parent)
    elif not path.exists():
        raise ResultsError(f"{path} does not exist: there are no results there yet")


class FileIdentity(NamedTuple):
    """Which file lies at a path: one that took another's place is another."""

    device: int
    inode: int


def identity_of_file(path: Path) -> FileIdentity | None:
    """Return which file lies there; None where there is none, or nothing is in it.

    The file is not opened: to close it would take from this process all locks that it holds there.
    """
    try:
        found = path.stat()
    except OSError:
        return None
    return FileIdentity(found.st_dev, found.st_ino) if found.st_size else None


def is_sqlite(path: Path) -> bool:
    """Tell whether a file is an SQLite database; raises `ResultsError` where it cannot be read.

    >>> is_sqlite(Path("rows.csv"))
    Traceback (most recent call last):
    blockzoo.core.errors.ResultsError: rows.csv cannot be read: No such file or directory
    """
    try:
        if path.stat().st_size < _HEADER_BYTES:
            return False
        # By the library itself, see `identity_of_file`.
        with closing(sqlite3.connect(_uri(path, "ro"), uri=True)) as connection:
            connection.execute("PRAGMA schema_version").fetchone()
    except OSError as error:
        raise ResultsError(f"{path} cannot be read: {error.strerror or error}") from error
    except sqlite3.DatabaseError as error:
        return "not a database" not in str(error)
    return True


def has_whole_records(path: str | Path) -> bool:
    """Tell whether a store is there, a folder's own among them, and not rows of a CSV alone.

    >>> has_whole_records("rows.csv")
    False
    """
    return "://" in str(path) or ((store := store_path(path)).is_file() and is_store(store))


def is_store(path: Path) -> bool:
    """Tell whether a file is a store by its name or else by what is in it."""
    return path.suffix in _STORE_SUFFIXES or is_sqlite(path)


def _uri(path: Path, mode: str) -> str:
    return f"file:{quote(str(path.absolute()))}?mode={mode}"


def sqlite_engine(path: Path, *, create: bool, timeout_s: float) -> Engine:
    """Return what connects to the file; its connections are kept, one for each thread at a time."""
    location = str(path)
    # "rw" falls back to reading by itself where the file is write-protected, and unlike "ro" it
    # can roll back what a killed writer left unfinished.
    uri = _uri(path, "rwc" if create else "rw")

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(
            uri + _unchanging(path),
            uri=True,
            timeout=min(_SLICE_S, timeout_s),
            isolation_level=None,
            check_same_thread=False,  # the pool gives it to one thread at a time
        )
        connection.execute("PRAGMA synchronous=EXTRA")  # does not touch the file yet
        return connection

    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool, max_overflow=-1)

    # The driver begins transactions late and not for tables; with no isolation level it leaves
    # them to this, and tables and version appear together or not at all.
    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(WRITES, False)
        patience = _Patience(connection, location, timeout_s)
        # A writer takes the lock at once: asking for it in mid-transaction cannot be waited for.
        patience.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
        if not writes:
            patience.execute("PRAGMA schema_version")  # reads, which takes the reader's lock

    @event.listens_for(engine, "commit")
    def commit(connection: Connection) -> None:
        _Patience(connection, location, timeout_s).execute("COMMIT")

    return engine


def _unchanging(path: Path) -> str:
    """Return what a URI ends with of a file that nobody changes, in a folder that is read-only.

    A write-ahead log needs files beside it even to be read.
    """
    log = path.with_name(f"{path.name}-wal")
    try:
        logged = log.stat().st_size > 0
    except OSError:
        logged = False
    writable = os.access(path.parent, os.W_OK) or not path.exists()
    return "" if writable or logged else "&immutable=1"


class _Patience:
    """Executes statements that ask for a lock, and waits for others that hold it.

    In slices, between which Ctrl-C is heard; after the first one line says what is waited for.
    """

    def __init__(self, connection: Connection, location: str, timeout_s: float) -> None:
        self._connection, self._location = connection, location
        self._timeout_s, self._end = timeout_s, time.monotonic() + timeout_s
        self._told = False

    def execute(self, statement: str) -> None:
        """Execute it; raises what the driver raises where the lock was not to be had in time."""
        while not self._executed(statement):
            if not self._told:
                _log.warning("%s", waiting_line(self._location, self._timeout_s))
            self._told = True

    def _executed(self, statement: str) -> bool:
        """Execute it; return whether the lock was free."""
        try:
            self._connection.exec_driver_sql(statement)
        except OperationalError as error:
            if "locked" not in str(error.orig) or time.monotonic() >= self._end:
                raise
            return False
        return True


def waiting_line(location: str, timeout_s: float) -> str:
    """Return the line that says that a lock is waited for.

    >>> waiting_line("results/blockzoo.db", 3600)
    'results/blockzoo.db is locked by another process: waiting for it, 3600 s at most'
    """
    return f"{location} is locked by another process: waiting for it, {timeout_s:g} s at most"


def keep_log(engine: Engine, path: Path) -> None:
    """Have writers of the file keep a write-ahead log, so that nobody who reads holds them up.

    Where the file system may be one that several machines share they go on without; what is kept
    is as safe either way.
    """
    wanted = "wal" if _is_local(path) else "delete"
    # It cannot be had while others use the store; whoever opens it next asks again.
    _outside_transactions(engine, f"PRAGMA journal_mode={wanted}")


def give_back_room(engine: Engine) -> None:
    """Have the file as small as what is in it, if nobody else uses it and the disk has room."""
    _outside_transactions(engine, "VACUUM")


def _outside_transactions(engine: Engine, statement: str) -> None:
    """Execute what may fail without harm, and does not wait."""
    with suppress(OperationalError), engine.connect() as connection:
        raw = connection.connection.driver_connection
        assert isinstance(raw, sqlite3.Connection)
        (patience_ms,) = raw.execute("PRAGMA busy_timeout").fetchone()
        raw.execute("PRAGMA busy_timeout=0")
        with suppress(sqlite3.OperationalError):
            raw.execute(statement).fetchone()
        raw.execute(f"PRAGMA busy_timeout={patience_ms}")


def abandon(engine: Engine) -> None:
    """Have the engine connect anew, and never close the connections that it has had.

    Not at the end of the process either, when Python closes what nobody refers to.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(engine.pool))
    engine.dispose(close=False)


def _is_local(path: Path) -> bool:
    import psutil  # only where a store is made or first written to

    mounts = {Path(each.mountpoint): each.fstype for each in psutil.disk_partitions(all=True)}
    kinds = (mounts[folder] for folder in path.absolute().parents if folder in mounts)
    return _LOCAL_KINDS.fullmatch(next(kinds, "").casefold()) is not None


def postgres_engine(url: str, *, timeout_s: float) -> Engine:
    """Return what connects to the database; a lock is waited for `timeout_s` seconds at most."""
    # psycopg is the driver that `blockzoo[postgres]` installs, whichever the URL may name.
    address = "postgresql+psycopg://" + url.partition("://")[2]
    try:
        # A server may have closed a connection that lay idle while a network was trained.
        engine = create_engine(make_url(address), pool_pre_ping=True)
    except ModuleNotFoundError as error:
        raise ResultsError(
            "a PostgreSQL store needs its driver: pip install 'blockzoo[postgres]'"
        ) from error
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise ResultsError(
            "the store's URL cannot be read; it must be postgresql://USER@HOST/DATABASE"
        ) from error

    # A server waits for ever by default. In every transaction and not as the connection is made,
    # where it would take the place of options that the URL has.
    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {round(timeout_s * 1000)}")

    _tell_of_locks(engine, timeout_s)
    return engine


def _tell_of_locks(engine: Engine, timeout_s: float) -> None:
    """Have a line say that a statement waits for a lock; the server itself says nothing."""
    timers: dict[int, Timer] = {}

    def stop(cursor: object) -> None:
        if timer := timers.pop(id(cursor), None):
            timer.cancel()

    @event.listens_for(engine, "before_cursor_execute")
    def start(connection: Connection, cursor: object, *_: object) -> None:
        driver = connection.connection.driver_connection
        assert driver is not None
        asked = [engine, driver.info.backend_pid, timeout_s]
        timers[id(cursor)] = timer = Timer(_SLICE_S, _tell_if_locked, asked)
        timer.daemon = True
        timer.start()

    @event.listens_for(engine, "after_cursor_execute")
    def ended(_: Connection, cursor: object, *__: object) -> None:
        stop(cursor)

    @event.listens_for(engine, "handle_error")
    def failed(context: ExceptionContext) -> None:
        stop(context.execution_context and context.execution_context.cursor)


def _tell_if_locked(engine: Engine, pid: int, timeout_s: float) -> None:
    """Log a line where that process of the server waits for a lock, and is not merely slow."""
    # Beside the events of the engine, which would watch this as well.
    with suppress(Exception), closing(engine.raw_connection()) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT wait_event_type FROM pg_stat_activity WHERE pid = %s", (pid,))
        if cursor.fetchone() == ("Lock",):
            location = engine.url.render_as_string(hide_password=True)
            _log.warning("%s", waiting_line(location, timeout_s))
