"""The log of corrections: what became known of results after they were made, and since when.

It is a file of TOML that grows at its end. Each entry marks results as suspect, as withdrawn, or as
clean again; it changes no number. Of several entries that are of one result the last one holds.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from blockzoo.analysis.standings import Standing
from blockzoo.core.errors import InputError, in_one_line

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Mark = Literal["clean", "suspect", "withdrawn"]
_Text = Annotated[str, Field(min_length=1)]


class Correction(BaseModel):
    """An entry of the log; what it does not name, it does not ask of a result.

    Attributes:
        date: When it was entered.
        mark: What the results are from then on.
        reason: Why.
        block: Of these results.
        position: Of these results.
        protocol: Label of these results.
        dataset: Of these results.
        backend: Of these timings: a latency's own mark, beside that of what was trained.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    date: date
    mark: Mark
    reason: _Text
    block: _Text | None = None
    position: Literal["early", "mid", "late"] | None = None
    protocol: _Text | None = None
    dataset: _Text | None = None
    backend: _Text | None = None

    @property
    def of(self) -> dict[str, str]:
        """What the results have in common that it is of."""
        names = ("block", "position", "protocol", "dataset", "backend")
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    def is_of(self, standing: Standing, backend: str | None) -> bool:
        """Tell whether it is of that result.

        Args:
            standing: Of the block at its position.
            backend: Of the timing beside it, None without one.
        """
        terms = standing.terms
        known: Mapping[str, str | None] = {
            "block": standing.block,
            "position": str(standing.position),
            "protocol": terms.protocol if terms else None,
            "dataset": terms.dataset if terms else None,
            "backend": backend,
        }
        return all(known[name] == value for name, value in self.of.items())


_ENTRIES: TypeAdapter[list[Correction]] = TypeAdapter(list[Correction])


def read_corrections(path: str | Path) -> tuple[Correction, ...]:
    """Return the entries of a log, in their order.

    Args:
        path: A file of TOML with a table `[[correction]]` for each entry.

    Returns:
        The entries, the oldest first.

    Raises:
        InputError: For a file that is none, naming the entry and what is wrong with it.

    Example:
        >>> text = '[[correction]]\\ndate = 2026-03-01\\nmark = "suspect"\\nreason = "heat"\\n'
        >>> _ = Path("log.toml").write_text(text + 'block = "RepMixer"\\n')
        >>> read_corrections("log.toml")[0].of
        {'block': 'RepMixer'}
    """
    try:
        found = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(in_one_line(f"{path} is no TOML: {error}")) from None
    others = [name for name in found if name != "correction"]
    if others:
        raise InputError(f"{path} holds {others[0]!r}; only [[correction]] may stand there")
    entries = _checked(path, found.get("correction", []))
    for number, (before, after) in enumerate(pairwise(entries), start=2):
        if after.date < before.date:
            raise InputError(
                f"{path}, entry {number} is of {after.date}, before the one above it of "
                f"{before.date}; the log grows at its end"
            )
    return entries


def _checked(path: str | Path, tables: object) -> tuple[Correction, ...]:
    try:
        entries = _ENTRIES.validate_python(tables)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        number, *rest = first["loc"] or ("?",)
        entry = number + 1 if isinstance(number, int) else number
        where = ".".join(map(str, rest)) or "its form"
        raise InputError(in_one_line(f"{path}, entry {entry}, {where}: {first['msg']}")) from None
    for number, each in enumerate(entries, start=1):
        if not each.of:
            raise InputError(
                f"{path}, entry {number} says of no results; name a block, position, protocol, "
                "dataset or backend"
            )
    return tuple(entries)


def mark_of(log: Sequence[Correction], standing: Standing, backend: str | None) -> tuple[Mark, str]:
    """Return how a result is marked, and why; "clean" and "" where nothing was entered.

    Args:
        log: All entries, the oldest first.
        standing: Of the block at its position.
        backend: Of the timing beside it, None without one.

    Example:
        >>> mark_of([], None, None)
        ('clean', '')
    """
    for each in reversed(log):
        if each.is_of(standing, backend):
            return each.mark, each.reason
    return "clean", ""


def count_of(entry: Correction, standings: Iterable[Standing]) -> int:
    """Return how many results of a board an entry is of.

    >>> count_of(Correction(date=date(2026, 3, 1), mark="clean", reason="checked", block="A"), [])
    0
    """
    return sum(
        any(entry.is_of(each, way.backend) for way in each.latencies) or entry.is_of(each, None)
        for each in standings
    )
