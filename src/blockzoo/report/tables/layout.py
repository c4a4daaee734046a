"""Which columns of a table a screen has room for, how wide each is, and what names are shown as."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from rich.cells import cell_len

from blockzoo.report.tables.shortening import numbers, shortened

Kind = Literal["name", "label", "number", "text"]
"""What is in a column: names lose their middle and texts are folded; labels and numbers stay whole.

Numbers stand at the right of their column, all else at the left.
"""

BETWEEN = 2
"""Blanks between two columns."""
READABLE = 24
"""As long as columns can be left out instead, names and texts stay this wide."""
# Narrower no text is worth reading, and no name can be told.
_NARROW = 16
_LEAST = 12
# Beyond all widths: nothing is shortened.
_WHOLE = 1_000_000
# A longer value would take more room below the table than it saved.
_SAID_MOST = 24


@dataclass(frozen=True)
class Column:
    """A column by what stands in it."""

    title: str
    kind: Kind
    texts: tuple[str, ...]

    @cached_property
    def natural(self) -> int:
        """How wide its cells are when they are whole."""
        lines = (line for text in self.texts for line in text.split("\n"))
        return max(map(cell_len, lines), default=0)

    @cached_property
    def shared(self) -> str:
        """What stands in all its cells, "" where they differ: then rows need it."""
        alike = len(self.texts) > 1 and len({*self.texts}) == 1
        short = alike and self.natural <= _SAID_MOST
        return self.texts[0] if short and self.kind in ("label", "text") else ""

    @cached_property
    def _longest_number(self) -> int:
        return max((len(n) for text in self.texts for n in numbers(text)), default=0)

    def head(self, *, wrapped: bool) -> int:
        """Return how wide its title is at the least."""
        words = self.title.split() if wrapped else [self.title]
        return max(map(cell_len, words), default=0)

    def floor(self, least: int) -> int:
        """Return how wide its cells are at the least; of names another rule says that."""
        if self.kind == "name":
            return 0
        if self.kind == "text":
            return max(min(self.natural, max(least, _NARROW)), self._longest_number)
        return self.natural


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The width of each column that is shown, in their order, and what names are shown as."""

    widths: Mapping[str, int]
    names: Mapping[str, str]

    @property
    def starts(self) -> list[int]:
        """Where each column starts, and where a further one would."""
        starts = [0]
        for width in self.widths.values():
            starts.append(starts[-1] + width + BETWEEN)
        return starts


def layout_of(columns: Sequence[Column], dispensable: Sequence[str], width: int) -> Layout:
    """Return how the columns fit into `width`, of which as many are left out as that takes.

    First go those that say the same in all rows, then the dispensable ones in their order; if that
    is not enough, others from the right, but no name and, where there are none, not the first.

    >>> block = Column("block", "name", ("RepMixer",))
    >>> layout_of([block, Column("ms", "number", ("12.345",))], (), 20).widths
    {'block': 8, 'ms': 6}
    >>> layout_of([block, Column("ms", "number", ("12.345",))], (), 12).widths
    {'block': 8}
    """
    shown = list(columns)
    if found := _fitted(shown, width, least=_WHOLE, wrapped_heads=False):
        return found
    others = _others(columns)
    alike = [column.title for column in columns if column.shared and column.title in others]
    # What is dispensable goes before names get short, and names get short before the others go.
    for least, titles in (
        (READABLE, [*alike, *dispensable]),
        (_NARROW, []),
        (_LEAST, others),
    ):
        for title in (None, *titles):
            shown = [column for column in shown if column.title != title]
            if found := _fitted(shown, width, least=least):
                return found
    # Narrower than any name can be: all goes on in the next line.
    each = max(width // len(shown) - BETWEEN, 1)
    return Layout(widths={column.title: each for column in shown}, names={})


def _others(columns: Sequence[Column]) -> list[str]:
    """Return what may be left out at the last: not what tells the rows apart."""
    kept = [column for column in columns if column.kind == "name"] or columns[:1]
    return [column.title for column in reversed(columns) if column not in kept]


def _fitted(
    shown: Sequence[Column], width: int, *, least: int, wrapped_heads: bool = True
) -> Layout | None:
    """Return how these columns fit, with names and texts of `least` or more; None if not."""
    heads = {column.title: column.head(wrapped=wrapped_heads) for column in shown}
    widths = {column.title: max(heads[column.title], column.floor(least)) for column in shown}
    room = width - BETWEEN * (len(shown) - 1)
    names = [column for column in shown if column.kind == "name"]
    limit, longest = least, max((name.natural for name in names), default=0)
    for limit in range(longest, min(least, longest) - 1, -1):
        widths |= {name.title: max(heads[name.title], min(name.natural, limit)) for name in names}
        if sum(widths.values()) <= room:
            break
    else:
        return None
    said = shortened(dict.fromkeys(text for name in names for text in name.texts), limit)
    if said is None:
        return None
    _widen([column for column in shown if column.kind == "text"], widths, room)
    return Layout(widths=widths, names=said)


def _widen(texts: Sequence[Column], widths: dict[str, int], room: int) -> None:
    """Give the room that is left to texts, always to the narrowest."""
    for _ in range(room - sum(widths.values())):
        wanting = [text.title for text in texts if widths[text.title] < text.natural]
        if not wanting:
            return
        widths[min(wanting, key=widths.__getitem__)] += 1
