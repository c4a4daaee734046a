"""What is drawn inside the axes: points, intervals, joining lines and the front.

Artists carry plain labels, by which a reader of the figure object finds them: `BLOCK/POSITION` for
a point, `BLOCK` for the line through its points, `Pareto front` for the front.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.lines import Line2D

from blockzoo.report.cells import Cell, Interval, Selection
from blockzoo.report.style import INK, MARKER_POINTS, BlockLook

FRONT_LABEL = "Pareto front"
_JOINS, _BARS, _FRONT, _POINTS = 2.0, 2.1, 2.2, 3.0
_FACE_OF_FRONT, _FACE_OF_OTHERS = 0.6, 0.12


@dataclass(frozen=True, kw_only=True)
class Marks:
    """How cells are marked: a look per block, and a factor on all marker sizes."""

    looks: Mapping[str, BlockLook]
    scale: float = 1.0

    def diameter_points(self, cell: Cell) -> float:
        """Return the diameter of the cell's marker."""
        return MARKER_POINTS[cell.position] * self.looks[cell.block].scale * self.scale

    def point(self, cell: Cell, *, on_front: bool) -> Line2D:
        """Return the cell's point: filled on the front, nearly transparent elsewhere."""
        marker = lone_marker(
            self.looks[cell.block], diameter_points=self.diameter_points(cell), on_front=on_front
        )
        marker.set_data([cell.cost], [cell.accuracy])
        marker.set_label(f"{cell.block}/{cell.position}")
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
        markeredgecolor=INK if on_front else look.colour,
        markeredgewidth=1.1,
        fillstyle=look.fill,
    )


def front_line() -> Line2D:
    """Return the front's line, at no place yet: the best accuracy for at most a given cost."""
    return Line2D(
        [],
        [],
        label=FRONT_LABEL,
        drawstyle="steps-post",
        color=INK,
        linewidth=1.1,
        linestyle=(0, (4, 2)),
        zorder=_FRONT,
    )


def draw_cells(axes: Axes, selection: Selection, marks: Marks) -> None:
    """Draw all cells and the front: lines lowest, then the front's points, then the others.

    Of these, large points come first, so that a small one within a large one is seen.
    """
    for block, cells in selection.by_block().items():
        _draw_join(axes, block, cells, marks.looks[block].colour)
        _draw_intervals(axes, cells, marks.looks[block].colour)
    front = selection.front()
    _draw_front(axes, front)
    ordered = sorted(
        selection.cells, key=lambda cell: (cell not in front, -marks.diameter_points(cell))
    )
    for rank, cell in enumerate(ordered):
        point = marks.point(cell, on_front=cell in front)
        point.set_zorder(_POINTS + rank / len(ordered))
        axes.add_line(point)


def _draw_front(axes: Axes, front: Sequence[Cell]) -> None:
    line = front_line()
    line.set_data([cell.cost for cell in front], [cell.accuracy for cell in front])
    axes.add_line(line)


def _draw_join(axes: Axes, block: str, cells: Sequence[Cell], colour: str) -> None:
    axes.plot(
        [cell.cost for cell in cells],
        [cell.accuracy for cell in cells],
        label=block,
        color=colour,
        linewidth=0.8,
        alpha=0.4,
        zorder=_JOINS,
    )


def _draw_intervals(axes: Axes, cells: Sequence[Cell], colour: str) -> None:
    axes.errorbar(
        [cell.cost for cell in cells],
        [cell.accuracy for cell in cells],
        xerr=_lengths([(cell.cost, cell.cost_interval) for cell in cells]),
        yerr=_lengths([(cell.accuracy, cell.accuracy_interval) for cell in cells]),
        fmt="none",
        ecolor=colour,
        elinewidth=0.8,
        alpha=0.5,
        zorder=_BARS,
    )


def _lengths(values: Sequence[tuple[float, Interval | None]]) -> list[list[float]]:
    """Return the lengths below and above each value; 0 where there is no interval."""
    ends = [(value, interval or (value, value)) for value, interval in values]
    below = [max(0.0, value - low) for value, (low, _) in ends]
    above = [max(0.0, high - value) for value, (_, high) in ends]
    return [below, above]
