"""Records of elsewhere, put into a store in one transaction, however many they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

from pydantic_core import from_json
from sqlalchemy import Connection, insert, inspect, select, update

from blockzoo.core.position import Position
from blockzoo.results.records import Record
from blockzoo.results.store.database import Store
from blockzoo.results.store.documents import asked_again
from blockzoo.results.store.schema import (
    FAMILIES,
    RECORDS,
    SERIES,
    Rows,
    count_change,
    lock_changes,
    lock_schema,
    put_rows,
    raise_version,
    rows_of,
)

_PART = 200
"""Records that are put at once."""


@dataclass(kw_only=True)
class Taken:
    """What came of records that were put into a store.

    Attributes:
        new: Of trials that it had nothing of.
        same: That it had already.
        replaced: That took the place of one it had: it had failed, or was made earlier.
        kept: That gave way to the one it had.
        skipped: Why records were left out, a line each.
    """

    new: int = 0
    same: int = 0
    replaced: int = 0
    kept: int = 0
    skipped: list[str] = field(default_factory=list)

    @property
    def records(self) -> int:
        """How many records there were, but for those that were left out."""
        return self.new + self.same + self.replaced + self.kept

    def __str__(self) -> str:
        """Return the counts as a line has them.

        >>> str(Taken(new=2, same=1))
        '2 new, 1 same, 0 replaced, 0 older, 0 left out'
        """
        return (
            f"{self.new} new, {self.same} same, {self.replaced} replaced, {self.kept} older, "
            f"{len(self.skipped)} left out"
        )


class Declared(NamedTuple):
    """A family of comparisons as a store has it."""

    family_id: str
    declared_at: str
    payload: str


def families_of(store: Store) -> list[Declared]:
    """Return the families that were declared there.

    >>> with Store("results", create=True) as store:
    ...     families_of(store)
    []
    """
    with store._transaction() as connection:
        if not inspect(connection).has_table(FAMILIES.name):
            return []
        return [Declared(*row) for row in connection.execute(select(FAMILIES))]


def take(
    store: Store,
    records: Iterable[Record],
    taken: Taken | None = None,
    *,
    families: Iterable[Declared] = (),
) -> Taken:
    """Put all the records into the store, or none if anything fails; return what came of them.

    As `Store.put` has it an ok record beats a failed one, and among equals the later one stays.
    Records are read some at a time, so memory stays flat. Others who write wait until the end.

    Args:
        store: Where to.
        records: Of any kind, with all their fields. What they raise leaves the store as it was.
        taken: What is counted on; whoever yields records may add lines to `skipped`.
        families: Declared elsewhere; of one that is there too the earlier time stays.

    Example:
        >>> with Store("mine", create=True) as mine, Store("theirs", create=True) as theirs:
        ...     print(take(mine, theirs.each()))
        0 new, 0 same, 0 replaced, 0 older, 0 left out
    """
    taken = Taken() if taken is None else taken
    unread = iter(records)
    with store._transaction(write=True) as connection:
        lock_changes(connection)
        changed = False
        while part := list(islice(unread, _PART)):
            changed = _take_part(connection, part, taken) or changed
        _declare(connection, families)
        if changed:
            raise_version(connection)
            count_change(connection)
    return taken


def _take_part(connection: Connection, records: Sequence[Record], taken: Taken) -> bool:
    """Put some records; return whether that changed the store."""
    # One after the other where an id comes twice, for the second meets the first.
    if len({each.trial_id for each in records}) < len(records):
        changed = [_take_part(connection, [each], taken) for each in records]
        return any(changed)
    there = _there(connection, [record.trial_id for record in records])
    better: list[Rows] = []
    asked: dict[str, str] = {}
    for row in map(rows_of, records):
        old = there.get(row.record["trial_id"])
        wins = _is_better(row, old, taken)
        stays = row.record["payload"] if wins or old is None else old.payload
        payload = _shown_at_all(stays, row.record["payload"], old and old.payload)
        if wins:
            row.record["payload"] = payload
            better.append(row)
        elif payload != stays:
            asked[row.record["trial_id"]] = payload
    if better:
        put_rows(connection, better, known=())
    for trial_id, payload in asked.items():
        of_trial = RECORDS.c.trial_id == trial_id
        connection.execute(update(RECORDS).where(of_trial).values(payload=payload))
    return bool(better or asked)


def _shown_at_all(stays: str, new: str, old: object) -> str:
    """Return the head that stays, shown at all positions that either was asked for at."""
    head, before = _head(stays), _head(old)
    if head is None or before is None:
        return stays
    either = dict.fromkeys((*_shown(before), *_shown(_head(new) or {})))
    asked = [each for each in either if each in head["positions"]]
    return stays if asked == _shown(head) else asked_again(stays, map(Position, asked))


def _shown(head: Mapping[str, Any]) -> list[str]:
    """Return what `Record.shown` would be."""
    return head.get("asked") or head.get("positions") or []


def _declare(connection: Connection, families: Iterable[Declared]) -> None:
    for family in families:
        lock_schema(connection)
        FAMILIES.create(connection, checkfirst=True)
        known = FAMILIES.c.family_id == family.family_id
        there = connection.scalar(select(FAMILIES.c.declared_at).where(known))
        if there is None:
            connection.execute(insert(FAMILIES).values(family._asdict()))
        elif family.declared_at < there:
            earlier = update(FAMILIES).where(known).values(declared_at=family.declared_at)
            connection.execute(earlier)


def _there(connection: Connection, ids: Sequence[str]) -> dict[str, Any]:
    """Return the rows of those ids that are there."""
    joined = RECORDS.outerjoin(SERIES, RECORDS.c.trial_id == SERIES.c.trial_id)
    columns = (RECORDS.c.trial_id, RECORDS.c.status, RECORDS.c.created_at, RECORDS.c.payload)
    query = select(*columns, SERIES.c.data).select_from(joined)
    found = connection.execute(query.where(RECORDS.c.trial_id.in_(ids)))
    return {row.trial_id: row for row in found}


def _is_better(row: Rows, old: Any, taken: Taken) -> bool:
    """Count the row; return whether it is to be put."""
    new = row.record
    if old is None:
        taken.new += 1
    elif _content(new["payload"]) == _content(old.payload) and _series(row) == old.data:
        taken.same += 1
        return False
    elif _wins(new, old):
        taken.replaced += 1
    else:
        taken.kept += 1
        return False
    return True


def _wins(new: dict[str, Any], old: Any) -> bool:
    """Tell whether `upsert` would put the row in the place of the old one."""
    if new["status"] != old.status:
        return bool(new["status"] == "ok")
    return bool(new["created_at"] >= old.created_at)


def _content(payload: object) -> object:
    """Return what a head says, but for where it was asked for, which a store adds up."""
    head = _head(payload)
    return head and {name: value for name, value in head.items() if name != "asked"}


def _head(payload: object) -> dict[str, Any] | None:
    """Return the fields of a head; None of what is no head of a record."""
    try:
        head = from_json(payload) if isinstance(payload, str | bytes) else None
    except ValueError:
        return None
    return head if isinstance(head, dict) else None


def _series(row: Rows) -> bytes | None:
    return None if row.series is None else row.series["data"]
