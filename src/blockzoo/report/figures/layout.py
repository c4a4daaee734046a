"""Where things go: the view of the axes, labels beside points, a figure that fits its contents.

Boxes are arrays (n, 4) of x0, y0, x1, y1 in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from blockzoo.report.figures.colours import theme
from blockzoo.report.figures.points import Result, Selection
from blockzoo.report.figures.style import Marks

Array = NDArray[np.float64]

# Directions in which a label may leave its point. Up and left come first: the results of a front
# have nothing above and to the left of them.
_DIRECTIONS = ((-1, 1), (0, 1), (-1, 0), (1, 1), (1, -1), (0, -1), (1, 0), (-1, -1))
_GAPS = (3.0, 6.0, 12.0)
_PADDING = 0.08


def view_limits(
    values: Sequence[float], intervals: Sequence[tuple[float, float]], *, smallest_span: float
) -> tuple[float, float]:
    """Return the lower and upper end of an axis that shows all values.

    Intervals widen it by at most the span of the values on each side: an interval from two seeds
    may be so wide that the points it belongs to would shrink to one. `smallest_span` is the span
    of constant values.

    >>> low, high = view_limits([10.0, 20.0], [(0.0, 90.0)], smallest_span=1.0)
    >>> low < 0.0, high < 90.0  # the interval reaches out of the view
    (True, True)
    """
    low, high = min(values), max(values)
    missing = max(0.0, smallest_span - (high - low)) / 2
    low, high = low - missing, high + missing
    span = high - low
    ends = np.array(intervals, dtype=float).reshape(-1, 2)
    lowest = max(low - span, ends[:, 0].min(initial=low))
    highest = min(high + span, ends[:, 1].max(initial=high))
    padding = _PADDING * (highest - lowest)
    return float(lowest - padding), float(highest + padding)


def boxes_around(centres: Array, radii: Array | float) -> Array:
    """Return the squares (n, 4) around centres (n, 2).

    >>> boxes_around(np.array([[5.0, 5.0]]), 2.0).tolist()
    [[3.0, 3.0, 7.0, 7.0]]
    """
    reach = np.broadcast_to(np.asarray(radii, dtype=float).reshape(-1, 1), (len(centres), 2))
    return np.hstack([centres - reach, centres + reach])


def points_along(path: Array, *, step: float = 3.0) -> Array:
    """Return points at most `step` pixels apart along a path (n, 2).

    >>> len(points_along(np.array([[0.0, 0.0], [9.0, 0.0]])))
    4
    """
    pieces = [path[:1]]
    for start, end in pairwise(path):
        count = max(1, int(np.ceil(np.hypot(*(end - start)) / step)))
        pieces.append(start + (end - start) * np.linspace(0, 1, count + 1)[1:, None])
    return np.vstack(pieces)


def overlaps(box: Array, boxes: Array) -> NDArray[np.bool_]:
    """Return which of the boxes (n, 4) share area with the box (4,).

    >>> overlaps(np.array([0, 0, 2, 2]), np.array([[1, 1, 3, 3], [2, 0, 4, 2]])).tolist()
    [True, False]
    """
    return np.asarray((box[:2] < boxes[:, 2:]).all(axis=1) & (boxes[:, :2] < box[2:]).all(axis=1))


def place_label(
    anchor: Array,
    size: Array,
    *,
    radius: float,
    others: Array,
    forbidden: Array,
    crossed: Array,
    inside: Array,
) -> Array | None:
    """Return the box (4,) of a label of that size beside the point `anchor`, None if none fits.

    It lies wholly `inside` (4,), overlaps no `forbidden` box (n, 4) and is nearer to its own point
    than to any of the `others` (n, 2). Of the places left, the one over the fewest `crossed`
    points (n, 2) is taken, then the nearest.
    """
    # Candidates come nearest first, and of equals `min` takes the first.
    places = [
        box
        for box in _candidates(anchor, size, radius)
        if _contains(inside, box)
        and not overlaps(box, forbidden).any()
        and _distances(box, anchor[None])[0] <= _distances(box, others).min(initial=np.inf)
    ]
    return min(places, key=lambda box: _points_inside(box, crossed), default=None)


def fit_figure(figure: Figure, axes: Axes, *, padding_inches: float = 0.15) -> None:
    """Resize the figure to hold all that is drawn, without changing the size of the axes."""
    width, height = figure.get_size_inches()
    box = axes.get_position()
    # In inches; it changes with the size, but what is outside the axes does not.
    tight = figure.get_tightbbox()
    new_width, new_height = tight.width + 2 * padding_inches, tight.height + 2 * padding_inches
    left = box.x0 * width - tight.x0 + padding_inches
    bottom = box.y0 * height - tight.y0 + padding_inches
    axes.set_position(
        Bbox.from_bounds(
            left / new_width,
            bottom / new_height,
            box.width * width / new_width,
            box.height * height / new_height,
        )
    )
    figure.set_size_inches(new_width, new_height)


def _candidates(anchor: Array, size: Array, radius: float) -> list[Array]:
    boxes = []
    for gap in _GAPS:
        for direction in np.array(_DIRECTIONS, dtype=float):
            # On the diagonals a corner of the label, not the middle of a side, meets the point.
            reach = (radius + gap) * (0.75 if direction.all() else 1.0)
            corner = anchor + direction * (reach + size / 2) - size / 2
            boxes.append(np.concatenate([corner, corner + size]))
    return boxes


def _contains(outer: Array, box: Array) -> bool:
    return bool((outer[:2] <= box[:2]).all() and (box[2:] <= outer[2:]).all())


def _distances(box: Array, points: Array) -> Array:
    beyond = np.maximum(np.maximum(box[:2] - points, points - box[2:]), 0.0)
    return np.asarray(np.hypot(beyond[:, 0], beyond[:, 1]))


def _points_inside(box: Array, points: Array) -> int:
    return int(((points > box[:2]) & (points < box[2:])).all(axis=1).sum())


_ABOVE_POINTS = 5.0


def draw_labels(axes: Axes, selection: Selection, marks: Marks) -> None:
    """Name each block of the front once, at the first of its front's points with room for it."""
    room = _Room(axes, selection, marks)
    for name, results in _front_blocks(selection).items():
        for result in results:
            label = _unplaced(axes, name, result)
            if room.give_place(label, result):
                break
            # It was drawn to learn its size.
            label.remove()


class _Room:
    """The space left within the axes, in pixels; each label placed takes some of it."""

    def __init__(self, axes: Axes, selection: Selection, marks: Marks) -> None:
        self.axes, self.marks = axes, marks
        self.pixels_per_point = float(axes.figure.dpi) / 72
        # Else a label might touch the frame.
        margin = 3 * self.pixels_per_point
        self.inside = np.array(axes.bbox.padded(-margin).extents)
        radii = np.array([self._radius(result) for result in selection.results])
        self.points = self._pixels(_places(selection.results))
        self.taken = boxes_around(self.points, radii)
        self.lines = np.vstack([points_along(self._visible(path)) for path in _paths(selection)])

    def give_place(self, label: Annotation, result: Result) -> bool:
        """Move the label beside the result's point; False where it fits nowhere."""
        anchor = self._pixels(_places([result]))[0]
        box = place_label(
            anchor,
            np.array(label.get_window_extent().size),
            radius=self._radius(result),
            others=self.points,
            forbidden=self.taken,
            crossed=self.lines,
            inside=self.inside,
        )
        if box is None:
            return False
        # Labels are anchored at their middle, in points, so that the file may be rescaled.
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

    def _radius(self, result: Result) -> float:
        return (self.marks.diameter_points(result) / 2 + 1) * self.pixels_per_point


def _front_blocks(selection: Selection) -> dict[str, list[Result]]:
    """Return the front's results by block, the most accurate first."""
    groups: dict[str, list[Result]] = {}
    for result in sorted(selection.front(), key=lambda result: (-result.accuracy, result.block)):
        groups.setdefault(result.block, []).append(result)
    return groups


def _unplaced(axes: Axes, name: str, result: Result) -> Annotation:
    return axes.annotate(
        name,
        xy=(result.cost, result.accuracy),
        xytext=(0, 0),
        textcoords="offset points",
        ha="center",
        va="center",
        fontsize=8,
        color=theme().ink,
        zorder=_ABOVE_POINTS,
        parse_math=False,
        path_effects=[withStroke(linewidth=2, foreground=theme().paper, alpha=0.8)],
    )


def _places(results: Sequence[Result]) -> Array:
    return np.array([(result.cost, result.accuracy) for result in results], dtype=float)


def _paths(selection: Selection) -> list[Array]:
    """Return the lines a label should rather not cross: joins, the front's steps, intervals."""
    paths = [_places(results) for results in selection.by_block().values()]
    front = _places(selection.front())
    corners = np.column_stack([front[1:, 0], front[:-1, 1]])
    steps = np.empty((2 * len(front) - 1, 2))
    steps[0::2], steps[1::2] = front, corners
    return [*paths, steps, *(bar for result in selection.results for bar in _bars(result))]


def _bars(result: Result) -> list[Array]:
    bars = []
    if result.cost_interval:
        bars.append(np.array([(end, result.accuracy) for end in result.cost_interval]))
    if result.accuracy_interval:
        bars.append(np.array([(result.cost, end) for end in result.accuracy_interval]))
    return bars
