"""How figures look: markers, sizes, and a setting that no matplotlibrc can change."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.lines import Line2D

from blockzoo.core.names import published_name
from blockzoo.core.position import Position
from blockzoo.report.figures.colours import theme
from blockzoo.report.figures.points import Interval, Result, Selection

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
_LINES = ("-", "--", ":", "-.")
FILLS: tuple[Fill, ...] = ("full", "left", "right", "top", "bottom")

MARKER_POINTS = {Position.EARLY: 4.5, Position.MID: 7.5, Position.LATE: 11.0}


def _style() -> dict[Any, Any]:
    """Return matplotlib's settings in the colours of the theme."""
    colours = theme()
    return {
        "figure.facecolor": colours.paper,
        "axes.facecolor": colours.paper,
        "font.family": "DejaVu Sans",
        "font.size": 9.0,
        "text.color": colours.ink,
        "text.hinting": "none",
        "axes.labelcolor": colours.ink,
        "axes.edgecolor": colours.quiet,
        "axes.linewidth": 0.8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "xtick.color": colours.quiet,
        "ytick.color": colours.quiet,
        "xtick.labelcolor": colours.ink,
        "ytick.labelcolor": colours.ink,
        "grid.color": colours.faint,
        "grid.linewidth": 0.6,
        "figure.dpi": 150,
        "savefig.dpi": 150,
        "svg.fonttype": "path",  # the same letters where the font is missing
        "svg.hashsalt": "blockzoo",  # else ids are random, and files differ each time
    }


# The blocks of the published table, whose places are apart from each other: colours and markers of
# neighbours differ both.
_PLACES = (
    "ResNetBasicBlock",
    "ResNetBottleneck",
    "InvertedResidual",
    "UniversalInvertedBottleneck",
    "EdgeResidual",
    "MobileOneBlock",
    "ReparamLargeKernelConv",
    "GhostBottleneckV3",
    "MBConvLNBlock",
    "RepMixer",
    "DYMicroBlock",
)


@dataclass(frozen=True, kw_only=True)
class BlockLook:
    """The look of one block in every figure; `scale` multiplies the size of its marker."""

    marker: str
    colour: str
    fill: Fill = "full"
    line: str = "-"

    @property
    def scale(self) -> float:
        """What the marker's size is multiplied by to look as large as a circle."""
        return MARKERS[self.marker]


def assign_looks(blocks: Iterable[str]) -> dict[str, BlockLook]:
    """Return a look for each block name, different ones for the first 455.

    A block has one look in all figures, whatever else they show, unless two of a figure would share
    it: then the second by name gets the next that is free. Fitted blocks look like published ones.

    >>> alone, among = assign_looks(["RepMixer"]), assign_looks(["RepMixer", "Identity", "Mine"])
    >>> alone["RepMixer"] == among["RepMixer"]
    True
    """
    filled = len(MARKERS) * len(theme().blocks)
    looks: dict[str, int] = {}
    # Those with places of their own first, for the sake of whom the others move.
    for name in sorted({*blocks}, key=lambda name: (name not in _PLACES, name)):
        home = _home(name, filled)
        # Filled markers first, for they are the plainest.
        tried = (
            filled * k + (home + step) % filled for k in range(len(FILLS)) for step in range(filled)
        )
        looks[name] = next((look for look in tried if look not in looks.values()), home)
    return {name: _look(looks[name]) for name in sorted(looks)}


def _home(name: str, looks: int) -> int:
    """Return the place of a block among so many looks, the same in every figure."""
    published = published_name(name)
    if published in _PLACES:
        return _PLACES.index(published)
    number = int.from_bytes(hashlib.sha256(published.encode()).digest()[:8], "big")
    return len(_PLACES) + number % (looks - len(_PLACES))


def _look(index: int) -> BlockLook:
    markers, colours = tuple(MARKERS), theme().blocks
    fill = index // (len(markers) * len(colours)) % len(FILLS)
    return BlockLook(
        marker=markers[index % len(markers)],
        colour=colours[index % len(colours)],
        fill=FILLS[fill],
        # Seven colours are all that everyone can tell apart; lines of one colour differ in dashes.
        line=_LINES[index // len(colours) % len(_LINES)],
    )


@contextmanager
def house_style() -> Iterator[None]:
    """Within it, matplotlib's defaults and the style above hold, whatever the user has set.

    >>> with house_style():
    ...     matplotlib.rcParams["figure.dpi"]
    150.0
    """
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_style())
        yield


FRONT_LABEL = "Pareto front"
# Drawn in this order; the points lie between 3 and 4, each at a height of its own.
_JOINS, _BARS, _FRONT, _POINTS, _CROSSES = 2.0, 2.1, 2.2, 3.0, 4.0
# Opacities: what lies under a point still shows through it.
_FACE_OF_FRONT, _FACE_OF_OTHERS = 0.6, 0.12


@dataclass(frozen=True, kw_only=True)
class Marks:
    """How results are marked: a look per block, and a factor on all marker sizes."""

    looks: Mapping[str, BlockLook]
    scale: float = 1.0

    def diameter_points(self, result: Result) -> float:
        """Return the diameter of the result's marker."""
        return MARKER_POINTS[result.position] * self.looks[result.block].scale * self.scale

    def point(self, result: Result, *, on_front: bool) -> Line2D:
        """Return the result's point: filled on the front, nearly transparent elsewhere."""
        marker = lone_marker(
            self.looks[result.block],
            diameter_points=self.diameter_points(result),
            on_front=on_front,
        )
        marker.set_data([result.cost], [result.accuracy])
        marker.set_label(f"{result.block}/{result.position}")
        return marker


def lone_marker(look: BlockLook, *, diameter_points: float, on_front: bool = False) -> Line2D:
    """Return one marker of that look, at no place yet."""
    opacity = _FACE_OF_FRONT if on_front else _FACE_OF_OTHERS
    return Line2D(
        [],
        [],
        linestyle="none",
        marker=look.marker,
        markersize=diameter_points,
        markerfacecolor=to_rgba(look.colour, opacity),
        markerfacecoloralt=to_rgba(look.colour, _FACE_OF_FRONT),
        markeredgecolor=theme().ink if on_front else look.colour,
        markeredgewidth=1.1,
        fillstyle=look.fill,
    )


def failure_cross(diameter_points: float) -> Line2D:
    """Return the mark of a result of which some seeds failed, at no place yet.

    >>> failure_cross(8.0).get_marker()
    'x'
    """
    return Line2D(
        [],
        [],
        linestyle="none",
        marker="x",
        # Past the marker's edge, so that it is seen on any of them.
        markersize=1.3 * diameter_points,
        markeredgecolor=theme().failure,
        markeredgewidth=1.4,
    )


def front_line() -> Line2D:
    """Return the front's line, at no place yet: the best accuracy for at most a given cost."""
    return Line2D(
        [],
        [],
        label=FRONT_LABEL,
        drawstyle="steps-post",
        color=theme().ink,
        linewidth=1.1,
        linestyle=(0, (4, 2)),
        zorder=_FRONT,
    )


def draw_results(axes: Axes, selection: Selection, marks: Marks) -> None:
    """Draw all results and the front: lines lowest, then the front's points, then the others.

    Of these, large points come first, so that a small one within a large one is seen.
    """
    for block, results in selection.by_block().items():
        _draw_join(axes, block, results, marks.looks[block].colour)
        _draw_intervals(axes, results, marks.looks[block].colour)
    front = selection.front()
    _draw_front(axes, front)
    ordered = sorted(
        selection.results, key=lambda result: (result not in front, -marks.diameter_points(result))
    )
    for rank, result in enumerate(ordered):
        point = marks.point(result, on_front=result in front)
        point.set_zorder(_POINTS + rank / len(ordered))
        axes.add_line(point)
        if result.failed:
            cross = failure_cross(marks.diameter_points(result))
            cross.set_data([result.cost], [result.accuracy])
            cross.set_label(f"{result.block}/{result.position}, failed seeds")
            cross.set_zorder(_CROSSES)
            axes.add_line(cross)


def _draw_front(axes: Axes, front: Sequence[Result]) -> None:
    line = front_line()
    line.set_data([result.cost for result in front], [result.accuracy for result in front])
    axes.add_line(line)


def _draw_join(axes: Axes, block: str, results: Sequence[Result], colour: str) -> None:
    axes.plot(
        [result.cost for result in results],
        [result.accuracy for result in results],
        label=block,
        color=colour,
        linewidth=0.8,
        alpha=0.4,
        zorder=_JOINS,
    )


def _draw_intervals(axes: Axes, results: Sequence[Result], colour: str) -> None:
    axes.errorbar(
        [result.cost for result in results],
        [result.accuracy for result in results],
        xerr=_lengths([(result.cost, result.cost_interval) for result in results]),
        yerr=_lengths([(result.accuracy, result.accuracy_interval) for result in results]),
        fmt="none",
        ecolor=colour,
        elinewidth=0.8,
        alpha=0.5,
        zorder=_BARS,
    )


def _lengths(values: Sequence[tuple[float, Interval | None]]) -> list[list[float]]:
    """Return the lengths below and above each value; 0 where there is no interval."""
    ends = [(value, interval or (value, value)) for value, interval in values]
    # A mean can lie outside its interval where that was cut at 100%; a length below 0 is an error.
    below = [max(0.0, value - low) for value, (low, _) in ends]
    above = [max(0.0, high - value) for value, (_, high) in ends]
    return [below, above]
