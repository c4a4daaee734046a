"""The colours of all figures; without matplotlib, for drawings are made without it.

Colours of blocks are seven of Okabe and Ito's eight, which people with any common colour blindness
can tell apart (https://jfly.uni-koeln.de/color/); their yellow is too pale for lines on white. On
dark paper the black is white, and the blue and the vermilion are lighter.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

from blockzoo.core.errors import UnknownNameError

ThemeName = Literal["light", "dark"]


@dataclass(frozen=True, kw_only=True)
class Theme:
    """Colours for one kind of paper: what is written, what steps back, what is hardly there.

    `growing` is matplotlib's name of a colour map whose high end stands out on the paper.
    """

    paper: str
    ink: str
    quiet: str
    faint: str
    failure: str
    growing: str
    blocks: tuple[str, ...]


_THEMES: dict[ThemeName, Theme] = {
    "light": Theme(
        paper="#FFFFFF",
        ink="#222222",
        quiet="#666666",
        faint="#DDDDDD",
        failure="#C00000",
        growing="cividis_r",
        blocks=("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9"),
    ),
    "dark": Theme(
        paper="#131416",
        ink="#E8E8E8",
        quiet="#A0A0A0",
        faint="#3A3C40",
        failure="#FF6B6B",
        growing="cividis",
        blocks=("#3D9BE0", "#F07B2E", "#1FBF92", "#D98CB9", "#FFFFFF", "#E69F00", "#8FD0F5"),
    ),
}
THEMES: tuple[ThemeName, ...] = tuple(_THEMES)
_current: ContextVar[ThemeName] = ContextVar("theme", default="light")


def theme() -> Theme:
    """Return the colours in which figures are drawn here.

    >>> theme().paper
    '#FFFFFF'
    """
    return _THEMES[_current.get()]


@contextmanager
def drawn_in(name: str) -> Iterator[None]:
    """Within it figures are drawn "light" or "dark"; raises `UnknownNameError` for another.

    >>> with drawn_in("dark"):
    ...     theme().paper
    '#131416'
    """
    chosen = next((each for each in THEMES if each == name), None)
    if chosen is None:
        raise UnknownNameError("theme", name, THEMES)
    token = _current.set(chosen)
    try:
        yield
    finally:
        _current.reset(token)
