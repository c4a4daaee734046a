"""Whether a store holds what was put into it: every row, its columns, its series, its hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import select

from blockzoo.core.errors import ResultsError
from blockzoo.results.answers import answers_of
from blockzoo.results.records import AnyRecord, TrainingRecord
from blockzoo.results.store.database import Store
from blockzoo.results.store.reading import BadRow
from blockzoo.results.store.schema import (
    CURRENT_LAYOUT,
    RECORDS,
    SERIES,
    SHARED,
    layout_of,
    rows_of,
)

_PART = 200
"""Rows that are fetched at once."""
_COPIED = ("kind", "status", "block", "dataset", "protocol", "seed", "created_at", "schema_version")
"""Columns that repeat what a record says."""


def faults_of(store: Store) -> Iterator[str]:
    """Yield what is wrong in a store, a line each; nothing of one that is as it was put.

    Every record is read whole, so all ranges are checked, and the checksum of its series. Columns
    must say what the record says, what records share must hash to its name, answers to test images
    must make the accuracy that is told. A trial's own id is a hash of its network as built, so it
    cannot be had from a record alone. Rows are read some at a time.

    Args:
        store: Of any layout.

    Example:
        >>> with Store("results", create=True) as store:
        ...     list(faults_of(store))
        []
    """
    yield from _faults_of_shared(store)
    unread = store.each_or_bad()
    while part := list(islice(unread, _PART)):
        yield from (found.reason for found in part if isinstance(found, BadRow))
        yield from _faults_of_rows(store, [r for r in part if not isinstance(r, BadRow)])
    yield from _faults_of_series(store)


def _faults_of_shared(store: Store) -> Iterator[str]:
    with store._transaction() as connection:
        if layout_of(connection, location=store.location) != CURRENT_LAYOUT:
            return
        for digest, text in connection.execute(select(SHARED)):
            if hashlib.sha256(str(text).encode()).hexdigest()[:32] != digest:
                yield f"{store.location}: what records share under {digest[:12]} was changed"


def _faults_of_rows(store: Store, records: Sequence[AnyRecord]) -> Iterator[str]:
    columns = [RECORDS.c.trial_id, *(RECORDS.c[name] for name in _COPIED)]
    ids = [record.trial_id for record in records]
    with store._transaction() as connection:
        found = connection.execute(select(*columns).where(RECORDS.c.trial_id.in_(ids)))
        rows = {row.trial_id: row for row in found}
    for record in records:
        if record.trial_id not in rows:
            yield f"record {record.trial_id}: its row has another id, or is gone"
            continue
        yield from _faults_of_row(record, rows[record.trial_id])


def _faults_of_row(record: AnyRecord, row: Any) -> Iterator[str]:
    said = rows_of(record).record
    for name in _COPIED:
        if getattr(row, name) != said[name]:
            yield f"record {record.trial_id}: its column {name} is not what it says"
    if isinstance(record, TrainingRecord):
        try:
            answers_of(record)
        except ResultsError as error:
            yield str(error)


def _faults_of_series(store: Store) -> Iterator[str]:
    """Yield series that belong to no record, or to another one than that which is there."""
    joined = SERIES.outerjoin(RECORDS, SERIES.c.trial_id == RECORDS.c.trial_id)
    of_record = (RECORDS.c.status, RECORDS.c.created_at)
    other = (SERIES.c.status != RECORDS.c.status) | (SERIES.c.created_at != RECORDS.c.created_at)
    query = select(SERIES.c.trial_id, *of_record).select_from(joined)
    with store._transaction() as connection:
        if layout_of(connection, location=store.location) != CURRENT_LAYOUT:
            return
        found = connection.execute(query.where(RECORDS.c.trial_id.is_(None) | other)).all()
    for trial_id, status, _ in found:
        what = "no record" if status is None else "another record"
        yield f"record {trial_id}: its series are those of {what}"
