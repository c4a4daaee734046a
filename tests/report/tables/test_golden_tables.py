"""Every table at every width, as it was looked at; `--rewrite-golden` writes the files anew."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.cells import cell_len

from blockzoo.report.tables.shortening import numbers
from tests.report.tables.every_table import TABLES
from tests.report.tables.reading import drawn, rows_of

FOLDER = Path(__file__).parent / "golden_tables"
WIDTHS = (60, 80, 100, 120, 200)


@pytest.mark.parametrize("name", list(TABLES))
def test_every_table_fits_and_is_as_it_was(name: str, pytestconfig: pytest.Config) -> None:
    table = TABLES[name]()
    path = FOLDER / f"{name}.txt"
    screens = {width: drawn(table, width) for width in WIDTHS}
    for width, text in screens.items():
        assert max(map(cell_len, text.splitlines())) <= width
        given = {n for row in rows_of(table) for cell in row for n in numbers(cell)}
        title = {n for text in (table.title, table.caption, str(width)) for n in numbers(text)}
        heads = {n for column in table.columns for n in numbers(column)}
        assert {*numbers(text)} <= given | title | heads
    found = "".join(f"at {width} columns\n{text}\n" for width, text in screens.items())
    if pytestconfig.getoption("--rewrite-golden"):
        path.write_text(found, encoding="utf-8")
    assert found == path.read_text(encoding="utf-8")
