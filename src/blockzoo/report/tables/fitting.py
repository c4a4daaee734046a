"""Tables that fit a screen: columns are left out whole and named, digits are never cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from rich.console import Console
from rich.table import Table

Side = Literal["left", "right"]


def fitted_table(
    title: str,
    columns: Mapping[str, Side],
    rows: Sequence[Sequence[str]],
    *,
    dispensable: Sequence[str],
    wrapped: str,
    width: int,
) -> Table:
    """Return a table of at most `width` characters, without as many of `dispensable` as that takes.

    They are left out in their order, and named below the table. Of all that is shown the column
    `wrapped`, of names, alone may go on in the next line.

    >>> sides: dict[str, Side] = {"block": "left", "accuracy": "right", "seeds": "right"}
    >>> narrow = fitted_table(
    ...     "T", sides, [["A", "91.25", "10"]], dispensable=["seeds"], wrapped="block", width=20
    ... )
    >>> [column.header for column in narrow.columns], narrow.caption
    (['block', 'accuracy'], 'left out on so narrow a screen: seeds')
    """
    named = [dict(zip(columns, row, strict=True)) for row in rows]
    for count in range(len(dispensable) + 1):
        left_out = dispensable[:count]
        table = Table(box=None, title=title)
        shown = [name for name in columns if name not in left_out]
        for name in shown:
            table.add_column(name, justify=columns[name], no_wrap=name != wrapped, overflow="fold")
        for row in named:
            table.add_row(*(row[name] for name in shown))
        if Console(width=10_000).measure(table).maximum <= width:
            break
    if left_out:
        table.caption = f"left out on so narrow a screen: {', '.join(left_out)}"
    return table
