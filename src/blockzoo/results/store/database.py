"""The store: every record there is, in one SQLite file or one PostgreSQL database.

A record is put in a transaction of its own, so a process that dies loses at most the record it was
putting, and leaves no half of it. SQLite keeps its rollback journal (`journal_mode=DELETE`) and
syncs at every commit (`synchronous=EXTRA`): a record comes seldom, a commit costs milliseconds,
and in return the store is one file that can be copied, that lives on network file systems, where a
write-ahead log cannot, and whose last record survives a power cut.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection, Engine, create_engine, event, make_url, select
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.pool import NullPool

from blockzoo.core.errors import ResultsError
from blockzoo.core.files import make_folder
from blockzoo.results.records import AnyRecord, Record
from blockzoo.results.store.schema import (
    RECORDS,
    check_schema_version,
    clear_faults,
    create_schema,
    has_schema,
    raise_version,
    row_of,
    upsert,
)

STORE_NAME = "blockzoo.db"
BUSY_TIMEOUT_S = 30.0

_RECORD: TypeAdapter[AnyRecord] = TypeAdapter(AnyRecord)


class Store:
    """The records at `location`: an SQLite file, a folder that holds `blockzoo.db`, or a URL.

    URLs are `sqlite:///PATH` and `postgresql://USER@HOST/DATABASE` (needs `blockzoo[postgres]`).
    With `create`, a store that is not there yet is made, its folders too; without, that is an
    error. Writers wait up to `timeout_s` seconds for each other. Raises `ResultsError` for
    everything that cannot be read or written, `SchemaError` for records of a newer version; what
    was in the store stays as it was.

    >>> with Store("results", create=True) as store:
    ...     len(store.records(kind="training", status="ok"))
    0
    """

    def __init__(
        self, location: str | Path, *, create: bool = False, timeout_s: float = BUSY_TIMEOUT_S
    ) -> None:
        if _is_postgres(location):
            self._engine = _postgres_engine(str(location))
            # Hidden, because the location is told in messages.
            self.location = self._engine.url.render_as_string(hide_password=True)
        else:
            path = store_path(location)
            self.location = str(path)
            _check_file(path, create=create)
            self._engine = _sqlite_engine(path, create=create, timeout_s=timeout_s)
        try:
            self._open(create=create)
        except BaseException:
            # Nobody has this store yet who could close it.
            self.close()
            raise

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give back the connections; the store may be used again, which opens new ones."""
        self._engine.dispose()

    def put(self, record: Record) -> None:
        """Keep the record; when this returns it is on the disk.

        An ok record takes the place of a failed one of its id and never the other way; of two that
        are both ok, or both failed, the one made later stays.
        """
        self.put_all([record])

    def put_all(self, records: Iterable[Record]) -> None:
        """Keep all the records, or none if that fails, in one transaction."""
        # Outside the transaction: a record that cannot be written locks out nobody.
        rows = [row_of(record) for record in records]
        with self._transaction(write=True) as connection:
            raise_version(connection)
            statement = upsert(connection.dialect)
            for row in rows:
                connection.execute(statement, row)

    def get(self, trial_id: str) -> AnyRecord | None:
        """Return the record of that trial, or None."""
        query = select(RECORDS.c.payload).where(RECORDS.c.trial_id == trial_id)
        with self._transaction() as connection:
            payload = connection.scalar(query)
        return None if payload is None else self._parse(trial_id, payload)

    def records(
        self,
        *,
        kind: str | None = None,
        status: str | None = None,
        block: str | None = None,
        protocol: str | None = None,
        dataset: str | None = None,
    ) -> list[AnyRecord]:
        """Return the records that have all the values given, the oldest first."""
        filters = {"kind": kind, "status": status, "block": block}
        filters |= {"protocol": protocol, "dataset": dataset}
        query = select(RECORDS.c.trial_id, RECORDS.c.payload)
        for name, value in filters.items():
            if value is not None:
                query = query.where(RECORDS.c[name] == value)
        # Ids decide between equal times, so that the order is always the same.
        query = query.order_by(RECORDS.c.created_at, RECORDS.c.trial_id)
        with self._transaction() as connection:
            rows = connection.execute(query).all()
        return [self._parse(trial_id, payload) for trial_id, payload in rows]

    def ok_ids(self) -> set[str]:
        """Return the ids of all trials that were done and went well."""
        query = select(RECORDS.c.trial_id).where(RECORDS.c.status == "ok")
        with self._transaction() as connection:
            return set(connection.scalars(query))

    def _open(self, *, create: bool) -> None:
        with self._transaction() as connection:
            if has_schema(connection, location=self.location):
                return
        if not create:
            raise ResultsError(f"{self.location} is empty: it holds no BlockZoo store")
        with self._transaction(write=True) as connection:
            # Another process may have been quicker between the two transactions.
            if not has_schema(connection, location=self.location):
                create_schema(connection)

    @contextmanager
    def _transaction(self, *, write: bool = False) -> Iterator[Connection]:
        # A writer takes the lock at once: asking for it in mid-transaction cannot be waited for.
        begin = "BEGIN IMMEDIATE" if write else "BEGIN"
        with clear_faults(self.location), self._engine.connect() as raw:
            connection = raw.execution_options(sqlite_begin=begin)
            with connection.begin():
                yield connection

    def _parse(self, trial_id: str, payload: str) -> AnyRecord:
        return parse_record(payload, location=f"{self.location}, record {trial_id},")


def parse_record(payload: str | bytes, *, location: str) -> AnyRecord:
    """Return the record that the JSON text holds.

    Raises `SchemaError` when it is of a newer version, `ResultsError` when it is no record.
    """
    try:
        record = _RECORD.validate_json(payload)
    except ValidationError as error:
        # First: a newer record fails for its new fields, and its version is the better reason.
        check_schema_version(_claimed_version(payload), location=location)
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "JSON"
        raise ResultsError(f"{location} is not a record: {where}: {first['msg']}") from None
    check_schema_version(record.schema_version, location=location)
    return record


def _claimed_version(payload: str | bytes) -> object:
    """Return the version that the text says it has, 1 when it says none."""
    try:
        document = TypeAdapter(dict[str, object]).validate_json(payload)
    except ValidationError:
        return 1
    return document.get("schema_version", 1)


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


def _is_postgres(location: str | Path) -> bool:
    scheme, separator, _ = str(location).partition("://")
    return bool(separator) and scheme.partition("+")[0] in {"postgres", "postgresql"}


def _check_file(path: Path, *, create: bool) -> None:
    if create:
        make_folder(path.parent)
    elif not path.exists():
        raise ResultsError(f"{path} does not exist: there are no results there yet")


def _sqlite_engine(path: Path, *, create: bool, timeout_s: float) -> Engine:
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


def _postgres_engine(url: str) -> Engine:
    # psycopg is the driver that `blockzoo[postgres]` installs, whichever the URL may name.
    address = "postgresql+psycopg://" + url.partition("://")[2]
    try:
        # A server may have closed a connection that lay idle while a network was trained.
        return create_engine(make_url(address), pool_pre_ping=True)
    except ModuleNotFoundError as error:
        raise ResultsError(
            "a PostgreSQL store needs its driver: pip install 'blockzoo[postgres]'"
        ) from error
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise ResultsError(
            "the store's URL cannot be read; it must be postgresql://USER@HOST/DATABASE"
        ) from error
