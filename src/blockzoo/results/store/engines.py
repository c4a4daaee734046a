"""Where a store lies and how it is connected to: an SQLite file or a PostgreSQL database."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.pool import NullPool

from blockzoo.core.errors import ResultsError
from blockzoo.core.files import make_folder

_CHANGE_COUNTER = range(24, 28)
"""Where SQLite's file format has it, in bytes."""
_COARSEST_NS = 2_000_000_000
"""No file system's times are further apart."""
STORE_NAME = "blockzoo.db"


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


class FileChange(NamedTuple):
    """When a file was last changed, in ns, and how many transactions have changed it."""

    time_ns: int
    transactions: int

    @property
    def is_past(self) -> bool:
        """Whether whatever changes the file now will have another time."""
        return self.time_ns < time.time_ns() - _COARSEST_NS


def last_change(path: Path) -> FileChange | None:
    """Return the last change of an SQLite file; None where it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(_CHANGE_COUNTER.start)
            count = int.from_bytes(file.read(len(_CHANGE_COUNTER)), "big")
            return FileChange(os.fstat(file.fileno()).st_mtime_ns, count)
    except OSError:
        return None


def sqlite_engine(path: Path, *, create: bool, timeout_s: float) -> Engine:
    """Return what connects to the file; a connection lasts for one transaction."""
    # "rw" falls back to reading by itself where the file is write-protected, and unlike "ro" it
    # can roll back what a killed writer left unfinished.
    uri = f"file:{quote(str(path.absolute()))}?mode={'rwc' if create else 'rw'}"

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(uri, uri=True, timeout=timeout_s, isolation_level=None)
        connection.execute("PRAGMA synchronous=EXTRA")  # does not touch the file yet
        return connection

    # No connection outlives its transaction, so none holds the file in between.
    engine = create_engine("sqlite://", creator=connect, poolclass=NullPool)

    # The driver begins transactions late and not for tables; with no isolation level it leaves
    # them to this, and tables and version appear together or not at all.
    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        statement = connection.get_execution_options().get("sqlite_begin", "BEGIN")
        connection.exec_driver_sql(statement)

    return engine


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

    return engine
