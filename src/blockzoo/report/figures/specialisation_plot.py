"""A heat map of blocks by position: gain over the context block, and the verdict beside it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from blockzoo.analysis.specialisation import Specialisation
from blockzoo.core.position import POSITIONS
from blockzoo.report.figures.colours import theme
from blockzoo.report.figures.style import house_style

# Orange to purple: the colour-blind tell its two ends apart, and both from the white between.
_COLOURS = "PuOr"
_WIDTH_INCHES, _ROW_INCHES, _REST_INCHES = 8.0, 0.3, 1.5
_PALE = 0.6
"""Up to this share of the largest gain the ground is pale enough for dark digits."""


def specialisation_figure(found: Sequence[Specialisation]) -> Figure:
    """Return the heat map: a row for each block, in points of test accuracy, the best gain first.

    What was not trained is left blank.

    >>> specialisation_figure([]).axes[0].get_title()
    'gain in test accuracy over the context block, points'
    """
    gains = [_gains(each) for each in found]
    order = sorted(range(len(found)), key=lambda row: -_mean(gains[row]))
    values = np.array([gains[row] for row in order] or [[np.nan] * len(POSITIONS)])
    with house_style():
        height = _REST_INCHES + _ROW_INCHES * len(values)
        figure = Figure(figsize=(_WIDTH_INCHES, height), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        largest = float(np.nanmax(np.abs(values), initial=0.1))
        image = axes.imshow(values, cmap=_COLOURS, vmin=-largest, vmax=largest, aspect="auto")
        axes.set_xticks(range(len(POSITIONS)), [str(position) for position in POSITIONS])
        axes.set_yticks(range(len(order)), [_label(found[row], found) for row in order])
        for (row, column), value in np.ndenumerate(values):
            if not np.isnan(value):
                # Of the cell and not of the paper: its colour is the same on both.
                ink = "black" if abs(value) < _PALE * largest else "white"
                axes.text(column, row, f"{value:+.2f}", ha="center", va="center", color=ink)
        for row, index in enumerate(order):
            verdict = found[index].verdict
            axes.text(
                len(POSITIONS) - 0.4, row, verdict, va="center", color=theme().quiet, clip_on=False
            )
        axes.set_title("gain in test accuracy over the context block, points", fontsize="small")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        figure.colorbar(image, ax=axes, location="bottom", fraction=0.04, aspect=40)
    return figure


def _gains(each: Specialisation) -> list[float]:
    of_position = {gain.position: gain.over_context for gain in each.gains}
    found = [of_position.get(position) for position in POSITIONS]
    return [np.nan if gain is None else 100 * gain.mean for gain in found]


def _mean(gains: Sequence[float]) -> float:
    known = [gain for gain in gains if not np.isnan(gain)]
    return sum(known) / len(known) if known else -np.inf


def _label(each: Specialisation, found: Sequence[Specialisation]) -> str:
    if len({other.terms for other in found}) == 1:
        return each.block
    return f"{each.block} ({', '.join(filter(None, (*each.terms.title, each.variant)))})"
