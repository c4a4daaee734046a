"""How records lie in a database: the tables, their layout, and which of two records stays.

One row per trial. The columns beside `payload` repeat what queries filter on and sort by; the
payload, with what `shared` and `series` hold, is the record (see `documents.py`). `meta` holds the
version of the records, `alembic_version` that of the layout.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    and_,
    func,
    insert,
    inspect,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from blockzoo.core.errors import ResultsError, SchemaError, one_line
from blockzoo.results.records import (
    SCHEMA_VERSION,
    CostRecord,
    LatencyRecord,
    Record,
    TrainingRecord,
)
from blockzoo.results.store.documents import written

TABLES = MetaData()

RECORDS = Table(
    "records",
    TABLES,
    Column("trial_id", String(64), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("status", String(16), nullable=False),
    Column("block", Text, nullable=False),
    Column("dataset", Text),
    Column("protocol", Text),
    Column("seed", BigInteger),  # up to 2^32 - 1, which PostgreSQL's INTEGER does not hold
    Column("created_at", String(32), nullable=False),  # UTC, microseconds: sorts as text
    Column("schema_version", Integer, nullable=False),
    Column("payload", Text, nullable=False),
    Index("records_by_time", "created_at", "trial_id"),
    Index("records_by_kind", "kind", "created_at", "trial_id"),
    Index("records_by_status", "status", "kind", "created_at", "trial_id"),
    Index("records_by_block", "block", "kind", "created_at", "trial_id"),
    Index("records_by_protocol", "protocol", "kind", "created_at", "trial_id"),
)

SERIES = Table(
    "series",
    TABLES,
    Column("trial_id", String(64), primary_key=True),
    # As in records: by them the series of the record that stays are those that stay.
    Column("status", String(16), nullable=False),
    Column("created_at", String(32), nullable=False),
    Column("data", LargeBinary, nullable=False),
)
"""Curves, samples and bits of records that have some, packed; see `series.py`."""

SHARED = Table(
    "shared",
    TABLES,
    Column("digest", String(32), primary_key=True),
    Column("payload", Text, nullable=False),
)
"""What records have in common, see `documents.py`."""

CHANGES = Table(
    "changes",
    TABLES,
    Column("name", Text, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("mark", Text, nullable=False),
)
"""How often the store was changed, under ""; under the path of a file that was made of it at which
change that was, with a mark of the file."""

LAYOUT = Table("alembic_version", TABLES, Column("version_num", String(32), primary_key=True))
"""The name of the newest migration that was applied; stores of layout 1 lack it."""

FAMILIES = Table(
    "declared_families",
    TABLES,
    Column("family_id", String(64), primary_key=True),
    Column("declared_at", String(32), nullable=False),  # as in records
    Column("payload", Text, nullable=False),
)
"""Stores of before there were any lack it until something is declared."""

META = Table(
    "meta",
    TABLES,
    Column("key", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)

CURRENT_LAYOUT = "layout_2"
FIRST_LAYOUT = "layout_1"
"""In it payloads were whole records."""
_VERSION_KEY = "blockzoo_schema_version"
_SCHEMA_LOCK = int.from_bytes(b"blockzoo")
"""Any number of 64 bits that other programs on the database are not likely to use."""


def layout_of(connection: Connection, *, location: str) -> str | None:
    """Return in which layout the store is; None of a database that holds nothing yet.

    Raises `SchemaError` for records or a layout of a newer version and `ResultsError` for a
    database with tables of something else.
    """
    tables = set(inspect(connection).get_table_names())
    if META.name in tables and RECORDS.name in tables:
        _check_version(connection, location)
        layout = connection.scalar(select(LAYOUT)) if LAYOUT.name in tables else FIRST_LAYOUT
        return _known_layout(layout, location)
    # A PostgreSQL database is often shared, an SQLite file belongs to one program.
    foreign = tables if connection.dialect.name == "sqlite" else tables & set(TABLES.tables)
    if foreign:
        raise ResultsError(
            f"{location} is not a BlockZoo store: it is a database with other tables "
            f"({', '.join(sorted(foreign)[:4])})"
        )
    return None


def _known_layout(layout: str | None, location: str) -> str:
    if layout in (FIRST_LAYOUT, CURRENT_LAYOUT):
        return str(layout)
    raise SchemaError(
        f"{location} is laid out as {layout}, by a newer BlockZoo; this one reads up to "
        f"{CURRENT_LAYOUT}: update BlockZoo"
    )


def lock_schema(connection: Connection) -> None:
    """Have others wait who want to create the tables, until the end of the transaction."""
    # SQLite's writers are alone anyway; on PostgreSQL two could find no tables and make them both.
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_SCHEMA_LOCK)))


def create_schema(connection: Connection) -> None:
    """Create the tables and write the version; meant to run inside one transaction."""
    add_layout_2(connection)
    connection.execute(insert(META).values(key=_VERSION_KEY, value=str(SCHEMA_VERSION)))
    connection.execute(insert(LAYOUT).values(version_num=CURRENT_LAYOUT))


def add_layout_2(connection: Connection) -> None:
    """Create the tables and indices that are not there yet."""
    TABLES.create_all(connection)
    for index in RECORDS.indexes:
        index.create(connection, checkfirst=True)
    connection.execute(insert(CHANGES).values(name="", number=0, mark=""))


def raise_version(connection: Connection) -> None:
    """Note that records of this version are in the store, for an older BlockZoo that opens it."""
    versions = META.c.key == _VERSION_KEY
    current = str(SCHEMA_VERSION)
    connection.execute(update(META).where(versions, META.c.value != current).values(value=current))


def _check_version(connection: Connection, location: str) -> None:
    version = connection.scalar(select(META.c.value).where(META.c.key == _VERSION_KEY))
    if version is None:
        raise ResultsError(f"{location} is not a BlockZoo store: it does not say its version")
    check_schema_version(version, location=location)


def check_schema_version(version: object, *, location: str) -> None:
    """Raise `SchemaError` unless `version` is a version that this BlockZoo can read."""
    text = str(version)
    if not text.isdecimal() or not 1 <= int(text) <= SCHEMA_VERSION:
        raise SchemaError(
            f"{location} has results of schema version {text}; this BlockZoo reads versions up to "
            f"{SCHEMA_VERSION}: update BlockZoo"
        )


class Rows(NamedTuple):
    """What a record is in each table."""

    record: dict[str, Any]
    shared: dict[str, str]
    series: dict[str, Any] | None


def rows_of(record: Record) -> Rows:
    """Return the record as rows; raises `ResultsError` when it cannot be written as JSON."""
    if not isinstance(record, CostRecord | LatencyRecord | TrainingRecord):
        raise TypeError(f"{type(record).__name__} is not a kind of record that a store keeps")
    if not record.whole:
        raise TypeError(f"record {record.trial_id} was read without its samples or its curve")
    training = record if isinstance(record, TrainingRecord) else None
    kept = written(record)
    by_both = {
        "trial_id": record.trial_id,
        "status": record.status,
        "created_at": sortable_time(record.created_at),
    }
    row = {
        **by_both,
        "kind": record.kind,
        "block": record.block,
        "dataset": training and training.dataset,
        "protocol": training and training.protocol,
        "seed": training and training.seed,
        "schema_version": record.schema_version,
        "payload": kept.head,
    }
    return Rows(row, kept.shared, None if kept.series is None else {**by_both, "data": kept.series})


def put_rows(connection: Connection, rows: Collection[Rows], *, known: Container[str]) -> None:
    """Put the rows where they are the better ones.

    What they share and is `known` to be there is not put again.
    """
    shared = {digest: text for row in rows for digest, text in row.shared.items()}
    new = [{"digest": d, "payload": text} for d, text in shared.items() if d not in known]
    if new:
        connection.execute(_insert(SHARED, connection.dialect.name).on_conflict_do_nothing(), new)
    connection.execute(upsert(RECORDS, connection.dialect.name), [row.record for row in rows])
    series = [row.series for row in rows if row.series is not None]
    if series:
        connection.execute(upsert(SERIES, connection.dialect.name), series)


def lock_changes(connection: Connection) -> None:
    """Have others wait who want to put records, until the end of the transaction.

    Whoever changes many records begins with this. To put one locks the count of changes first and
    the record then; the other way round the two would wait for each other.
    """
    of_store = select(CHANGES.c.number).where(CHANGES.c.name == "")
    connection.execute(of_store.with_for_update())


def count_change(connection: Connection) -> None:
    """Note that the store is about to hold something else."""
    of_store = update(CHANGES).where(CHANGES.c.name == "")
    connection.execute(of_store.values(number=CHANGES.c.number + 1))


def sortable_time(moment: datetime) -> str:
    """Return the moment in UTC as text that sorts by time; one without a zone is taken as UTC.

    >>> sortable_time(datetime(2026, 1, 2, 3, 4, 5))
    '2026-01-02T03:04:05.000000Z'
    """
    aware = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    return aware.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@cache
def upsert(table: Table, dialect: str) -> sqlite.Insert | postgresql.Insert:
    """Return the statement that puts a row where none of its id is, or where it is the better.

    An ok record beats a failed one whenever it was made; among equals the later one stays. So the
    order in which records arrive does not matter, and one statement decides, without a read before.
    """
    statement = _insert(table, dialect)
    new, old = statement.excluded, table.c
    better = or_(
        and_(new.status == "ok", old.status != "ok"),
        and_(new.status == old.status, new.created_at >= old.created_at),
    )
    values = {column.name: new[column.name] for column in table.c if not column.primary_key}
    return statement.on_conflict_do_update(index_elements=["trial_id"], set_=values, where=better)


def _insert(table: Table, dialect: str) -> sqlite.Insert | postgresql.Insert:
    return (postgresql.insert if dialect == "postgresql" else sqlite.insert)(table)


# SQLite tells its errors apart by text; the extended codes reach Python from 3.11 on only.
_MEANINGS = (
    ("file is not a database", "is not a BlockZoo store: it is no SQLite database"),
    ("malformed", "is damaged or truncated: restore a copy, or move it away and start anew"),
    ("disk is full", "cannot be written: no space is left on the disk"),
    ("readonly", "cannot be written: the file or its folder is read-only"),
    ("lock timeout", "is locked by another process that did not finish in time; try again later"),
    ("locked", "is locked by another process that did not finish in time; try again later"),
    ("unable to open", "cannot be opened: check that the file and its folder can be accessed"),
    ("disk i/o error", "cannot be read or written: the disk reports an input/output error"),
)


@contextmanager
def clear_faults(location: str) -> Iterator[None]:
    """Turn errors of the database and of the file system into `ResultsError` naming `location`."""
    try:
        yield
    except SQLAlchemyError as error:
        raise ResultsError(f"{location} {_meaning(error)}") from error
    except OSError as error:
        raise ResultsError(
            f"{location} cannot be read or written: {error.strerror or error}"
        ) from error


def _meaning(error: SQLAlchemyError) -> str:
    # What the driver said, not what SQLAlchemy wraps around it.
    cause = (error.orig if isinstance(error, DBAPIError) else None) or error
    text = one_line(cause)
    known = (meaning for fragment, meaning in _MEANINGS if fragment in text.casefold())
    return next(known, f"fails: {text}")
