"""Accuracy against a cost, with how likely each block is on the front."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter

from blockzoo.analysis.fronts import Candidate, Front
from blockzoo.report.figures.colours import theme
from blockzoo.report.figures.style import house_style
from blockzoo.report.tables.fronts import COST_TITLES, cost_scale
from blockzoo.stats.accuracy import shown_interval

_WIDTH_INCHES, _HEIGHT_INCHES = 8.0, 5.0
_NAMED_FROM = 0.05
"""Candidates that are less likely on the front are drawn without their names."""


def front_figure(found: Sequence[Front]) -> Figure:
    """Return a panel for each front: the darker a block, the more likely it is on the front.

    Pale grey is a block of too few seeds, for which nothing can be said.

    >>> front_figure([]).axes
    []
    """
    with house_style():
        figure = Figure(
            figsize=(_WIDTH_INCHES, _HEIGHT_INCHES * max(1, len(found))), layout="constrained"
        )
        FigureCanvasAgg(figure)
        if found:
            panels = figure.subplots(len(found), squeeze=False)
            for axes, front in zip(panels[:, 0], found, strict=True):
                _panel(figure, axes, front)
    return figure


def _panel(figure: Figure, axes: Axes, front: Front) -> None:
    factor = cost_scale(front.cost)
    for each in front.candidates:
        _intervals(axes, each, factor)
    points = axes.scatter(
        [each.cost.value * factor for each in front.candidates],
        [100 * each.accuracy.mean for each in front.candidates],
        c=[each.probability if each.judged else np.nan for each in front.candidates],
        plotnonfinite=True,
        cmap=matplotlib.colormaps[theme().growing].with_extremes(bad=theme().faint),
        vmin=0,
        vmax=1,
        edgecolors=[theme().ink if each.within else "none" for each in front.candidates],
        zorder=3,
    )
    line = sorted(
        (each.cost.value * factor, 100 * each.accuracy.mean)
        for each in front.candidates
        if each.on_front
    )
    axes.step(
        [x for x, _ in line], [y for _, y in line], where="post", color=theme().quiet, linewidth=0.8
    )
    for each in front.candidates:
        if each.on_front or (each.judged and each.probability >= _NAMED_FROM):
            place = (each.cost.value * factor, 100 * each.accuracy.mean)
            axes.annotate(each.name, place, (4, 4), textcoords="offset points", fontsize=7)
    axes.set_xscale("log")
    for of_axis in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
        of_axis(FormatStrFormatter("%g"))
    axes.grid(visible=True)
    axes.set_xlabel(COST_TITLES[front.cost] + (f" ({front.timed})" if front.timed else ""))
    axes.set_ylabel("test accuracy, %")
    axes.set_title(", ".join(front.terms.title), fontsize="small")
    figure.colorbar(points, ax=axes, label="probability of being on the front")


def _intervals(axes: Axes, each: Candidate, factor: float) -> None:
    x, y = each.cost.value * factor, 100 * each.accuracy.mean
    if (interval := shown_interval(each.accuracy)) is not None:
        ends = [100 * end for end in interval]
        axes.plot([x, x], ends, color=theme().quiet, linewidth=0.6)
    if each.cost.interval is not None:
        axes.plot(
            [end * factor for end in each.cost.interval], [y, y], color=theme().quiet, linewidth=0.6
        )
