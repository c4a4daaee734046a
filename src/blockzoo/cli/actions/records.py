"""What `results list`, `show`, `export`, `merge`, `verify` and `prune` do; never torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from itertools import islice
from pathlib import Path
from typing import Any, get_args

import typer
from pydantic import BaseModel

from blockzoo.cli.actions.keeping import open_store, require_usable
from blockzoo.cli.actions.results import export_records, say_taken
from blockzoo.cli.screen.consoles import output_console, say
from blockzoo.core.errors import InputError, UnknownNameError
from blockzoo.core.position import Position
from blockzoo.experiments.sweep.choice import KINDS
from blockzoo.results.prune import in_short
from blockzoo.results.records import AnyRecord, Record, TrainingRecord
from blockzoo.results.store.database import Store

STATUSES = get_args(Record.model_fields["status"].annotation)
_ID_LETTERS = 12
_SHOWN = 6
"""Numbers of a curve that are shown."""


def show_list(
    place: str,
    filters: Mapping[str, str],
    positions: Sequence[str],
    seed: int | None,
    limit: int,
) -> None:
    """Print a line for each record that is asked for, the newest first."""
    for name, known in (("kind", KINDS), ("status", STATUSES)):
        if name in filters and filters[name] not in known:
            raise UnknownNameError(name, filters[name], known)
    wanted = {Position.parse(name) for name in positions}
    with open_store(place, create=False) as store:
        found = _matching(store.newest(**filters), wanted, seed)
        shown = 0
        for record in islice(found, limit):
            shown += 1
            _print(_line_of(record))
        more = next(found, None)
    if not shown:
        say(f"{place} holds no such records")
    if more is not None:
        say(f"there are more than these {limit}: see --limit")


def _matching(
    records: Iterator[AnyRecord], positions: set[Position], seed: int | None
) -> Iterator[AnyRecord]:
    for record in records:
        there = not positions or not positions.isdisjoint(record.shown)
        of_seed = isinstance(record, TrainingRecord) and record.seed == seed
        if there and (seed is None or of_seed):
            yield record


def _line_of(record: AnyRecord) -> str:
    moment = f"{record.created_at.astimezone(timezone.utc):%Y-%m-%d %H:%M}"
    first = f"{record.trial_id[:_ID_LETTERS]:{_ID_LETTERS}}  {moment}  {record.kind:8}"
    return f"{first}  {record.status:6}  {in_short(record)}"


def show_record(place: str, prefix: str) -> None:
    """Print all fields of the one record whose id begins so."""
    with open_store(place, create=False) as store:
        record = store.get(_only_id(store, prefix))
    assert record is not None
    for name in type(record).model_fields:
        for line in _field_lines(name, getattr(record, name)):
            _print(line)


def _only_id(store: Store, prefix: str) -> str:
    found = store.ids_from(prefix, most=4)
    if prefix in found[:1] or len(found) == 1:
        return found[0]
    if not found:
        raise InputError(f"no record in {store.location} has an id that begins with {prefix!r}")
    raise InputError(f"several ids begin with {prefix!r}: {', '.join(found)}; give more letters")


def _field_lines(name: str, value: Any) -> Iterator[str]:
    """Yield a field, and what is within it below; what is empty is a dash."""
    if isinstance(value, BaseModel):
        value = {each: getattr(value, each) for each in type(value).model_fields}
    if isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
        rows = [vars(each) for each in value]
        value = {each: tuple(row[each] for row in rows) for each in rows[0]}
        name = f"{name} ({len(rows)})"
    if isinstance(value, dict) and value:
        yield f"{name}:"
        for inner, it in value.items():
            yield from (f"  {line}" for line in _field_lines(str(inner), it))
    else:
        yield f"{name}: {_text(value)}"


def _text(value: Any) -> str:
    if value is None or value in ("", (), {}, []):
        return "-"
    if isinstance(value, tuple):
        return _sequence(value)
    if isinstance(value, str) and len(value) > 1000:
        return f"{value[:60]}... ({len(value)} letters)"
    return str(value)


def _sequence(values: tuple[Any, ...]) -> str:
    """Return the values, of many the first and last with their range."""
    if len(values) <= 2 * _SHOWN or not all(isinstance(v, int | float) for v in values):
        return ", ".join(map(str, values))
    half = _SHOWN // 2
    ends = [*map(str, values[:half]), "...", *map(str, values[-half:])]
    return f"{', '.join(ends)} ({len(values)} numbers, {min(values)} to {max(values)})"


def export_store(place: str, to: Path | None, *, latencies: bool) -> None:
    """Write the store into a file; says so where none is named."""
    if to is None:
        raise InputError("--to FILE is missing: .csv, .parquet, .jsonl, .bundle.zip or .npz")
    export_records(place, to, latencies=latencies)


def merge(places: Sequence[str], into: str, *, skip_bad: bool) -> None:
    """Put the records of some stores into one, and say of each what came of it."""
    from blockzoo.results.merge import merge_store

    require_usable(into, None)
    for place in places:
        # Before the first is merged: a name that is wrong is told before any work.
        open_store(place, create=False).close()
    with open_store(into, create=True) as target:
        for place in places:
            with open_store(place, create=False) as source:
                say_taken(place, merge_store(source, target, skip_bad=skip_bad))


def verify(place: str) -> None:
    """Print what is wrong in a store, a line each; exits with status 1 if anything is."""
    from blockzoo.results.verify import faults_of

    faults = 0
    with open_store(place, create=False) as store:
        for fault in faults_of(store):
            faults += 1
            _print(fault)
    if faults:
        raise typer.Exit(1)
    _print(f"{place} holds what was put into it")


def prune(
    place: str,
    made_good: bool,
    block: str | None,
    protocol: str | None,
    dataset: str | None,
    older_than_days: float | None,
    *,
    yes: bool,
) -> None:
    """List what is to go, and remove it where that was said."""
    from blockzoo.results.prune import Unwanted, find_unwanted, remove

    before = None
    if older_than_days is not None:
        before = datetime.now(timezone.utc) - timedelta(days=older_than_days)
    unwanted = Unwanted(
        made_good=made_good, block=block, protocol=protocol, dataset=dataset, before=before
    )
    if unwanted == Unwanted():
        raise InputError(
            "nothing says what is to go; give --made-good, --block, --protocol, --dataset or "
            "--older-than"
        )
    with open_store(place, create=False) as store:
        found = find_unwanted(store, unwanted)
        for each in found:
            _print(each.line)
        removed = remove(store, found) if yes else 0
    say(f"removed {removed} records" if yes else f"{len(found)} records; --yes removes them")


def _print(line: str) -> None:
    output_console().print(line, highlight=False, soft_wrap=True)
