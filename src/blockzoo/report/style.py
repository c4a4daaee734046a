"""How figures look: colours, markers, sizes, and a setting that no matplotlibrc can change.

Colours are seven of Okabe and Ito's eight, which people with any common colour blindness can tell
apart (https://jfly.uni-koeln.de/color/); their yellow is too pale for lines on white.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib

from blockzoo.core.position import Position

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9")
INK, QUIET, FAINT = "#222222", "#666666", "#DDDDDD"

# Thirteen markers, and what each is scaled by so that all look equally large. Thirteen and seven
# share no divisor, so stepping through both at once gives 91 different pairs.
MARKERS = {
    "o": 1.0,
    "s": 0.9,
    "^": 1.08,
    "D": 0.82,
    "v": 1.08,
    "P": 1.08,
    "X": 1.08,
    "<": 1.08,
    "*": 1.4,
    ">": 1.08,
    "p": 1.1,
    "d": 1.1,
    "h": 1.08,
}
Fill = Literal["full", "left", "right", "top", "bottom"]
FILLS: tuple[Fill, ...] = ("full", "left", "right", "top", "bottom")

MARKER_POINTS = {Position.EARLY: 4.5, Position.MID: 7.5, Position.LATE: 11.0}

_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "text.color": INK,
    "text.hinting": "none",
    "axes.labelcolor": INK,
    "axes.edgecolor": QUIET,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "figure.dpi": 150,
    "savefig.dpi": 150,
    "svg.fonttype": "path",
    "svg.hashsalt": "blockzoo",
}


@dataclass(frozen=True, kw_only=True)
class BlockLook:
    """The look of one block in every figure; `scale` multiplies the size of its marker."""

    marker: str
    colour: str
    fill: Fill = "full"

    @property
    def scale(self) -> float:
        """What the marker's size is multiplied by to look as large as a circle."""
        return MARKERS[self.marker]


def assign_looks(blocks: Iterable[str]) -> dict[str, BlockLook]:
    """Return a look for each block name, by sorted name; the first 455 are all different."""
    return {name: _look(index) for index, name in enumerate(sorted(set(blocks)))}


def _look(index: int) -> BlockLook:
    markers = tuple(MARKERS)
    fill = index // (len(markers) * len(COLOURS)) % len(FILLS)
    return BlockLook(
        marker=markers[index % len(markers)],
        colour=COLOURS[index % len(COLOURS)],
        fill=FILLS[fill],
    )


@contextmanager
def house_style() -> Iterator[None]:
    """Within it, matplotlib's defaults and the style above hold, whatever the user has set."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield
