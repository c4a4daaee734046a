"""What is written around the axes: title, axis labels, legends, the note below."""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation

from blockzoo.core.position import POSITIONS
from blockzoo.report.figures.colours import theme
from blockzoo.report.figures.points import CostAxis, Interval, Selection
from blockzoo.report.figures.style import (
    MARKER_POINTS,
    BlockLook,
    Marks,
    failure_cross,
    front_line,
    lone_marker,
)

_GAP_INCHES = 0.14
_LEGEND_POINTS, _NOTE_POINTS = 8.0, 7.5


def key_look() -> BlockLook:
    """Return the marker of a key, which is no block's."""
    return BlockLook(marker="o", colour=theme().quiet)


"""Of markers that stand for a size, not a block."""


def write_axis_labels(axes: Axes, selection: Selection, cost: CostAxis) -> None:
    """Label both axes, with units, and say which accuracies are shown."""
    source = " or ".join(selection.accuracy_sources)
    batch = f", batch {' or '.join(selection.batch_sizes)}" if selection.batch_sizes else ""
    axes.set_xlabel(f"{cost.label}{batch} ({selection.unit})")
    axes.set_ylabel(f"{source} accuracy (%)".strip().capitalize())


def write_title(axes: Axes, title: str, subtitle: str) -> None:
    """Write the title and, smaller, the subtitle above the axes."""
    # Names come from users, and a $ in them is no mathematics.
    axes.set_title(title, loc="left", pad=20, fontsize=11.5, fontweight="bold", parse_math=False)
    axes.annotate(
        subtitle,
        xy=(0, 1),
        xycoords="axes fraction",
        xytext=(0, 8),
        textcoords="offset points",
        fontsize=8.5,
        color=theme().quiet,
        parse_math=False,
    )


def write_note(axes: Axes, sentences: Sequence[str]) -> None:
    """Write the sentences below the axes, wrapped to their width."""
    width_points = axes.bbox.width / axes.figure.dpi * 72
    # A letter of this font is half as wide as it is high, on average.
    lines = textwrap.wrap(" ".join(sentences), int(width_points / (0.5 * _NOTE_POINTS)))
    axes.annotate(
        "\n".join(lines),
        xy=(0, 0),
        xycoords="axes fraction",
        # Points, past the numbers and the label of the axis.
        xytext=(0, -40),
        textcoords="offset points",
        va="top",
        fontsize=_NOTE_POINTS,
        linespacing=1.4,
        color=theme().quiet,
        parse_math=False,
    )


def draw_legends(axes: Axes, selection: Selection, marks: Marks) -> None:
    """Draw the key of sizes and lines and, below it, the blocks, right of the axes.

    The blocks take as many columns as they need to end where the axes end.
    """
    key = _key(axes, selection, marks)
    key_height = _height_inches(key) + _GAP_INCHES
    looks = {block: marks.looks[block] for block in selection.by_block()}
    blocks = _blocks(axes, looks, below_inches=key_height)
    available = axes.bbox.height / axes.figure.dpi - key_height
    # Drawn once to know its height, and again in columns where it is too high.
    columns = math.ceil(_height_inches(blocks) / available)
    if columns > 1:
        blocks.remove()
        _blocks(axes, looks, below_inches=key_height, columns=columns)


def _key(axes: Axes, selection: Selection, marks: Marks) -> Legend:
    entries = {
        f"{position} stage": lone_marker(
            key_look(), diameter_points=MARKER_POINTS[position] * marks.scale
        )
        for position in POSITIONS
    }
    entries["Pareto front"] = front_line()
    if selection.with_failures:
        entries["some seeds failed"] = failure_cross(MARKER_POINTS[POSITIONS[1]])
    if selection.has_intervals:
        entries["95% interval"] = Line2D(
            [], [], linestyle="none", marker="|", markersize=11, color=theme().quiet
        )
    return legend_beside(axes, entries, below_inches=0.0, columns=1)


def _blocks(
    axes: Axes, looks: Mapping[str, BlockLook], *, below_inches: float, columns: int = 1
) -> Legend:
    entries = {
        block: lone_marker(look, diameter_points=7.5 * look.scale) for block, look in looks.items()
    }
    return legend_beside(axes, entries, below_inches=below_inches, columns=columns)


def legend_beside(
    axes: Axes, entries: Mapping[str, Line2D], *, below_inches: float, columns: int
) -> Legend:
    """Draw a legend right of the axes, that far below their top."""
    shift = ScaledTranslation(_GAP_INCHES, -below_inches, axes.figure.dpi_scale_trans)
    legend = Legend(
        axes,
        list(entries.values()),
        [""] * len(entries),
        loc="upper left",
        bbox_to_anchor=(1, 1),
        bbox_transform=axes.transAxes + shift,
        ncols=columns,
        fontsize=_LEGEND_POINTS,
        frameon=False,
        borderaxespad=0,
        borderpad=0.3,
        labelspacing=0.45,
        columnspacing=1.4,
        handletextpad=0.5,
    )
    # Set afterwards because a legend would read "_name" as hidden and "$" as mathematics.
    for text, name in zip(legend.get_texts(), entries, strict=True):
        text.set_parse_math(False)
        text.set_text(name)
    axes.add_artist(legend)  # as an artist, for axes keep only one legend
    # It lies outside the axes, at whose edge it would be cut off.
    legend.set_clip_on(False)
    return legend


def _height_inches(legend: Legend) -> float:
    return float(legend.get_window_extent().height / legend.axes.figure.dpi)


def title_of(selection: Selection, cost: CostAxis) -> str:
    """Return what is compared, and the data set."""
    return f"Accuracy against {cost.title} on {selection.dataset}"


def subtitle_of(selection: Selection) -> str:
    """Return the protocol, where it is known, and the number of seeds."""
    fewest = min(result.seeds for result in selection.results)
    most = max(result.seeds for result in selection.results)
    count = str(most) if fewest == most else f"{fewest} to {most}"
    seeds = "one seed per result" if most == 1 else f"mean of {count} seeds"
    protocol = f"protocol {selection.protocol}" if selection.protocol else ""
    return ", ".join(filter(None, (protocol, selection.variant, seeds)))


def note_of(axes: Axes, selection: Selection, cost: CostAxis) -> list[str]:
    """Return the sentences below the figure whose axes show the selection."""
    cut = _bars_are_cut(axes, selection)
    shared, unpriced, untrained = (
        selection.at_shared_places,
        selection.without_cost,
        selection.without_accuracy,
    )
    sentences = {
        "Bars are 95% intervals.": selection.has_intervals,
        "Bars that reach the edge go on beyond it.": cut,
        "Results of one seed have no interval of accuracy.": selection.has_single_seeds,
        f"{_results(shared)} exactly on another.": shared,
        f"{_results(unpriced)} without {cost.title} not shown.": unpriced,
        f"{_results(untrained)} without accuracy not shown.": untrained,
        _failures(selection): selection.with_failures,
        f"Ratios are to {' or '.join(selection.baselines)}.": selection.baselines,
        f"Verdicts: {_verdicts(selection)}.": _verdicts(selection),
        f"Latency measured on {' and '.join(selection.hardware)}.": selection.hardware,
    }
    return [sentence for sentence, holds in sentences.items() if holds]


_NAMED = 6
"""Results with failed seeds that the note names; the others it counts."""


def _failures(selection: Selection) -> str:
    """Return the sentence on results of which some seeds failed."""
    named = [
        f"{each.failed} of {each.seeds + each.failed} of {each.block} {each.position}"
        for each in selection.with_failures[:_NAMED]
    ]
    more = len(selection.with_failures) - len(named)
    also = f" and some of {_results(more)} more" if more else ""
    return f"Seeds that failed are in no mean: {', '.join(named)}{also}."


def _verdicts(selection: Selection) -> str:
    """Return how many results have each verdict on their latency, as "2 faster, 1 undecided"."""
    counts = Counter(result.verdict for result in selection.results if result.verdict)
    return ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))


def _results(count: int) -> str:
    return "1 result" if count == 1 else f"{count} results"


def _bars_are_cut(axes: Axes, selection: Selection) -> bool:
    x_limits, y_limits = axes.get_xlim(), axes.get_ylim()
    return any(
        _reaches_beyond(result.cost_interval, x_limits)
        or _reaches_beyond(result.accuracy_interval, y_limits)
        for result in selection.results
    )


def _reaches_beyond(interval: Interval | None, limits: Interval) -> bool:
    return interval is not None and (interval[0] < limits[0] or interval[1] > limits[1])
