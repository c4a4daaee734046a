"""Curves with bands: a panel for each position, a line for each block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FormatStrFormatter, MaxNLocator, NullLocator

from blockzoo.analysis.curves import Curve
from blockzoo.core.position import POSITIONS
from blockzoo.report.figures.style import BlockLook, assign_looks, house_style

_PANEL_INCHES, _LEGEND_INCHES, _HEIGHT_INCHES = 4.0, 2.2, 3.6
_LEGEND_ROWS = 17
"""Of so many blocks is a column of the legend that is as high as a panel."""
_BAND, _ALL_BANDS = 0.15, 0.5
"""Opacity of a band, and of all together where they lie over one another."""


def curves_figure(
    curves: Sequence[Curve], *, x_title: str, y_title: str, scale: float = 1.0
) -> Figure:
    """Return a row of panels for what was trained on each terms; values are multiplied by `scale`.

    A band is the 95% interval of the mean over seeds; one seed has none.

    >>> curves_figure([], x_title="epoch", y_title="accuracy").axes
    []
    """
    terms = list(dict.fromkeys(curve.terms for curve in curves))
    positions = [p for p in POSITIONS if any(curve.position is p for curve in curves)]
    looks = assign_looks(curve.block for curve in curves)
    with house_style():
        columns = -(-len(looks) // _LEGEND_ROWS)
        width = _PANEL_INCHES * max(1, len(positions)) + _LEGEND_INCHES * columns
        height = _HEIGHT_INCHES * max(1, len(terms))
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        if curves:
            panels = figure.subplots(len(terms), len(positions), squeeze=False, sharey="row")
            for row, its_terms in zip(panels, terms, strict=True):
                for axes, position in zip(row, positions, strict=True):
                    here = [c for c in curves if c.terms == its_terms and c.position is position]
                    _panel(axes, here, looks, scale)
                    axes.set_title(", ".join((*its_terms.title, str(position))), fontsize="small")
                    axes.set_xlabel(x_title)
                row[0].set_ylabel(y_title)
            lines = {str(line.get_label()): line for axes in panels.flat for line in axes.lines}
            named = [lines[block] for block in looks if block in lines]
            figure.legend(handles=named, loc="outside right upper", ncols=columns, fontsize="small")
    return figure


def _panel(
    axes: Axes, curves: Sequence[Curve], looks: Mapping[str, BlockLook], scale: float
) -> None:
    for curve in curves:
        look = looks[curve.block]
        xs = [point.x for point in curve.points]
        axes.plot(
            xs,
            [scale * point.y.mean for point in curve.points],
            label=curve.block,
            color=look.colour,
            marker=look.marker,
            linestyle=look.line,
            markersize=4 * look.scale,
            fillstyle=look.fill,
            linewidth=1.0,
        )
        lows = [point.y.mean if point.y.low is None else point.y.low for point in curve.points]
        highs = [point.y.mean if point.y.high is None else point.y.high for point in curve.points]
        axes.fill_between(
            xs,
            [scale * low for low in lows],
            [scale * high for high in highs],
            color=look.colour,
            alpha=min(_BAND, _ALL_BANDS / len(curves)),
            linewidth=0,
        )
    xs = sorted({point.x for curve in curves for point in curve.points})
    if all(x == int(x) for x in xs):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    else:  # multiples of a budget, each twice the last as a rule
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(xs))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.grid(visible=True)
