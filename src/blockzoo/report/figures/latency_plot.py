"""Latencies alone: the ratio of every timing to the baseline that was timed beside it."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from blockzoo.core.errors import ResultsError
from blockzoo.report.figures.captions import write_note, write_title
from blockzoo.report.figures.colours import theme
from blockzoo.report.figures.layout import fit_figure
from blockzoo.report.figures.style import house_style
from blockzoo.report.tables.latencies import differing_ways, timing_of

_ROW_INCHES, _WIDTH_INCHES = 0.24, 6.4


def plot_latencies(frame: pd.DataFrame) -> Figure:
    """Draw the timings of a frame of `load_latencies`, of one baseline, one below the other.

    Beside each stand its median and its verdict. Medians of several runs are not comparable, so
    the place on the axis is the ratio. Raises `ResultsError` for several baselines and for a frame
    in which no timing has a ratio.
    """
    drawn = frame[frame["latency_ratio"].notna()].iloc[::-1]  # the first on top
    baselines = sorted({*drawn["latency_baseline"]})
    if len(baselines) != 1:
        raise ResultsError(
            f"one figure of latencies has one baseline; given {', '.join(baselines) or 'none'}"
        )
    with house_style():
        figure = Figure()
        FigureCanvasAgg(figure)
        axes = _axes(figure, len(drawn))
        _draw(axes, drawn)
        write_title(axes, f"Latency over that of {baselines[0]}", "timed in the same rounds")
        write_note(axes, _note(frame, drawn))
        fit_figure(figure, axes)
    return figure


def _axes(figure: Figure, rows: int) -> Axes:
    height = max(1.5, _ROW_INCHES * rows)
    figure.set_size_inches(_WIDTH_INCHES + 4, height + 2)
    share = 1 / (_WIDTH_INCHES + 4), 1 / (height + 2)
    axes = figure.add_axes((3 * share[0], share[1], _WIDTH_INCHES * share[0], height * share[1]))
    axes.grid(visible=True, axis="x")
    axes.set_xlabel("Latency ratio")
    return axes


def _draw(axes: Axes, drawn: pd.DataFrame) -> None:
    differing = differing_ways(drawn)
    rows = drawn.to_dict("records")
    axes.axvline(1.0, color=theme().quiet, linewidth=0.8)
    for place, row in enumerate(rows):
        ratio = float(row["latency_ratio"])
        low, high = (_known(row[f"latency_ratio_{end}"], ratio) for end in ("low", "high"))
        bar = [[max(0.0, ratio - low)], [max(0.0, high - ratio)]]
        axes.errorbar([ratio], [place], xerr=bar, fmt="o", markersize=4, color="C0", elinewidth=0.9)
        axes.annotate(
            f"{row['latency_ms']:.3g} ms, {row['latency_verdict'] or 'no verdict'}",
            xy=(1, place),
            xycoords=axes.get_yaxis_transform(),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            annotation_clip=False,
            parse_math=False,
        )
    axes.set_yticks(range(len(rows)), [_label(row, differing) for row in rows])
    for label in axes.get_yticklabels():
        label.set_parse_math(False)  # names come from users
    axes.set_ylim(-0.7, len(rows) - 0.3)


def _label(row: Mapping[Hashable, Any], differing: Mapping[str, str]) -> str:
    ways = (str(row[name]) for name in differing)
    return " ".join((str(row["block"]), str(row["position"]), *filter(None, ways)))


def _known(value: float, otherwise: float) -> float:
    return otherwise if math.isnan(value) else value


def _note(frame: pd.DataFrame, drawn: pd.DataFrame) -> list[str]:
    runs, missing = timing_of(drawn).nunique(), len(frame) - len(drawn)
    sentences = {
        "Bars are 95% intervals.": True,
        f"Timed in {runs} runs or environments: compare ratios, not milliseconds.": runs > 1,
        f"{missing} without a ratio not shown.": missing > 0,
    }
    return [sentence for sentence, holds in sentences.items() if holds]
