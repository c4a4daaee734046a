"""Whatever is in a table and however narrow the screen: numbers stay whole, names stay apart."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from blockzoo.report.tables.fitting import FittedTable
from blockzoo.report.tables.layout import Kind
from blockzoo.report.tables.shortening import folded, numbers, shortened
from tests.report.tables.reading import drawn

NAMES = st.text(alphabet="ab1,:/积[]=", min_size=1, max_size=60)
NUMBERS = st.floats(-999, 999).map(lambda x: f"{x:+,.3f} ({x - 1:.3f} to {x + 1:.3f})")
SENTENCES = st.lists(st.sampled_from(["failed:", "12.345", "1e-05", "a" * 30, "x1234567", "of"]))
ROWS = st.lists(st.tuples(NAMES, NUMBERS, SENTENCES.map(" ".join)), min_size=1, max_size=6)
KINDS: dict[str, Kind] = {"block": "name", "accuracy": "number", "why": "text"}


def bag(text: str) -> Counter[str]:
    return Counter(numbers(text))


@settings(deadline=None)
@given(rows=ROWS, width=st.integers(48, 160))
def test_no_number_is_cut_and_no_line_is_too_long(
    rows: list[tuple[str, str, str]], width: int
) -> None:
    table = FittedTable(title="", columns=KINDS, dispensable=("why",))
    for name, number, why in rows:
        table.add_row(name, number, why)
    text = drawn(table, width)
    assert max(map(cell_len, text.splitlines())) <= width
    whole = sum((bag(cell) for row in rows for cell in row), Counter[str]())
    whole.update([str(width)])
    # A column that is left out takes all its numbers with it; what is shown is shown as it was.
    assert bag(text) <= whole + bag(text.partition("not shown")[2])
    assert "accuracy" not in text.partition("not shown")[2]
    for _, number, _ in rows:
        assert number in text


@given(names=st.sets(NAMES, min_size=1, max_size=8), width=st.integers(1, 70))
def test_shortened_names_stay_apart_and_have_no_part_of_a_number(
    names: set[str], width: int
) -> None:
    found = shortened(names, width)
    if found is None:
        assert width < max(map(cell_len, names))
        return
    assert len({*found.values()}) == len(names)
    for name, text in found.items():
        assert cell_len(text) <= max(width, 3)
        left = text if text == name else text.replace("...", " ", 1)
        assert {*numbers(left)} <= {*numbers(name)}
        assert text == name or re.fullmatch(
            ".*".join(map(re.escape, text.split("...", 1))), name, re.DOTALL
        )


@given(text=SENTENCES.map(" ".join), width=st.integers(1, 60))
def test_folding_loses_nothing_and_breaks_no_number(text: str, width: int) -> None:
    lines = folded(text, width)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(cell_len(line) <= max(width, 8) for line in lines)
    assert sum(map(bag, lines), Counter[str]()) == bag(text)


def test_what_is_alike_in_all_rows_goes_first_and_is_said_below() -> None:
    columns: dict[str, Kind] = {"data": "text", "block": "name", "seeds": "number", "ms": "number"}
    table = FittedTable(title="T", columns=columns, dispensable=("seeds",))
    for block in ("A", "B"):
        table.add_row("cifar100, v1", block, "10", "1.234")
    assert drawn(table, 21).splitlines()[1:4] == [
        "block  seeds     ms",
        "A         10  1.234",
        "B         10  1.234",
    ]
    assert " ".join(drawn(table, 21).split()).endswith("data (all: cifar100, v1)")
    assert " ".join(drawn(table, 15).split()).endswith("data (all: cifar100, v1), seeds")


def test_a_row_has_a_cell_for_each_column() -> None:
    with pytest.raises(ValueError, match="1 cells for 3 columns"):
        FittedTable(title="T", columns=KINDS).add_row("A")
