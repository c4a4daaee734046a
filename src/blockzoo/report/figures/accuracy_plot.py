"""Accuracy against cost: one figure per data set, protocol and cost.

Marker and colour tell the block, size the position, a thin line joins a block's positions. The
Pareto front is a step line, its points are filled. All other points are nearly transparent, so
that none can hide another.
"""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from blockzoo.report.figures.captions import (
    draw_legends,
    note_of,
    subtitle_of,
    title_of,
    write_axis_labels,
    write_note,
    write_title,
)
from blockzoo.report.figures.formats import require_format
from blockzoo.report.figures.layout import draw_labels, fit_figure, view_limits
from blockzoo.report.figures.points import CostAxis, Interval, Selection, select_results
from blockzoo.report.figures.style import BlockLook, Marks, assign_looks, draw_results, house_style

# A larger ratio of the largest to the smallest cost is drawn on a logarithmic axis.
_LOG_RATIO = 20.0
_AXES_INCHES = (6.4, 4.6)


def plot_accuracy(
    summary: pd.DataFrame,
    cost: CostAxis,
    *,
    looks: Mapping[str, BlockLook] | None = None,
) -> Figure:
    """Draw the accuracy of every block and position against one cost.

    A result of which some seeds failed is crossed out. `summary` is of one data set, protocol and
    set of terms, as `blockzoo.analysis.summary.summarize` gives it.
    `looks`, from `assign_looks`, keeps a block's look the same over several figures. Raises
    `ResultsError` for a summary of several, and where no result has an accuracy and the cost.

    >>> from blockzoo.report.figures.points import FLOPS
    >>> row = {"dataset": "digits", "protocol": "quick", "block": "A", "position": "mid"}
    >>> row |= {"n": 1, "failed": 0}
    >>> row |= {"accuracy": 0.9, "accuracy_low": None, "accuracy_high": None}
    >>> row |= {"accuracy_source": "test", "flops": 2e6}
    >>> figure = plot_accuracy(pd.DataFrame([row]), FLOPS)
    >>> figure.axes[0].get_title(loc="left")
    'Accuracy against FLOPs on digits'
    """
    selection = select_results(summary, cost)
    marks = Marks(
        looks=looks or assign_looks(summary["block"]),
        scale=0.85 if len(selection.results) > 60 else 1.0,
    )
    with house_style():
        figure = Figure()
        # Not by pyplot, which keeps every figure until it is closed and may look for a screen.
        FigureCanvasAgg(figure)
        axes = _axes(figure, len(selection.results))
        _set_view(axes, selection)
        draw_results(axes, selection, marks)
        write_axis_labels(axes, selection, cost)
        write_title(axes, title_of(selection, cost), subtitle_of(selection))
        write_note(axes, note_of(axes, selection, cost))
        draw_legends(axes, selection, marks)
        # Labels last: whether one fits is known only once the axes have their final size.
        fit_figure(figure, axes)
        draw_labels(axes, selection, marks)
    return figure


def render(figure: Figure, file_format: str) -> bytes:
    """Return the figure as a PNG or SVG file; the same figure always gives the same bytes.

    Raises `InputError` for any other format.
    """
    require_format(file_format)
    buffer = BytesIO()
    # An SVG would hold the time it was made, and so differ each time.
    metadata = {"Date": None} if file_format == "svg" else {}
    with house_style():
        # Within the style once more: how text and ids of an SVG are made is read only here.
        figure.savefig(buffer, format=file_format, metadata=metadata)
    return buffer.getvalue()


def _axes(figure: Figure, results: int) -> Axes:
    """Add axes that grow with the number of results, whatever else the figure will hold."""
    # The area grows with the results, not each side.
    growth = float(np.clip(np.sqrt(results / 40), 1.0, 1.5))
    width, height = (side * growth for side in _AXES_INCHES)
    figure.set_size_inches(width + 2, height + 2)
    axes = figure.add_axes(
        (1 / (width + 2), 1 / (height + 2), width / (width + 2), height / (height + 2))
    )
    axes.grid(visible=True)
    return axes


def _set_view(axes: Axes, selection: Selection) -> None:
    costs = [result.cost for result in selection.results]
    cost_intervals = [result.cost_interval for result in selection.results if result.cost_interval]
    if min(costs) > 0 and max(costs) > _LOG_RATIO * min(costs):
        _set_log_view(axes, costs, cost_intervals)
    else:
        span = 0.2 * max(costs) or 1.0
        low, high = view_limits(costs, cost_intervals, smallest_span=span)
        # No cost is below 0, but a marker at 0 needs a little room.
        axes.set_xlim(max(low, -0.05 * high), high)
    axes.set_ylim(_accuracy_limits(selection))


def _set_log_view(axes: Axes, costs: list[float], intervals: list[Interval]) -> None:
    # An interval that reaches down to 0 has no end on a logarithmic axis.
    positive = [(np.log10(low), np.log10(high)) for low, high in intervals if low > 0]
    low, high = view_limits([float(np.log10(c)) for c in costs], positive, smallest_span=1.0)
    axes.set_xscale("log")
    axes.set_xlim(10**low, 10**high)
    # Over few decades the powers of ten alone would leave an axis without numbers.
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high - low < 3 else (1,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    # Else the ticks between would have numbers of their own.
    axes.xaxis.set_minor_formatter(NullFormatter())


def _accuracy_limits(selection: Selection) -> Interval:
    """Return limits that leave room for markers at 0 and 100% but go no further."""
    low, high = view_limits(
        [result.accuracy for result in selection.results],
        [result.accuracy_interval for result in selection.results if result.accuracy_interval],
        smallest_span=1.0,
    )
    low, high = max(low, 0.0), min(high, 100.0)
    room = 0.05 * (high - low)
    return (low - room if low == 0 else low), (high + room if high == 100 else high)
