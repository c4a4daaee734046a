"""What stands in a table, and what a screen shows of it."""

from __future__ import annotations

import io

from rich.console import Console

from blockzoo.report.tables.fitting import FittedTable


def rows_of(table: FittedTable) -> list[list[str]]:
    """Return the cells of each row; a reason is the last of them."""
    return [
        [cell.text for cell in (*row.cells, *([row.reason] if row.reason else []))]
        for row in table.rows
    ]


def column_of(table: FittedTable, title: str) -> list[str]:
    """Return the cells of the column of that title."""
    index = list(table.columns).index(title)
    return [row[index] for row in rows_of(table)]


def drawn(table: FittedTable, width: int) -> str:
    """Return what a console of that width shows."""
    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(table)
    return out.getvalue()
