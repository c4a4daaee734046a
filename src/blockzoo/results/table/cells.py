"""Text cells of CSV files that a spreadsheet would take for formulas.

A text that begins with =, +, -, @, a tab or a line break, after any number of apostrophes, is
written with one apostrophe more, and read with one less. All other text is written as it is, so
files from before this rule read as they did.
"""

from __future__ import annotations

import re

SUSPECT = frozenset("'=+-@\t\r\n")
"""Of a text that begins with none of these nothing is to be escaped."""
_FORMULA = re.compile(r"'*[=+\-@\t\r\n]")


def escaped_cell(text: str) -> str:
    """Return the text as it is written into a cell.

    >>> escaped_cell("=1+1"), escaped_cell("a=1"), escaped_cell("'=1")
    ("'=1+1", 'a=1', "''=1")
    """
    return f"'{text}" if text[:1] in SUSPECT and _FORMULA.match(text) else text


def unescaped_cell(cell: str) -> str:
    """Return the text of a cell that `escaped_cell` wrote.

    >>> unescaped_cell("'=1+1"), unescaped_cell("'tis")
    ('=1+1', "'tis")
    """
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
