from __future__ import annotations

from blockzoo.core.display import Displayed, Facts
from tests.shown_cells import SCRIPT, cells_of


class _Shown(Displayed):
    def __init__(self, **facts: str | None) -> None:
        self.facts = facts

    def _facts(self) -> Facts:
        return self.facts


def test_a_line_has_every_fact_that_is_there() -> None:
    shown = _Shown(block="A", mass="2 kg", none=None, empty="")
    assert repr(shown) == str(shown) == f"{shown}" == "<_Shown: block A, mass 2 kg>"
    assert cells_of(shown) == ["_Shown", "block", "A", "mass", "2 kg"]


def test_markup_is_text() -> None:
    shown = _Shown(**{SCRIPT: SCRIPT})
    assert "<script" not in shown._repr_html_()
    assert cells_of(shown) == ["_Shown", SCRIPT, SCRIPT]


def test_what_does_not_show_is_escaped_and_stays_in_one_line() -> None:
    shown = _Shown(reason="first\nsecond", name="\x1b[31mred\u202e")
    assert repr(shown) == r"<_Shown: reason first, name \x1b[31mred\u202e>"
    assert cells_of(shown)[-1] == r"\x1b[31mred\u202e"


def test_long_values_are_cut() -> None:
    assert len(repr(_Shown(reason="x" * 1000))) < 150
