"""How records lie in a database: the tables, the version, and which of two records stays.

One row per trial. The columns beside `payload` repeat what queries filter on; the payload, the
record as JSON text, is the record. `meta` holds the version of this layout.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Dialect,
    Integer,
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

TABLES = MetaData()

RECORDS = Table(
    "records",
    TABLES,
    Column("trial_id", String(64), primary_key=True),
    Column("kind", String(16), nullable=False, index=True),
    Column("status", String(16), nullable=False),
    Column("block", Text, nullable=False, index=True),
    Column("dataset", Text),
    Column("protocol", Text),
    Column("seed", BigInteger),  # up to 2^32 - 1, which PostgreSQL's INTEGER does not hold
    Column("created_at", String(32), nullable=False),  # UTC, microseconds: sorts as text
    Column("schema_version", Integer, nullable=False),
    Column("payload", Text, nullable=False),
)

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

_VERSION_KEY = "blockzoo_schema_version"
_SCHEMA_LOCK = int.from_bytes(b"blockzoo")
"""Any number of 64 bits that other programs on the database are not likely to use."""


def has_schema(connection: Connection, *, location: str) -> bool:
    """Tell whether the database is a store (True) or holds nothing yet (False).

    Raises `SchemaError` for a newer or unknown layout and `ResultsError` for a database with
    tables of something else.
    """
    tables = set(inspect(connection).get_table_names())
    if META.name in tables and RECORDS.name in tables:
        _check_version(connection, location)
        return True
    # A PostgreSQL database is often shared, an SQLite file belongs to one program.
    foreign = tables if connection.dialect.name == "sqlite" else tables & set(TABLES.tables)
    if foreign:
        raise ResultsError(
            f"{location} is not a BlockZoo store: it is a database with other tables "
            f"({', '.join(sorted(foreign)[:4])})"
        )
    return False


def lock_schema(connection: Connection) -> None:
    """Have others wait who want to create the tables, until the end of the transaction."""
    # SQLite's writers are alone anyway; on PostgreSQL two could find no tables and make them both.
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_SCHEMA_LOCK)))


def create_schema(connection: Connection) -> None:
    """Create the tables and write the version; meant to run inside one transaction."""
    TABLES.create_all(connection)
    connection.execute(insert(META).values(key=_VERSION_KEY, value=str(SCHEMA_VERSION)))


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


def row_of(record: Record) -> dict[str, Any]:
    """Return the record as a row of `RECORDS`; raises `ResultsError` when it is no JSON."""
    if not isinstance(record, CostRecord | LatencyRecord | TrainingRecord):
        raise TypeError(f"{type(record).__name__} is not a kind of record that a store keeps")
    if not record.whole:
        raise TypeError(f"record {record.trial_id} was read without its samples or its curve")
    training = record if isinstance(record, TrainingRecord) else None
    return {
        "trial_id": record.trial_id,
        "kind": record.kind,
        "status": record.status,
        "block": record.block,
        "dataset": training and training.dataset,
        "protocol": training and training.protocol,
        "seed": training and training.seed,
        "created_at": sortable_time(record.created_at),
        "schema_version": record.schema_version,
        "payload": payload_of(record),
    }


def payload_of(record: Record) -> str:
    """Return the record as JSON on one line; raises `ResultsError` when it holds no valid text."""
    try:
        return record.model_dump_json()
    except ValueError as error:  # pydantic's; text that is not Unicode, such as raw file names
        raise ResultsError(f"record {record.trial_id} cannot be written as JSON: {error}") from None


def sortable_time(moment: datetime) -> str:
    """Return the moment in UTC as text that sorts by time; one without a zone is taken as UTC.

    >>> sortable_time(datetime(2026, 1, 2, 3, 4, 5))
    '2026-01-02T03:04:05.000000Z'
    """
    aware = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    return aware.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def upsert(dialect: Dialect) -> sqlite.Insert | postgresql.Insert:
    """Return the statement that puts a row where none of its id is, or where it is the better.

    An ok record beats a failed one whenever it was made; among equals the later one stays. So the
    order in which records arrive does not matter, and one statement decides, without a read before.
    """
    statement = (postgresql.insert if dialect.name == "postgresql" else sqlite.insert)(RECORDS)
    new, old = statement.excluded, RECORDS.c
    better = or_(
        and_(new.status == "ok", old.status != "ok"),
        and_(new.status == old.status, new.created_at >= old.created_at),
    )
    values = {column.name: new[column.name] for column in RECORDS.c if not column.primary_key}
    return statement.on_conflict_do_update(index_elements=["trial_id"], set_=values, where=better)


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
