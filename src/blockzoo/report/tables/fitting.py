"""Tables that fit whatever they are printed on, the one way in which all tables are drawn.

Where a table is too wide its columns are left out whole, and a line below says which; names lose
their middle, and stay different; sentences are folded. No number is ever cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.style import Style
from rich.text import Text

from blockzoo.core.text import visible
from blockzoo.report.tables.layout import BETWEEN, READABLE, Column, Kind, Layout, layout_of
from blockzoo.report.tables.shortening import folded


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


@dataclass(kw_only=True)
class FittedTable:
    """A table that takes the width it is printed at.

    `columns` has the kind of each by its title. Of `dispensable` as many are left out as it takes,
    in their order, as `layout_of` says.

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
        contents = self._contents()
        layout = layout_of(contents, self.dispensable, width)
        hidden = [_hidden(column) for column in contents if column.title not in layout.widths]
        said = f"not shown at {width} columns: {', '.join(hidden)}" if hidden else ""
        yield from (
            *_styled(self.title, width, "italic"),
            *self._head(layout),
            *(line for row in self.rows for line in self._drawn(row, layout, width)),
            *_styled(said, width, "dim"),
            *_styled(self.caption, width, "dim italic"),
        )

    def _contents(self) -> list[Column]:
        return [
            Column(title, kind, tuple(row.cells[i].text for row in self.rows if i < len(row.cells)))
            for i, (title, kind) in enumerate(self.columns.items())
        ]

    def _head(self, layout: Layout) -> Iterator[Text]:
        if not any(map(str.strip, self.columns)):
            return
        cells = [folded(title, width) for title, width in layout.widths.items()]
        most = max(map(len, cells))
        # At the bottom, where they stand by what they are the titles of.
        cells = [[""] * (most - len(lines)) + lines for lines in cells]
        yield from self._lines(cells, [""] * len(cells), layout, "bold")

    def _drawn(self, row: Row, layout: Layout, width: int) -> Iterator[Text]:
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
        layout: Layout,
        style: str,
    ) -> Iterator[Text]:
        titles = [*layout.widths][: len(cells)]
        for texts in zip_longest(*cells, fillvalue=""):
            line = _line(style=style)
            for text, title, start, own in zip(texts, titles, layout.starts, styles, strict=False):
                blanks = max(layout.widths[title] - cell_len(text), 0)
                at_right = blanks if self.columns[title] == "number" else 0
                if text:
                    line.append(" " * (start - line.cell_len + at_right)).append(text, own)
            yield line


def _hidden(column: Column) -> str:
    return f"{column.title} (all: {column.shared})" if column.shared else column.title


def _line(text: str = "", style: str = "") -> Text:
    # It is as wide as it may be by now.
    return Text(text, style, no_wrap=True)


def _styled(text: str, width: int, style: str) -> list[Text]:
    shown = visible(text, lines=True)
    return [_line(line, style) for line in folded(shown, width)] if shown else []


def _beside(lines: Sequence[Text], reason: Cell, layout: Layout, width: int) -> Iterator[Text]:
    """Yield the lines of a row with the reason at their right, or below where there is no room."""
    start = max((line.cell_len for line in lines), default=0)
    start = next((each for each in layout.starts if each > start), start + BETWEEN)
    below = width - start < READABLE
    start = BETWEEN if below else start
    reasons = folded(reason.text, max(width - start, 1))
    before: Iterable[Text] = [*lines, *(_line() for _ in reasons)] if below else lines
    after = [*("" for _ in lines), *reasons] if below else reasons
    for line, text in zip_longest(before, after):
        whole = _line() if line is None else line
        if text:
            whole.append(" " * (start - whole.cell_len)).append(text, reason.style)
        yield whole
