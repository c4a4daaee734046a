"""A forest plot: differences in accuracy with both intervals, a row for each pair."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from blockzoo.analysis.compare import Comparison
from blockzoo.report.figures.colours import theme
from blockzoo.report.figures.style import house_style
from blockzoo.stats.accuracy import MARGIN

_MARKERS = {"better": "^", "worse": "v", "equal": "s", "undecided": "o"}
_WIDTH_INCHES, _ROW_INCHES, _REST_INCHES = 8.0, 0.34, 1.6
_THICK, _THIN = 3.0, 1.0


def comparison_figure(comparisons: Sequence[Comparison], margin: float = MARGIN) -> Figure:
    """Return the forest plot of the pairs that have a difference, in points of accuracy.

    Thick lines are 95% intervals on these test images, thin ones for new images; the band is the
    margin within which blocks count as equal.

    >>> comparison_figure([]).axes[0].get_xlabel()
    'difference in test accuracy, points'
    """
    pairs = [c for c in comparisons if c.difference is not None and c.difference.low is not None]
    height = _REST_INCHES + _ROW_INCHES * max(len(pairs), 1)
    with house_style():
        figure = Figure(figsize=(_WIDTH_INCHES, height), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        axes.axvspan(-100 * margin, 100 * margin, color=theme().quiet, alpha=0.15, linewidth=0)
        axes.axvline(0, color=theme().quiet, linewidth=0.8)
        for row, pair in enumerate(pairs):
            _draw(axes, row, pair)
        names = [f"{c.block} less {c.other}, {c.position}" for c in pairs]
        axes.set_yticks(range(len(pairs)), names)
        axes.set_ylim(max(len(pairs), 1) - 0.5, -0.5)
        axes.set_xlabel("difference in test accuracy, points")
        axes.set_title("thick: on these test images; thin: for new images; 95%", fontsize="small")
        for verdict in dict.fromkeys(pair.verdict for pair in pairs):
            axes.plot([], [], _MARKERS[verdict], color=_colour(verdict), label=verdict)
        if pairs:
            figure.legend(loc="outside lower center", ncols=len(_MARKERS), frameon=False)
    return figure


def _draw(axes: Axes, row: int, pair: Comparison) -> None:
    difference = pair.difference
    assert difference is not None
    colour, marker = _colour(pair.verdict), _MARKERS[pair.verdict]
    intervals = ((pair.new_images, _THIN), ((difference.low, difference.high), _THICK))
    for interval, thickness in intervals:
        if interval is not None and interval[0] is not None and interval[1] is not None:
            ends = [100 * interval[0], 100 * interval[1]]
            axes.plot(ends, [row, row], color=colour, linewidth=thickness, solid_capstyle="butt")
    axes.plot([100 * difference.mean], [row], marker, color=colour, markersize=7)


def _colour(verdict: str) -> str:
    blue, vermilion, green, *_ = theme().blocks
    return {"better": green, "worse": vermilion, "equal": blue}.get(verdict, theme().quiet)
