"""The store: every record there is, in one SQLite file or one PostgreSQL database.

A record is put in a transaction of its own, so a process that dies loses at most the record it was
putting, and leaves no half of it. SQLite keeps its rollback journal (`journal_mode=DELETE`) and
syncs at every commit (`synchronous=EXTRA`): a record comes seldom, a commit costs milliseconds,
and in return the store is one file that can be copied, that lives on network file systems, where a
write-ahead log cannot, and whose last record survives a power cut.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path
from types import TracebackType

from sqlalchemy import ColumnElement, Connection, insert, select, update

from blockzoo.core.errors import ResultsError
from blockzoo.core.files import make_folder
from blockzoo.core.position import Position
from blockzoo.results.families import Family
from blockzoo.results.records import AnyRecord, Record
from blockzoo.results.store.engines import (
    FileChange,
    check_file,
    is_postgres,
    last_change,
    postgres_engine,
    sqlite_engine,
    store_path,
)
from blockzoo.results.store.reading import BadRow, parse_listed, parse_record
from blockzoo.results.store.schema import (
    FAMILIES,
    RECORDS,
    clear_faults,
    create_schema,
    has_schema,
    lock_schema,
    payload_of,
    raise_version,
    row_of,
    sortable_time,
    upsert,
)

BUSY_TIMEOUT_S = 30.0

_PART = 200
"""Records that are fetched at once."""

# Ids decide between equal times, so that the order is always the same.
_BY_TIME = [RECORDS.c.created_at, RECORDS.c.trial_id]

_Parse = Callable[..., AnyRecord]
"""What makes a record, or one as listings read it, of a payload."""

_log = logging.getLogger(__name__)


class Store:
    """All records at one place: an SQLite file or a PostgreSQL database.

    What is put is on the disk when `put` returns. Writers wait for each other. A store whose file
    is removed while it is open is made anew, with a warning, so that what is put is kept.

    Args:
        location: An SQLite file, a folder that holds `blockzoo.db`, or a URL: `sqlite:///PATH` or
            `postgresql://USER@HOST/DATABASE` (`blockzoo[postgres]`).
        create: Whether a store that is not there yet is made, its folders too.
        timeout_s: Seconds that a writer waits for others.

    Raises:
        ResultsError: For everything that cannot be read or written; what was in the store stays as
            it was.
        SchemaError: For records of a newer version.

    Example:
        >>> with Store("results", create=True) as store:
        ...     len(store.records(kind="training", status="ok"))
        0
    """

    def __init__(
        self, location: str | Path, *, create: bool = False, timeout_s: float = BUSY_TIMEOUT_S
    ) -> None:
        self._told: set[str] = set()
        """Ids of the bad rows that were told of."""
        self._made_here: Path | None = None
        """The file of a store that may be made, once it is there."""
        self._file: Path | None = None
        made_here = None
        if is_postgres(location):
            self._engine = postgres_engine(str(location), timeout_s=timeout_s)
            # Hidden, because the location is told in messages.
            self.location = self._engine.url.render_as_string(hide_password=True)
        else:
            path = store_path(location)
            self.location = str(path)
            self._file = path
            check_file(path, create=create)
            self._engine = sqlite_engine(path, create=create, timeout_s=timeout_s)
            made_here = path if create else None
        try:
            self._open(create=create)
        except BaseException:
            # Nobody has this store yet who could close it.
            self.close()
            raise
        self._made_here = made_here

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

    @property
    def change(self) -> FileChange | None:
        """The last change of the store's file; None of a database of a server."""
        return None if self._file is None else last_change(self._file)

    def put(self, record: Record) -> None:
        """Keep the record; when this returns it is on the disk.

        An ok record takes the place of a failed one of its id and never the other way; of two that
        are both ok, or both failed, the one made later stays. Either way it is shown at all
        positions that any of them was asked for at.

        Args:
            record: Of any kind, with all its fields.
        """
        self.put_all([record])

    def put_all(self, records: Iterable[Record]) -> None:
        """Keep all the records, or none if that fails, in one transaction.

        Args:
            records: Of any kind, with all their fields.
        """
        # Outside the transaction: a record that cannot be written locks out nobody.
        every = list(records)
        rows = [row_of(record) for record in every]
        # Few: most networks are the same at one position only, and need not be read first.
        shared = [record for record in every if len(record.positions) > 1]
        with self._transaction(write=True) as connection:
            if rows:  # else a row of nothing would be put
                asked = self._asked(connection, shared)
                raise_version(connection)
                connection.execute(upsert(connection.dialect), rows)
                self._ask(connection, asked)

    def ask(self, positions: Mapping[str, Collection[Position]]) -> None:
        """Have records that are there shown at more positions.

        Where a network is the same at several positions one record stands for all, and a table has
        rows of those that somebody asked for.

        Args:
            positions: By trial id.
        """
        with self._transaction(write=True) as connection:
            self._ask(connection, positions)

    def declare(self, family: Family) -> datetime:
        """Keep a family of comparisons, if it is not there yet.

        Args:
            family: What is compared with what, and by which margin.

        Returns:
            When it was first declared, in UTC.

        Example:
            >>> import tempfile
            >>> pair = {"block": "A", "others": ("B",), "positions": (), "margin": 0.01}
            >>> one = Family(protocol="v1", dataset="digits", **pair)
            >>> with tempfile.TemporaryDirectory() as folder, Store(folder, create=True) as store:
            ...     store.declare(one) == store.declare(one)
            True
        """
        known = select(FAMILIES.c.declared_at).where(FAMILIES.c.family_id == family.identity)
        with self._transaction(write=True) as connection:
            lock_schema(connection)
            FAMILIES.create(connection, checkfirst=True)
            declared = connection.scalar(known)
            if declared is None:
                declared = sortable_time(datetime.now(timezone.utc))
                row = {"family_id": family.identity, "payload": family.payload}
                connection.execute(insert(FAMILIES).values(declared_at=declared, **row))
        return datetime.fromisoformat(declared.replace("Z", "+00:00"))

    def _asked(
        self, connection: Connection, records: Iterable[Record]
    ) -> dict[str, list[Position]]:
        """Return the positions that these and the stored records of their ids were asked for at."""
        asked: dict[str, list[Position]] = {}
        for record in records:
            if record.trial_id not in asked:
                stored = self._readable(connection, record.trial_id)
                asked[record.trial_id] = [] if stored is None else [*stored.shown]
            asked[record.trial_id] += record.shown
        return asked

    def _ask(self, connection: Connection, positions: Mapping[str, Collection[Position]]) -> None:
        for each, wanted in positions.items():
            stored = self._readable(connection, each)
            if stored is None or (more := stored.asked_at(wanted)) is stored:
                continue
            payload = {"payload": payload_of(more)}
            connection.execute(update(RECORDS).where(RECORDS.c.trial_id == each).values(payload))

    def _readable(self, connection: Connection, trial_id: str) -> AnyRecord | None:
        query = select(RECORDS.c.payload).where(RECORDS.c.trial_id == trial_id)
        try:
            payload = connection.scalar(query)
            return None if payload is None else self._parse(trial_id, payload, parse_record)
        except ResultsError:  # it stays as it is, and whoever reads it is told
            return None

    def get(self, trial_id: str) -> AnyRecord | None:
        """Return the record of a trial, or None.

        Args:
            trial_id: As records have it.

        Raises:
            ResultsError: For one that is there and cannot be read.
        """
        query = select(RECORDS.c.payload).where(RECORDS.c.trial_id == trial_id)
        with self._transaction() as connection:
            payload = connection.scalar(query)
        return None if payload is None else self._parse(trial_id, payload, parse_record)

    def records(
        self,
        *,
        kind: str | None = None,
        status: str | None = None,
        block: str | None = None,
        protocol: str | None = None,
        dataset: str | None = None,
    ) -> list[AnyRecord]:
        """Return the records that have all the values given, the oldest first.

        Those that cannot be read are left out, which is logged once, in one line.

        Args:
            kind: "cost", "latency" or "training".
            status: "ok" or "failed".
            block: As records name it.
            protocol: A label.
            dataset: A name.
        """
        filters = {"kind": kind, "status": status, "block": block}
        filters |= {"protocol": protocol, "dataset": dataset}
        return list(self.each(**{name: it for name, it in filters.items() if it is not None}))

    def each(self, **filters: str) -> Iterator[AnyRecord]:
        """Yield one by one what `records` returns, as it is read from the database.

        Args:
            **filters: As in `records`.
        """
        yield from self._good(self._each_or_reason(parse_record, _BY_TIME, filters))

    def listed(self, *kinds: str, **filters: str) -> Iterator[AnyRecord]:
        """Yield records as listings read them, without curves and samples.

        Costs come first, then latencies, then trainings, each by time: what rows are joined from
        comes before what they are of.

        Args:
            *kinds: "cost", "latency" and "training"; by default all.
            **filters: As in `records`.

        Example:
            >>> with Store("results", create=True) as store:
            ...     [record.block for record in store.listed("cost", "training", status="ok")]
            []
        """
        order = [RECORDS.c.kind, *_BY_TIME]
        yield from self._good(self._each_or_reason(parse_listed, order, filters, kinds))

    def _good(self, every: Iterable[AnyRecord | BadRow]) -> Iterator[AnyRecord]:
        """Yield what could be read; of the rest one line is logged."""
        bad: dict[str, str] = {}
        for found in every:
            if isinstance(found, BadRow):
                bad[found.trial_id] = found.reason
            else:
                yield found
        if bad.keys() - self._told:
            first = next(iter(bad.values()))
            more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
            _log.warning("%s", f"{first}{more}: left out; `blockzoo results --bad` lists all")
            self._told |= bad.keys()

    def bad_rows(self) -> list[BadRow]:
        """Return what is in the store and cannot be read, the oldest first.

        >>> with Store("results", create=True) as store:
        ...     store.bad_rows()
        []
        """
        every = self._each_or_reason(parse_record, _BY_TIME, {})
        return [found for found in every if isinstance(found, BadRow)]

    def ok_ids(self, among: Iterable[str] | None = None) -> set[str]:
        """Return which trials were done, went well and can be read.

        Args:
            among: Trial ids; by default all.
        """
        if among is None:
            return {record.trial_id for record in self.listed(status="ok")}
        read = self._read(parse_listed, dict.fromkeys(among))
        return {record.trial_id for record in self._good(read) if record.status == "ok"}

    def _each_or_reason(
        self,
        parse: _Parse,
        order: Sequence[ColumnElement[str]],
        filters: Mapping[str, str],
        kinds: Collection[str] = (),
    ) -> Iterator[AnyRecord | BadRow]:
        query = select(RECORDS.c.trial_id)
        for name, value in filters.items():
            query = query.where(RECORDS.c[name] == value)
        if kinds:
            query = query.where(RECORDS.c.kind.in_(kinds))
        with self._transaction() as connection:
            ids = connection.scalars(query.order_by(*order)).all()
        yield from self._read(parse, ids)

    def _read(self, parse: _Parse, ids: Iterable[str]) -> Iterator[AnyRecord | BadRow]:
        """Yield the records of those ids that are there, in their order."""
        ids = iter(ids)
        # In parts: not all samples of all records need fit into memory, and between two parts
        # others can write.
        while part := list(islice(ids, _PART)):
            yield from (self._parsed_or_reason(*row, parse) for row in self._payloads(part))

    def _parsed_or_reason(
        self, trial_id: str, payload: object, parse: _Parse
    ) -> AnyRecord | BadRow:
        try:
            return self._parse(trial_id, payload, parse)
        except ResultsError as error:
            return BadRow(trial_id=trial_id, reason=str(error))

    def _payloads(self, ids: Sequence[str]) -> list[tuple[str, object]]:
        """Return id and payload of those records, in the order of the ids."""
        columns = select(RECORDS.c.trial_id, RECORDS.c.payload)
        with self._transaction() as connection:
            rows = connection.execute(columns.where(RECORDS.c.trial_id.in_(ids))).all()
        payloads = {row.trial_id: row.payload for row in rows}
        return [(each, payloads[each]) for each in ids if each in payloads]

    def _open(self, *, create: bool) -> None:
        with self._transaction() as connection:
            if has_schema(connection, location=self.location):
                return
        if not create:
            raise ResultsError(f"{self.location} is empty: it holds no BlockZoo store")
        with self._transaction(write=True) as connection:
            # Another process may have been quicker between the two transactions.
            lock_schema(connection)
            if not has_schema(connection, location=self.location):
                create_schema(connection)

    def _make_anew_if_removed(self) -> None:
        """Make a store again whose file somebody has removed since this process opened it."""
        path = self._made_here
        if path is None or (path.exists() and path.stat().st_size > 0):
            return
        self._made_here = None  # for opening it is a transaction itself
        _log.warning("%s", f"{path} was removed meanwhile: made anew, without what was in it")
        make_folder(path.parent)
        self._open(create=True)
        self._made_here = path

    @contextmanager
    def _transaction(self, *, write: bool = False) -> Iterator[Connection]:
        self._make_anew_if_removed()
        # A writer takes the lock at once: asking for it in mid-transaction cannot be waited for.
        begin = "BEGIN IMMEDIATE" if write else "BEGIN"
        with clear_faults(self.location), self._engine.connect() as raw:
            connection = raw.execution_options(sqlite_begin=begin)
            with connection.begin():
                yield connection

    def _parse(self, trial_id: str, payload: object, parse: _Parse) -> AnyRecord:
        if not isinstance(payload, str | bytes):  # SQLite keeps whatever is put into a column
            payload = ""
        return parse(payload, location=f"{self.location}, record {trial_id},")
