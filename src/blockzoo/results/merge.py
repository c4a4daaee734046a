"""Several stores put together into one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from blockzoo.core.errors import InputError, ResultsError
from blockzoo.results.records import AnyRecord
from blockzoo.results.store.database import Store
from blockzoo.results.store.reading import BadRow
from blockzoo.results.store.taking import Taken, families_of, take


def merge_store(source: Store, into: Store, *, skip_bad: bool = False) -> Taken:
    """Put all records and declared families of a store into another, or nothing of it.

    To do it again changes nothing. Records are read some at a time, so memory stays flat.

    Args:
        source: What is read; nothing in it changes.
        into: What they are put into; its own records stay where they are the better ones.
        skip_bad: Whether records that cannot be read are left out, and not the whole source.

    Returns:
        How many were new, the same, better or worse, and what was left out.

    Raises:
        InputError: Where the two are one store.
        ResultsError: For a record of the source that cannot be read.

    Example:
        >>> with Store("mine", create=True) as mine, Store("theirs", create=True) as theirs:
        ...     merge_store(theirs, mine).records
        0
    """
    if _place(source) == _place(into):
        raise InputError(f"{source.location} is to be merged into itself; name another store")
    taken = Taken()
    records = _readable(source, taken, skip_bad=skip_bad)
    return take(into, records, taken, families=families_of(source))


def _place(store: Store) -> str:
    return store.location if "://" in store.location else str(Path(store.location).resolve())


def _readable(source: Store, taken: Taken, *, skip_bad: bool) -> Iterator[AnyRecord]:
    for found in source.each_or_bad():
        if not isinstance(found, BadRow):
            yield found
        elif skip_bad:
            taken.skipped.append(found.reason)
        else:
            raise ResultsError(f"{found.reason}; --skip-bad leaves such records out")
