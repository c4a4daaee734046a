"""Records taken out of a store: failures that were made good since, and what is asked for."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete

from blockzoo.results.records import AnyRecord, LatencyRecord, TrainingRecord
from blockzoo.results.store.database import Store
from blockzoo.results.store.schema import RECORDS, SERIES, count_change, sortable_time


@dataclass(frozen=True, kw_only=True)
class Unwanted:
    """Which records are to go: those of which all that is given here is true.

    Attributes:
        made_good: Failed ones of which the store has an ok record too, made after a change of code
            say, which has another id.
        block: As records name it.
        protocol: A label.
        dataset: A name.
        before: Made before that moment.
    """

    made_good: bool = False
    block: str | None = None
    protocol: str | None = None
    dataset: str | None = None
    before: datetime | None = None

    @property
    def filters(self) -> dict[str, str]:
        """What of it a store can ask its columns for."""
        asked = {"block": self.block, "protocol": self.protocol, "dataset": self.dataset}
        asked["status"] = "failed" if self.made_good else None
        return {name: value for name, value in asked.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Found:
    """A record that is to go, as it was when it was found."""

    trial_id: str
    created_at: str
    line: str


def find_unwanted(store: Store, unwanted: Unwanted) -> list[Found]:
    """Return what of the store is to go, by kind and time; nothing is removed.

    Args:
        store: What is looked through, without curves and samples.
        unwanted: Which records.

    Example:
        >>> with Store("results", create=True) as store:
        ...     find_unwanted(store, Unwanted(made_good=True))
        []
    """
    found = [each for each in store.listed(**unwanted.filters) if _is_of_then(each, unwanted)]
    if unwanted.made_good:
        good = _made_good(store, {_subject(each) for each in found})
        found = [each for each in found if _subject(each) in good]
    return [
        Found(
            trial_id=each.trial_id, created_at=sortable_time(each.created_at), line=_line_of(each)
        )
        for each in found
    ]


def remove(store: Store, found: list[Found]) -> int:
    """Remove the records, all or none, and return how many those were.

    One that was put anew since it was found stays. SQLite's file is then made as small as what is
    in it, if nobody else uses it.

    Args:
        store: Where they are.
        found: As `find_unwanted` returned them.

    Example:
        >>> with Store("results", create=True) as store:
        ...     remove(store, [])
        0
    """
    if not found:
        return 0
    removed = 0
    with store._transaction(write=True) as connection:
        count_change(connection)
        for each in found:
            same = RECORDS.c.trial_id == each.trial_id, RECORDS.c.created_at == each.created_at
            if connection.execute(delete(RECORDS).where(*same)).rowcount:
                connection.execute(delete(SERIES).where(SERIES.c.trial_id == each.trial_id))
                removed += 1
    store.give_back_room()
    return removed


def _is_of_then(record: AnyRecord, unwanted: Unwanted) -> bool:
    return unwanted.before is None or record.created_at < unwanted.before


def _made_good(store: Store, subjects: set[Hashable]) -> set[Hashable]:
    """Return those of the subjects that the store has an ok record of."""
    if not subjects:
        return set()
    return {of for each in store.listed(status="ok") if (of := _subject(each)) in subjects}


def _subject(record: AnyRecord) -> Hashable:
    """Return what a record is of, whatever the code was then."""
    what = (record.kind, record.block, record.shown, record.scaffold)
    if isinstance(record, TrainingRecord):
        return (*what, record.protocol, record.dataset, record.seed)
    return (*what, record.way) if isinstance(record, LatencyRecord) else what


def _line_of(record: AnyRecord) -> str:
    return f"{record.trial_id[:12]}  {record.created_at:%Y-%m-%d}  {in_short(record)}"


def in_short(record: AnyRecord) -> str:
    """Return the most important of a record, without the name of its class.

    Args:
        record: Of any kind.
    """
    return str(record).partition(": ")[2].removesuffix(">")
