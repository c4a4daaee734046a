"""The store: every record there is, in one SQLite file or one PostgreSQL database.

A record is put in a transaction of its own, so a process that dies loses at most the record it was
putting, and leaves no half of it. SQLite keeps a write-ahead log where the file system is of one
machine (`engines.keep_log`), else its rollback journal, and syncs at every commit
(`synchronous=EXTRA`): the last record survives a power cut. While a store is open its log lies
beside it, in `blockzoo.db-wal`; once all have closed it, it is one file that can be copied.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from functools import partial
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

from pydantic_core import from_json, to_json
from sqlalchemy import ColumnElement, Connection, delete, insert, literal, select, update

from blockzoo.core.errors import ResultsError, in_one_line
from blockzoo.core.files import make_folder
from blockzoo.core.position import Position
from blockzoo.results.families import Family
from blockzoo.results.records import AnyRecord, Record, TrainingRecord
from blockzoo.results.store.documents import Shared, asked_again, has_series_apart, in_order
from blockzoo.results.store.engines import (
    WRITES,
    FileIdentity,
    abandon,
    check_file,
    give_back_room,
    identity_of_file,
    is_postgres,
    keep_log,
    postgres_engine,
    sqlite_engine,
    store_path,
)
from blockzoo.results.store.reading import BadRow, parse_listed, parse_record
from blockzoo.results.store.schema import (
    CHANGES,
    CURRENT_LAYOUT,
    FAMILIES,
    FIRST_LAYOUT,
    RECORDS,
    SERIES,
    SHARED,
    clear_faults,
    count_change,
    create_schema,
    layout_of,
    lock_schema,
    put_rows,
    raise_version,
    rows_of,
    sortable_time,
)
from blockzoo.results.store.series import (
    Skimmed,
    skimmed_document,
    skimmed_series,
    unpacked_series,
)

BUSY_TIMEOUT_S = 30.0
LOCK_TIMEOUT_S = 3600.0
"""So long a lock is waited for before a result is given up, which may have taken hours."""

_PART = 200
"""Records that are fetched at once."""

# Ids decide between equal times, so that the order is always the same.
_BY_TIME = [RECORDS.c.created_at, RECORDS.c.trial_id]

_Parse = Callable[..., AnyRecord]
"""What makes a record, or one as listings read it, of a payload."""

_Found = TypeVar("_Found")
_log = logging.getLogger(__name__)


class Store:
    """All records at one place: an SQLite file or a PostgreSQL database.

    What is put is on the disk when `put` returns. Writers wait for each other, and say so. A store
    whose file is removed while it is open is made anew, with a warning, so that what is put is
    kept. A store of an older layout is brought up to date as it is first written to. Threads may
    share a store, and processes that are forked.

    Args:
        location: An SQLite file, a folder that holds `blockzoo.db`, or a URL: `sqlite:///PATH` or
            `postgresql://USER@HOST/DATABASE` (`blockzoo[postgres]`).
        create: Whether a store that is not there yet is made, its folders too.
        timeout_s: Seconds that a lock of others is waited for, at most.

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
        self, location: str | Path, *, create: bool = False, timeout_s: float = LOCK_TIMEOUT_S
    ) -> None:
        self._told: set[str] = set()
        """Ids of the bad rows that were told of."""
        self._shared = Shared(self._shared_text)
        self._known: set[str] = set()
        """Digests of what records share that are there."""
        self._layout: str | None = None
        self._process = os.getpid()
        self._may_make = create
        self._file: Path | None = None
        self._file_identity: FileIdentity | None = None
        """Of a store that is open."""
        if is_postgres(location):
            self._engine = postgres_engine(str(location), timeout_s=timeout_s)
            # Hidden, because the location is told in messages.
            self.location = self._engine.url.render_as_string(hide_password=True)
        else:
            self._file = store_path(location)
            self.location = str(self._file)
            check_file(self._file, create=create)
            self._engine = sqlite_engine(self._file, create=create, timeout_s=timeout_s)
        try:
            self._open()
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

    def give_back_room(self) -> None:
        """Have an SQLite file as small as what is in it, if nobody else uses it.

        PostgreSQL gives back room by itself.
        """
        if self._file is not None:
            give_back_room(self._engine)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was put into the store yet."""
        with self._transaction() as connection:
            return connection.execute(select(RECORDS.c.trial_id).limit(1)).first() is None

    @property
    def change(self) -> int | None:
        """How often records were put or asked for; None of a store of an older layout."""
        with self._transaction() as connection:
            if self._layout_now(connection) == FIRST_LAYOUT:
                return None
            return connection.scalar(select(CHANGES.c.number).where(CHANGES.c.name == ""))

    def is_noted(self, name: str, mark: str, *, now: bool = True) -> bool:
        """Tell whether what has that name and mark was made of the store.

        Args:
            name: Of a file that was made of the store: its path.
            mark: What tells the file from one that was written otherwise.
            now: Whether it must be of the records that are there now, and not of earlier ones.
        """
        number = select(CHANGES.c.number).where(CHANGES.c.name == "").scalar_subquery()
        same = [CHANGES.c.name == name, CHANGES.c.mark == mark]
        same += [CHANGES.c.number == number] if now else []
        with self._transaction() as connection:
            if self._layout_now(connection) == FIRST_LAYOUT:
                return False
            return connection.scalar(select(literal(True)).where(*same)) is not None

    def note(self, name: str, mark: str, change: int) -> None:
        """Note what was made of the store, see `is_noted`.

        Args:
            name: Of a file.
            mark: Of the file as it was made.
            change: What `change` was before it was made.

        Example:
            >>> with Store("results", create=True) as store:
            ...     store.note("rows.csv", "of today", store.change)
            ...     store.is_noted("rows.csv", "of today"), store.is_noted("rows.csv", "of old")
            (True, False)
        """
        with self._transaction(write=True) as connection:
            connection.execute(delete(CHANGES).where(CHANGES.c.name == name))
            connection.execute(insert(CHANGES).values(name=name, number=change, mark=mark))

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
        rows = [rows_of(record) for record in every]
        if not rows:  # else a row of nothing would be put
            return
        shared = {digest: text for row in rows for digest, text in row.shared.items()}
        self._shared.learn(shared)
        # Few: most networks are the same at one position only, and need not be read first.
        several = [record for record in every if len(record.positions) > 1]
        with self._transaction(write=True) as connection:
            asked = self._asked(connection, several)
            raise_version(connection)
            count_change(connection)
            put_rows(connection, rows, known=self._known)
            self._ask(connection, asked)
        self._known |= shared.keys()  # now that they are sure to be there

    def ask(self, positions: Mapping[str, Collection[Position]]) -> None:
        """Have records that are there shown at more positions.

        Where a network is the same at several positions one record stands for all, and a table has
        rows of those that somebody asked for.

        Args:
            positions: By trial id.
        """
        # Nearly always all of them are asked for already, and nobody need wait.
        read = self._parsed(positions, parse_listed)
        found = (each for each in read if not isinstance(each, BadRow))
        more = [r.trial_id for r in found if r.asked_at(positions[r.trial_id]) is not r]
        if more:
            with self._transaction(write=True) as connection:
                count_change(connection)  # first, as in `put_all`: two locks in one order
                self._ask(connection, {each: positions[each] for each in more})

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
            if more := self._more(connection, each, wanted):
                of_trial = RECORDS.c.trial_id == each
                head = connection.scalar(select(RECORDS.c.payload).where(of_trial))
                payload = {"payload": asked_again(str(head), more)}
                connection.execute(update(RECORDS).where(of_trial).values(payload))

    def _more(
        self, connection: Connection, trial_id: str, wanted: Collection[Position]
    ) -> tuple[Position, ...]:
        """Return all positions at which a record is to be shown; () if it is there already."""
        stored = self._readable(connection, trial_id)
        if stored is None or (more := stored.asked_at(wanted)) is stored:
            return ()
        return more.asked

    def _readable(self, connection: Connection, trial_id: str) -> AnyRecord | None:
        for row in self._rows(connection, [trial_id], with_series=False):
            with suppress(ResultsError):  # it stays as it is, and whoever reads it is told
                return self._parse(row, parse_listed)
        return None

    def get(self, trial_id: str) -> AnyRecord | None:
        """Return the record of a trial, or None.

        Args:
            trial_id: As records have it.

        Raises:
            ResultsError: For one that is there and cannot be read.
        """
        with self._transaction() as connection:
            rows = self._rows(connection, [trial_id], with_series=True)
        return next((self._parse(row, parse_record) for row in rows), None)

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

    def lines(self) -> Iterator[bytes]:
        """Yield all records as JSON of one line each, the oldest first.

        Those that cannot be read are left out; the series of the others are as they were put.

        Example:
            >>> with Store("results", create=True) as store:
            ...     list(store.lines())
            []
        """
        with self._transaction() as connection:
            ids = connection.scalars(select(RECORDS.c.trial_id).order_by(*_BY_TIME)).all()
        bad: list[BadRow] = []
        for found in self._read(self._line_or_reason, ids):
            if isinstance(found, BadRow):
                bad.append(found)
            else:
                yield found
        self._tell(bad)

    def _line_or_reason(self, row: _Row) -> bytes | BadRow:
        # What is checked is the head; the series are unpacked once, to be written.
        head = row._replace(data=None, with_series=False)
        found = self._parsed_or_reason(head, parse_listed)
        if isinstance(found, BadRow):
            return found
        try:
            return to_json(in_order(found.kind, row.plain(self._shared)), inf_nan_mode="strings")
        except (ValueError, TypeError) as error:
            return BadRow(trial_id=row.trial_id, reason=self._no_record(row, error))

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

    def skimmed(self) -> Iterator[tuple[TrainingRecord, Skimmed]]:
        """Yield trainings as listings read them, by time, each with its curve and its answers.

        Example:
            >>> with Store("results", create=True) as store:
            ...     [curve.val_accuracies for _, curve in store.skimmed()]
            []
        """
        query = select(RECORDS.c.trial_id).where(RECORDS.c.kind == "training")
        with self._transaction() as connection:
            ids = connection.scalars(query.order_by(*_BY_TIME)).all()
        bad: list[BadRow] = []
        for found in self._read(self._skimmed_or_reason, ids):
            if isinstance(found, BadRow):
                bad.append(found)
            else:
                yield found
        self._tell(bad)

    def _skimmed_or_reason(self, row: _Row) -> tuple[TrainingRecord, Skimmed] | BadRow:
        record = self._parsed_or_reason(row._replace(data=None, with_series=False), parse_listed)
        if isinstance(record, BadRow):
            return record
        assert isinstance(record, TrainingRecord)
        try:
            return record, row.skimmed()
        except (ValueError, TypeError, AttributeError) as error:
            return BadRow(trial_id=row.trial_id, reason=self._no_record(row, error))

    def newest(self, **filters: str) -> Iterator[AnyRecord]:
        """Yield records as listings read them, the newest first.

        Args:
            **filters: As in `records`.

        Example:
            >>> with Store("results", create=True) as store:
            ...     list(store.newest(kind="cost"))
            []
        """
        order = [RECORDS.c.created_at.desc(), RECORDS.c.trial_id]
        yield from self._good(self._each_or_reason(parse_listed, order, filters))

    def ids_from(self, prefix: str, most: int) -> list[str]:
        """Return ids that begin so, by id.

        Args:
            prefix: The first letters of an id, or all.
            most: How many are wanted at most.

        Example:
            >>> with Store("results", create=True) as store:
            ...     store.ids_from("3f", 2)
            []
        """
        begins = RECORDS.c.trial_id.startswith(prefix, autoescape=True)
        query = select(RECORDS.c.trial_id).where(begins).order_by(RECORDS.c.trial_id)
        with self._transaction() as connection:
            return list(connection.scalars(query.limit(most)))

    def _good(self, every: Iterable[AnyRecord | BadRow]) -> Iterator[AnyRecord]:
        """Yield what could be read; of the rest one line is logged."""
        bad: list[BadRow] = []
        for found in every:
            if isinstance(found, BadRow):
                bad.append(found)
            else:
                yield found
        self._tell(bad)

    def _tell(self, bad: Sequence[BadRow]) -> None:
        """Log one line of what could not be read, unless all of it was told of before."""
        ids = {row.trial_id for row in bad}
        if ids - self._told:
            more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
            _log.warning(
                "%s", f"{bad[0].reason}{more}: left out; `blockzoo results --bad` lists all"
            )
            self._told |= ids

    def bad_rows(self) -> list[BadRow]:
        """Return what is in the store and cannot be read, the oldest first.

        >>> with Store("results", create=True) as store:
        ...     store.bad_rows()
        []
        """
        return [found for found in self.each_or_bad() if isinstance(found, BadRow)]

    def each_or_bad(self) -> Iterator[AnyRecord | BadRow]:
        """Yield all that is in the store, the oldest first: records, and why others are none."""
        yield from self._each_or_reason(parse_record, _BY_TIME, {})

    def ok_ids(self, among: Iterable[str] | None = None) -> set[str]:
        """Return which trials were done, went well and can be read.

        Args:
            among: Trial ids; by default all.
        """
        if among is None:
            return {record.trial_id for record in self.listed(status="ok")}
        read = self._parsed(dict.fromkeys(among), parse_listed)
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
        yield from self._parsed(ids, parse)

    def _parsed(self, ids: Iterable[str], parse: _Parse) -> Iterator[AnyRecord | BadRow]:
        """Yield the records of those ids that are there, in their order."""
        read = partial(self._parsed_or_reason, parse=parse)
        return self._read(read, ids, with_series=parse is not parse_listed)

    def _read(
        self, read: Callable[[_Row], _Found], ids: Iterable[str], *, with_series: bool = True
    ) -> Iterator[_Found]:
        """Yield what is made of the rows of those ids that are there, in their order."""
        ids = iter(ids)
        # In parts: not all samples of all records need fit into memory, and between two parts
        # others can write.
        while part := list(islice(ids, _PART)):
            with self._transaction() as connection:
                rows = self._rows(connection, part, with_series=with_series)
            yield from map(read, rows)

    def _parsed_or_reason(self, row: _Row, parse: _Parse) -> AnyRecord | BadRow:
        try:
            return self._parse(row, parse)
        except ResultsError as error:
            return BadRow(trial_id=row.trial_id, reason=str(error))

    def _rows(self, connection: Connection, ids: Sequence[str], *, with_series: bool) -> list[_Row]:
        """Return the rows of those trials that are there, in the order of the ids."""
        columns = select(RECORDS.c.trial_id, RECORDS.c.payload, literal(None).label("data"))
        apart = self._layout_now(connection) != FIRST_LAYOUT
        if with_series and apart:
            joined = RECORDS.outerjoin(SERIES, RECORDS.c.trial_id == SERIES.c.trial_id)
            columns = select(RECORDS.c.trial_id, RECORDS.c.payload, SERIES.c.data)
            columns = columns.select_from(joined)
        found = connection.execute(columns.where(RECORDS.c.trial_id.in_(ids)))
        rows = {each: _Row(each, head, data, with_series) for each, head, data in found}
        return [rows[each] for each in ids if each in rows]

    def _open(self) -> None:
        with self._transaction() as connection:
            self._layout = layout_of(connection, location=self.location)
        if self._layout is None and not self._may_make:
            raise ResultsError(f"{self.location} is empty: it holds no BlockZoo store")
        if self._may_make:
            self._make()

    def _make(self) -> None:
        """Make a store that is not there yet, and have it as this version writes it."""
        if self._layout != CURRENT_LAYOUT:
            with self._transaction(write=True, current=False) as connection:
                # Another process may have been quicker between the two transactions.
                lock_schema(connection)
                if layout_of(connection, location=self.location) is None:
                    create_schema(connection)
                    self._layout = CURRENT_LAYOUT
        self._bring_up_to_date()
        if self._file is not None:
            keep_log(self._engine, self._file)

    def _bring_up_to_date(self) -> None:
        """Migrate a store of an older layout, in one transaction."""
        if self._layout == CURRENT_LAYOUT:
            return
        from blockzoo.results.store.migrating import migrate

        with self._transaction(write=True, current=False) as connection:
            lock_schema(connection)
            if layout_of(connection, location=self.location) == FIRST_LAYOUT:
                _log.warning(
                    "%s", f"{self.location} is of an older layout: it is brought up to date"
                )
                migrate(connection)
        self._layout = CURRENT_LAYOUT
        self.give_back_room()

    def _layout_now(self, connection: Connection) -> str | None:
        """Return the layout; an older one may have been brought up to date by another process."""
        if self._layout != CURRENT_LAYOUT:
            self._layout = layout_of(connection, location=self.location)
        return self._layout

    def _look_after_file(self) -> None:
        """Let go of what another file took the place of, or nothing, and make a store again."""
        if self._file is None or self._file_identity is None:
            return
        identity = identity_of_file(self._file)
        if identity == self._file_identity:
            return
        self._file_identity = None  # for opening it is a transaction itself
        if identity is not None:
            # To close a connection removes the log at its path, which is that of the new file.
            abandon(self._engine)
        self._forget()
        if not self._may_make:
            return
        _log.warning("%s", f"{self._file} was removed meanwhile: made anew, without what was in it")
        make_folder(self._file.parent)
        try:
            self._open()
        except ResultsError:
            # A log was written back into a file that somebody has emptied.
            if identity is not None or self._file.stat().st_size == 0:
                raise
            self._forget()
            self._file.unlink()
            self._open()

    def _forget(self) -> None:
        self._engine.dispose()
        self._known.clear()
        self._shared = Shared(self._shared_text)
        self._layout = None

    def _leave_to_parent(self) -> None:
        """Have a forked process connect anew: a connection is of the process that made it."""
        if self._process != os.getpid():
            abandon(self._engine)
            self._process = os.getpid()

    @contextmanager
    def _transaction(self, *, write: bool = False, current: bool = True) -> Iterator[Connection]:
        """Yield a connection in a transaction, of the present layout where it writes."""
        self._leave_to_parent()
        self._look_after_file()
        with clear_faults(self.location):
            if write and current:
                self._bring_up_to_date()
            with self._engine.connect() as raw:
                connection = raw.execution_options(**{WRITES: write})
                with connection.begin():
                    yield connection
        if self._file is not None and self._file_identity is None:
            self._file_identity = identity_of_file(self._file)

    def _shared_text(self, digest: str) -> str:
        with self._transaction() as connection:
            found = connection.execute(select(SHARED.c.payload).where(SHARED.c.digest == digest))
            for (text,) in found:
                return str(text)
        raise ValueError(f"what it shares with others is missing ({digest[:8]})")

    def _parse(self, row: _Row, parse: _Parse) -> AnyRecord:
        try:
            document = row.document(self._shared)
        except (ValueError, TypeError) as error:
            raise ResultsError(self._no_record(row, error)) from None
        return parse(document, location=f"{self.location}, record {row.trial_id},")

    def _no_record(self, row: _Row, error: Exception) -> str:
        return in_one_line(f"{self.location}, record {row.trial_id}, is not a record: {error}")


class _Row(NamedTuple):
    """What the database has of a record."""

    trial_id: str
    payload: object
    data: bytes | None
    with_series: bool

    def document(self, shared: Shared) -> dict[str, Any]:
        """Return all fields; raises `ValueError` for what was not written by a store."""
        head = self._head()
        return self._series(head) | shared.completed(head)

    def plain(self, shared: Shared) -> dict[str, Any]:
        """Return all fields as JSON has them; raises what `document` raises."""
        head = self._head()
        return self._series(head) | shared.plain(head)

    def skimmed(self) -> Skimmed:
        """Return curve and answers; raises `ValueError` for what was not written by a store."""
        if self.data is not None:
            return skimmed_series(self.data)
        head = self._head()
        if has_series_apart(head):
            raise ValueError("series: they are missing")
        return skimmed_document(head)

    def _head(self) -> dict[str, Any]:
        if not isinstance(self.payload, str | bytes):  # SQLite keeps whatever is put into a column
            raise ValueError("JSON: its payload is no text")
        try:
            head = from_json(self.payload)
        except ValueError as error:
            raise ValueError(f"JSON: {error}") from None
        if not isinstance(head, dict):
            raise ValueError("JSON: it is no object")
        return head

    def _series(self, head: Mapping[str, Any]) -> dict[str, Any]:
        if self.data is not None:
            return unpacked_series(self.data)
        if self.with_series and has_series_apart(head):
            raise ValueError("series: they are missing")
        return {}
