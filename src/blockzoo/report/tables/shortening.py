"""Names and sentences made to fit a width, so that no number in them is ever cut.

Widths are in cells of a terminal, of which some letters take two.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from rich.cells import cell_len

_GAP = "..."
_NUMBER = r"[+-]?\d(?:[\d.,:e+-]*\d)?%?"
# Whatever is cut or broken, these stay whole: a number, or a letter that belongs to none.
_ATOM = re.compile(rf"{_NUMBER}|.", re.DOTALL)
# Where two names differ is mostly at an end, but not at the same one for all pairs.
_SHARES_OF_HEAD = (0.5, 0.35, 0.65, 0.2, 0.8, 0.0, 1.0)


def numbers(text: str) -> list[str]:
    """Return all numbers in a text, as they stand there.

    >>> numbers("91.25 (90.8 to 91.7), n = 10, 1.5e-05")
    ['91.25', '90.8', '91.7', '10', '1.5e-05']
    """
    return re.findall(_NUMBER, text)


def shortened(names: Collection[str], width: int) -> dict[str, str] | None:
    """Return what each name is shown as: itself, or what is left of it without its middle.

    Different names stay different; None where that takes more than `width`.

    >>> shortened(["mine/blocks.py:Residual[ratio=3.75]", "RepMixer"], 18)
    {'mine/blocks.py:Residual[ratio=3.75]': 'mine/bl...o=3.75]', 'RepMixer': 'RepMixer'}
    >>> shortened(["aaaaaaaab", "aaaacaaab"], 5) is None
    True
    """
    for share in _SHARES_OF_HEAD:
        texts = {name: _without_middle(name, width, share) for name in names}
        if len({*texts.values()}) == len(texts):
            return texts
    return None


def _without_middle(name: str, width: int, share: float) -> str:
    if cell_len(name) <= width:
        return name
    room = max(width - len(_GAP), 0)
    atoms: list[str] = _ATOM.findall(name)
    head = _fitting(atoms, round(room * share))
    tail = _fitting(reversed(atoms), room - cell_len("".join(head)))
    return "".join((*head, _GAP, *reversed(tail)))


def _fitting(atoms: Iterable[str], room: int) -> list[str]:
    """Return the first of the atoms, as many as there is room for."""
    taken: list[str] = []
    for atom in atoms:
        room -= cell_len(atom)
        if room < 0:
            break
        taken.append(atom)
    return taken


def folded(text: str, width: int) -> list[str]:
    """Return the text in lines of at most `width`, broken at blanks and else between letters.

    A number that is wider than that is a line of its own.

    >>> folded("not shown: my_blocks.py:Block12345", 13)
    ['not shown:', 'my_blocks.py:', 'Block12345']
    """
    return [line for part in text.split("\n") for line in _folded_line(part, width)]


def _folded_line(text: str, width: int) -> list[str]:
    lines = [""]
    for piece in re.findall(r"\s*\S+", text):
        if cell_len(lines[-1] + piece) <= width:
            lines[-1] += piece
            continue
        word = piece.lstrip()
        if lines[-1]:
            lines.append("")
        for atom in [word] if cell_len(word) <= width else _ATOM.findall(word):
            if lines[-1] and cell_len(lines[-1] + atom) > width:
                lines.append("")
            lines[-1] += atom
    return lines
