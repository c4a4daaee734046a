"""What pages are put together from: tables, links and facts, each escaped where it is written."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from markupsafe import Markup

from blockzoo.report.site.wording import plain

Align = Literal["text", "number"]
_BRIEF = 24
"""Letters."""


class Link(NamedTuple):
    """A text that leads to another page."""

    text: str
    href: str


Cell = str | Link
"""A drawing of ours is markup, which is a text that stays as it is."""


def is_brief(cell: Cell) -> bool:
    """Tell whether a cell is short enough to stand in one line.

    >>> is_brief("ResNetBasicBlock"), is_brief(Link("long " * 9, "page.html"))
    (True, False)
    """
    return len(cell.text if isinstance(cell, Link) else cell) <= _BRIEF


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table with its caption; what stands below it says how to read it."""

    caption: str
    columns: tuple[tuple[str, Align], ...]
    rows: tuple[tuple[Cell, ...], ...]
    below: str = ""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A drawing with what it shows in words and as numbers."""

    caption: str
    drawing: Markup
    table: Table


class Fact(NamedTuple):
    """A name and what it is; a page shows those that are known."""

    name: str
    value: Cell


def facts_of(known: Iterable[tuple[str, object]]) -> tuple[Fact, ...]:
    """Return those facts that are known, as a page may show them.

    >>> facts_of([("year", 2021), ("paper", None), ("notes", "")])
    (Fact(name='year', value='2021'),)
    """
    return tuple(
        Fact(name, value if isinstance(value, Link) else plain(value))
        for name, value in known
        if value not in (None, "")
    )


def facts_of_json(text: str) -> tuple[Fact, ...]:
    """Return the facts of an object of JSON, as of an environment.

    >>> facts_of_json('{"cpu": "Some CPU", "gpu": null}')
    (Fact(name='cpu', value='Some CPU'),)
    """
    return facts_of(json.loads(text).items())
