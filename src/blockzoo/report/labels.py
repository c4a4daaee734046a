"""Names written beside the front's points, only where they cover no point and no other name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation

from blockzoo.report.cells import Cell, Selection
from blockzoo.report.layout import Array, boxes_around, place_label, points_along
from blockzoo.report.marks import Marks
from blockzoo.report.style import INK

_ABOVE_POINTS = 5.0


def draw_labels(axes: Axes, selection: Selection, marks: Marks) -> None:
    """Name each block of the front once, at the first of its front's points with room for it."""
    room = _Room(axes, selection, marks)
    for name, cells in _front_blocks(selection).items():
        for cell in cells:
            label = _unplaced(axes, name, cell)
            if room.give_place(label, cell):
                break
            label.remove()


class _Room:
    """The space left within the axes, in pixels; each label placed takes some of it."""

    def __init__(self, axes: Axes, selection: Selection, marks: Marks) -> None:
        self.axes, self.marks = axes, marks
        self.pixels_per_point = float(axes.figure.dpi) / 72
        margin = 3 * self.pixels_per_point
        self.inside = np.array(axes.bbox.padded(-margin).extents)
        radii = np.array([self._radius(cell) for cell in selection.cells])
        self.points = self._pixels(_places(selection.cells))
        self.taken = boxes_around(self.points, radii)
        self.lines = np.vstack([points_along(self._visible(path)) for path in _paths(selection)])

    def give_place(self, label: Annotation, cell: Cell) -> bool:
        """Move the label beside the cell's point; False where it fits nowhere."""
        anchor = self._pixels(_places([cell]))[0]
        box = place_label(
            anchor,
            np.array(label.get_window_extent().size),
            radius=self._radius(cell),
            others=self.points,
            forbidden=self.taken,
            crossed=self.lines,
            inside=self.inside,
        )
        if box is None:
            return False
        offset = ((box[:2] + box[2:]) / 2 - anchor) / self.pixels_per_point
        label.set_position((float(offset[0]), float(offset[1])))
        self.taken = np.vstack([self.taken, box])
        return True

    def _pixels(self, places: Array) -> Array:
        return np.asarray(self.axes.transData.transform(places), dtype=float)

    def _visible(self, path: Array) -> Array:
        """Return the path in pixels, pulled to the edge where it leaves the axes."""
        extents = np.array(self.axes.bbox.extents)
        return np.clip(self._pixels(path), extents[:2], extents[2:])

    def _radius(self, cell: Cell) -> float:
        return (self.marks.diameter_points(cell) / 2 + 1) * self.pixels_per_point


def _front_blocks(selection: Selection) -> dict[str, list[Cell]]:
    """Return the front's cells by block, the most accurate first."""
    groups: dict[str, list[Cell]] = {}
    for cell in sorted(selection.front(), key=lambda cell: (-cell.accuracy, cell.block)):
        groups.setdefault(cell.block, []).append(cell)
    return groups


def _unplaced(axes: Axes, name: str, cell: Cell) -> Annotation:
    return axes.annotate(
        name,
        xy=(cell.cost, cell.accuracy),
        xytext=(0, 0),
        textcoords="offset points",
        ha="center",
        va="center",
        fontsize=8,
        color=INK,
        zorder=_ABOVE_POINTS,
        parse_math=False,
        path_effects=[withStroke(linewidth=2, foreground="white", alpha=0.8)],
    )


def _places(cells: Sequence[Cell]) -> Array:
    return np.array([(cell.cost, cell.accuracy) for cell in cells], dtype=float)


def _paths(selection: Selection) -> list[Array]:
    """Return the lines a label should rather not cross: joins, the front's steps, intervals."""
    paths = [_places(cells) for cells in selection.by_block().values()]
    front = _places(selection.front())
    corners = np.column_stack([front[1:, 0], front[:-1, 1]])
    steps = np.empty((2 * len(front) - 1, 2))
    steps[0::2], steps[1::2] = front, corners
    return [*paths, steps, *(bar for cell in selection.cells for bar in _bars(cell))]


def _bars(cell: Cell) -> list[Array]:
    bars = []
    if cell.cost_interval:
        bars.append(np.array([(end, cell.accuracy) for end in cell.cost_interval]))
    if cell.accuracy_interval:
        bars.append(np.array([(cell.cost, end) for end in cell.accuracy_interval]))
    return bars
