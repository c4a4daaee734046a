"""Tables that fit whatever they are printed on, the one way in which all tables are drawn.

Where a table is too wide its columns are left out whole, and a line below says which; names lose
their middle, and stay different; sentences are folded. No number is ever cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Literal

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.style import Style
from rich.text import Text

from blockzoo.core.text import visible
from blockzoo.report.tables.shortening import folded, numbers, shortened

Kind = Literal["name", "label", "number", "text"]
"""What is in a column: names lose their middle and texts are folded; labels and numbers stay whole.

Numbers stand at the right of their column, all else at the left.
"""

_BETWEEN = 2
# As long as columns can be left out instead, names and texts stay this wide.
_READABLE = 24
_LEAST = 8
# Beyond all widths: nothing is shortened.
_WHOLE = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What stands in a row at one column; the style is that of all its text."""

    text: str
    style: str | Style = ""

    @classmethod
    def of(cls, given: str | Text) -> Cell:
        """Return the cell of a text, in which what does not show is escaped."""
        if isinstance(given, str):
            return cls(text=visible(given, lines=True))
        return cls(text=visible(given.plain, lines=True), style=given.style)


@dataclass(frozen=True, kw_only=True)
class Row:
    """The cells of a row; a reason stands in the place of all columns that have none."""

    cells: tuple[Cell, ...]
    reason: Cell | None = None
    style: str = ""


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """The width of each column that is shown, in their order, and what names are shown as."""

    widths: Mapping[str, int]
    names: Mapping[str, str]

    @property
    def starts(self) -> list[int]:
        """Where each column starts, and where a further one would."""
        starts = [0]
        for width in self.widths.values():
            starts.append(starts[-1] + width + _BETWEEN)
        return starts


@dataclass(kw_only=True)
class FittedTable:
    """A table that takes the width it is printed at.

    `columns` has the kind of each by its title. Of `dispensable` as many are left out as it takes,
    in their order; if that is not enough, others from the right, but no name and not the first.

    >>> table = FittedTable(
    ...     title="T",
    ...     columns={"block": "name", "accuracy": "number", "seeds": "number"},
    ...     dispensable=["seeds"],
    ... )
    >>> table.add_row("A", "91.25", "10")
    >>> Console(width=20, color_system=None).print(table)
    T
    block  accuracy
    A         91.25
    not shown at 20
    columns: seeds
    """

    title: str
    columns: Mapping[str, Kind]
    dispensable: Sequence[str] = ()
    caption: str = ""
    rows: list[Row] = field(default_factory=list)

    def add_row(self, *cells: str | Text, style: str = "") -> None:
        """Add a row, with a cell for each column."""
        if len(cells) != len(self.columns):
            raise ValueError(f"{len(cells)} cells for {len(self.columns)} columns")
        self.rows.append(Row(cells=tuple(map(Cell.of, cells)), style=style))

    def add_reason(self, *cells: str | Text, reason: Text) -> None:
        """Add a row that has the first cells only, and then why it has no more."""
        self.rows.append(Row(cells=tuple(map(Cell.of, cells)), reason=Cell.of(reason)))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the table as wide as the console lets it be."""
        del console
        width = options.max_width
        layout = self._fit(width)
        hidden = [title for title in self.columns if title not in layout.widths]
        said = f"not shown at {width} columns: {', '.join(hidden)}" if hidden else ""
        lines = [
            *_styled(self.title, width, "italic"),
            *self._head(layout),
            *(line for row in self.rows for line in self._drawn(row, layout, width)),
            *_styled(said, width, "dim"),
            *_styled(self.caption, width, "dim italic"),
        ]
        for line in lines:
            line.no_wrap = True
            yield line

    def _fit(self, width: int) -> _Layout:
        everything = [*self.columns]
        if found := self._layout(everything, width, least=_WHOLE, wrapped_heads=False):
            return found
        shown = everything
        for left_out in (None, *self.dispensable):
            shown = [title for title in shown if title != left_out]
            if found := self._layout(shown, width, least=_READABLE):
                return found
        for left_out in (None, *self._others(shown)):
            shown = [title for title in shown if title != left_out]
            if found := self._layout(shown, width, least=_LEAST):
                return found
        # Narrower than any name can be: they go on in the next line.
        each = max(width // len(shown) - _BETWEEN, 1)
        return _Layout(widths=dict.fromkeys(shown, each), names={})

    def _others(self, shown: Sequence[str]) -> Iterator[str]:
        return (title for title in reversed(shown[1:]) if self.columns[title] != "name")

    def _layout(
        self, shown: Sequence[str], width: int, *, least: int, wrapped_heads: bool = True
    ) -> _Layout | None:
        """Return how these columns fit, with names and texts of `least` or more; None if not."""
        heads = {title: _head_width(title, wrapped_heads) for title in shown}
        widths = {title: max(heads[title], self._floor(title, least)) for title in shown}
        room = width - _BETWEEN * (len(shown) - 1)
        names = self._of_kind("name", shown)
        limit, longest = least, max(map(self._natural, names), default=0)
        for limit in range(longest, min(least, longest) - 1, -1):
            widths |= {name: max(heads[name], min(self._natural(name), limit)) for name in names}
            if sum(widths.values()) <= room:
                break
        else:
            return None
        said = shortened(dict.fromkeys(text for name in names for text in self._texts(name)), limit)
        if said is None:
            return None
        for title in self._of_kind("text", shown):
            more = min(self._natural(title) - widths[title], room - sum(widths.values()))
            widths[title] += max(more, 0)
        return _Layout(widths=widths, names=said)

    def _floor(self, title: str, least: int) -> int:
        """Return how wide a column is at the least; of names another rule says that."""
        kind, natural = self.columns[title], self._natural(title)
        if kind == "name":
            return 0
        if kind == "text":
            return max(min(natural, least), self._longest_number(title))
        return natural

    def _of_kind(self, kind: Kind, titles: Iterable[str]) -> list[str]:
        return [title for title in titles if self.columns[title] == kind]

    def _texts(self, title: str) -> list[str]:
        index = [*self.columns].index(title)
        return [row.cells[index].text for row in self.rows if index < len(row.cells)]

    def _natural(self, title: str) -> int:
        return max(
            (cell_len(line) for text in self._texts(title) for line in text.split("\n")), default=0
        )

    def _longest_number(self, title: str) -> int:
        return max((len(n) for text in self._texts(title) for n in numbers(text)), default=0)

    def _head(self, layout: _Layout) -> Iterator[Text]:
        if not any(map(str.strip, self.columns)):
            return
        cells = [folded(title, width) for title, width in layout.widths.items()]
        most = max(map(len, cells))
        # At the bottom, where they stand by what they are the titles of.
        cells = [[""] * (most - len(lines)) + lines for lines in cells]
        yield from self._lines(cells, [""] * len(cells), layout, "bold")

    def _drawn(self, row: Row, layout: _Layout, width: int) -> Iterator[Text]:
        shown = [
            (title, cell)
            # A row that ends with a reason has no cells further on.
            for title, cell in zip(self.columns, row.cells, strict=False)
            if title in layout.widths
        ]
        cells = [
            folded(layout.names.get(cell.text, cell.text), layout.widths[title])
            for title, cell in shown
        ]
        styles = [cell.style for _, cell in shown]
        lines = [*self._lines(cells, styles, layout, row.style)]
        yield from lines if row.reason is None else _beside(lines, row.reason, layout, width)

    def _lines(
        self,
        cells: Sequence[Sequence[str]],
        styles: Sequence[str | Style],
        layout: _Layout,
        style: str,
    ) -> Iterator[Text]:
        titles = [*layout.widths][: len(cells)]
        for texts in zip_longest(*cells, fillvalue=""):
            line = Text(style=style)
            for text, title, start, own in zip(texts, titles, layout.starts, styles, strict=False):
                blanks = max(layout.widths[title] - cell_len(text), 0)
                at_right = blanks if self.columns[title] == "number" else 0
                if text:
                    line.append(" " * (start - line.cell_len + at_right)).append(text, own)
            yield line


def _head_width(title: str, wrapped: bool) -> int:
    return max(map(cell_len, title.split() if wrapped else [title]), default=0)


def _styled(text: str, width: int, style: str) -> list[Text]:
    shown = visible(text, lines=True)
    return [Text(line, style) for line in folded(shown, width)] if shown else []


def _beside(lines: Sequence[Text], reason: Cell, layout: _Layout, width: int) -> Iterator[Text]:
    """Yield the lines of a row with the reason at their right, or below where there is no room."""
    start = max((line.cell_len for line in lines), default=0)
    start = next((each for each in layout.starts if each > start), start + _BETWEEN)
    below = width - start < _READABLE
    start = _BETWEEN if below else start
    reasons = folded(reason.text, max(width - start, 1))
    before: Iterable[Text] = [*lines, *(Text() for _ in reasons)] if below else lines
    after = [*("" for _ in lines), *reasons] if below else reasons
    for line, text in zip_longest(before, after):
        whole = Text() if line is None else line
        if text:
            whole.append(" " * (start - whole.cell_len)).append(text, reason.style)
        yield whole
