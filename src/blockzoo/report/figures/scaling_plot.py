"""Speed and rank of blocks over batch sizes, resolutions or threads: two panels, one figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from blockzoo.analysis.scaling import ScalingAxis, scaling_frame
from blockzoo.core.errors import ResultsError
from blockzoo.core.position import POSITIONS, Position
from blockzoo.core.run_way import RunWay
from blockzoo.report.figures.colours import theme
from blockzoo.report.figures.style import BlockLook, assign_looks, house_style
from blockzoo.results.environment import Environment
from blockzoo.results.records import LatencyRecord

AXIS_LABELS = {
    "batch_size": "batch size (images)",
    "resolution": "height and width of the input (pixels)",
    "threads": "threads",
}
_INCHES = (11.0, 4.8)
_MARKER_POINTS = 5.0
_NOTE_POINTS = 7.5


def plot_scaling(frame: pd.DataFrame, axis: str, *, title: str, note: Sequence[str]) -> Figure:
    """Draw images per second, and the rank by it, against one axis of `scaling_frame`.

    `note` is written below, sentence by sentence: how it was measured. Raises `ResultsError` where
    only one value of the axis was measured.
    """
    values = sorted(frame[axis].unique())
    if len(values) < 2:
        raise ResultsError(f"one {axis} was measured; a plot over it needs two")
    looks = assign_looks(frame["block"])
    with house_style():
        figure = Figure(figsize=_INCHES, layout="constrained")
        FigureCanvasAgg(figure)
        speed, rank = figure.subplots(1, 2, sharex=True)
        _draw_lines(speed, frame, axis, "images_per_s", looks)
        _draw_intervals(speed, frame, axis, looks)
        # Logarithmic: blocks differ by factors, and so do the values of an axis.
        speed.set_yscale("log")
        speed.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        speed.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        speed.yaxis.set_minor_formatter(NullFormatter())
        speed.set_ylabel("images per second")
        _draw_lines(rank, frame, axis, "rank", looks)
        _finish_ranks(rank, frame, axis, values)
        for axes in (speed, rank):
            # Batches, sizes and threads are mostly powers of two.
            axes.set_xscale("log", base=2)
            # Ticks where something was measured and nowhere else.
            axes.xaxis.set_major_locator(FixedLocator(values))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.set_xlabel(AXIS_LABELS[axis])
            axes.grid(visible=True)
        figure.suptitle(
            title, x=0.01, ha="left", fontsize=11.5, fontweight="bold", color=theme().ink
        )
        figure.supxlabel(
            " ".join(note), x=0.01, ha="left", fontsize=_NOTE_POINTS, color=theme().quiet
        )
    return figure


def _draw_lines(
    axes: Axes, frame: pd.DataFrame, axis: str, column: str, looks: Mapping[str, BlockLook]
) -> None:
    for block, rows in frame.sort_values(axis).groupby("block"):
        look = looks[str(block)]
        axes.plot(
            rows[axis].to_numpy(),
            rows[column].to_numpy(),
            color=look.colour,
            marker=look.marker,
            linestyle=look.line,
            markersize=_MARKER_POINTS * look.scale,
            linewidth=1.2,
        )


def _draw_intervals(
    axes: Axes, frame: pd.DataFrame, axis: str, looks: Mapping[str, BlockLook]
) -> None:
    batches = frame["batch_size"].to_numpy() * 1e3
    # The slow end of a latency is the low end of a speed.
    slow, fast = batches / frame["high_ms"].to_numpy(), batches / frame["low_ms"].to_numpy()
    colours = [looks[block].colour for block in frame["block"]]
    axes.vlines(frame[axis].to_numpy(), slow, fast, colors=colours, linewidth=1.0)


def _finish_ranks(axes: Axes, frame: pd.DataFrame, axis: str, values: Sequence[int]) -> None:
    """Name the blocks where their lines end; the first rank is on top."""
    highest = int(frame["rank"].max())
    axes.set_ylim(highest + 0.5, 0.5)
    axes.yaxis.set_major_locator(FixedLocator(range(1, highest + 1)))
    axes.set_ylabel("rank (1 is the fastest)")
    for block, rows in frame.groupby("block"):
        last = rows.sort_values(axis).iloc[-1]
        axes.annotate(
            str(block),
            xy=(last[axis], last["rank"]),
            xytext=(8 if last[axis] == values[-1] else 4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            annotation_clip=False,
            parse_math=False,
        )


def scaling_figure(records: Sequence[LatencyRecord], axis: ScalingAxis) -> Figure:
    """Return the plot of speed and rank over the axis, with how it was measured below it."""
    timed = [record for record in records if record.status == "ok"]
    # A network that is the same at several positions stands for all of them.
    position = next(p for p in POSITIONS if all(p in record.shown for record in timed))
    samples = [len(record.samples_ms) for record in timed]
    note = scaling_note(timed[0].way, timed[0].environment, samples)
    return plot_scaling(
        scaling_frame(records), axis, title=scaling_title(axis, position), note=note
    )


def scaling_title(axis: ScalingAxis, position: Position) -> str:
    """Return what the plot over that axis is called."""
    return f"Speed and rank by {axis.replace('_', ' ')}, {position} stage"


def scaling_note(
    way: RunWay, environment: Environment, samples: Sequence[int]
) -> tuple[str, str, str]:
    """Return how all that is in a plot was measured, sentence by sentence.

    `samples`: how many each network has at each value.
    """
    where = environment.accelerator or environment.named_processor
    return (
        f"Deploy form, {way.label(('precision', 'backend'))}, {where}, torch {environment.torch}.",
        f"Medians of {min(samples)} to {max(samples)} samples; bars are 95% intervals.",
        f"Commit {(environment.commit or 'unknown')[:12]}.",
    )
