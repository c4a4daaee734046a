"""The formulas of all blocks can be read: their brackets close in order."""

from __future__ import annotations

import pytest

from blockzoo.blocks import get_block, list_available_blocks

_CLOSES = {")": "(", "]": "["}


def _unbalanced(formula: str) -> str | None:
    """Return what of the formula is read when its brackets go wrong, None where they do not."""
    opened: list[str] = []
    for place, sign in enumerate(formula, start=1):
        if sign in _CLOSES.values():
            opened.append(sign)
        elif sign in _CLOSES and (not opened or opened.pop() != _CLOSES[sign]):
            return formula[:place]
        elif sign == "=" and opened:
            return formula[:place]  # another equation begins while brackets are open
    return formula if opened else None


@pytest.mark.parametrize("name", list_available_blocks())
def test_the_brackets_of_every_formula_close_in_order(name: str) -> None:
    assert _unbalanced(get_block(name).formula) is None


@pytest.mark.parametrize(
    ("formula", "read"),
    [
        ("y = relu(bn(x)", "y = relu(bn(x)"),
        ("y = bn(x)), u = x", "y = bn(x))"),
        ("y = [f(x], g(x))", "y = [f(x]"),
        ("y = f(g(x), u = x)", "y = f(g(x), u ="),
        ("y = f([x, g(x, x)]), u = x", None),
    ],
)
def test_what_is_unbalanced_is_found(formula: str, read: str | None) -> None:
    assert _unbalanced(formula) == read


@pytest.mark.parametrize(
    ("name", "year"),
    # Of the paper that the entry links: its first version on arXiv.
    [("ConvBNAct", 2014), ("EdgeResidual", 2020), ("EdgeResidualTimm", 2020)],
)
def test_years_are_those_of_the_linked_papers(name: str, year: int) -> None:
    assert get_block(name).year == year


def test_every_year_is_that_of_its_arxiv_number() -> None:
    later = {}
    for spec in map(get_block, list_available_blocks()):
        number = spec.paper[:4]
        if number.isdigit() and spec.paper[4:5] == ".":
            later[spec.name] = spec.year - (2000 + int(number[:2]))
    assert {name: years for name, years in later.items() if years} == {}
