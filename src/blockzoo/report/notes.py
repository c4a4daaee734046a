"""The sentences around a figure: title, subtitle, and the note on what is and is not shown."""

from __future__ import annotations

from matplotlib.axes import Axes

from blockzoo.report.cells import CostAxis, Interval, Selection


def title_of(selection: Selection, cost: CostAxis) -> str:
    """Return what is compared, and the data set."""
    return f"Accuracy against {cost.title} on {selection.dataset}"


def subtitle_of(selection: Selection) -> str:
    """Return the protocol, where it is known, and the number of seeds."""
    fewest = min(cell.seeds for cell in selection.cells)
    most = max(cell.seeds for cell in selection.cells)
    count = str(most) if fewest == most else f"{fewest} to {most}"
    seeds = "one seed per cell" if most == 1 else f"mean of {count} seeds"
    return f"protocol {selection.protocol}, {seeds}" if selection.protocol else seeds


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
        "Cells of one seed have no interval of accuracy.": selection.has_single_seeds,
        f"{_cells(shared)} exactly on another.": shared,
        f"{_cells(unpriced)} without {cost.title} not shown.": unpriced,
        f"{_cells(untrained)} without accuracy not shown.": untrained,
        f"Latency measured on {' and '.join(selection.hardware)}.": selection.hardware,
    }
    return [sentence for sentence, holds in sentences.items() if holds]


def _cells(count: int) -> str:
    return "1 cell" if count == 1 else f"{count} cells"


def _bars_are_cut(axes: Axes, selection: Selection) -> bool:
    x_limits, y_limits = axes.get_xlim(), axes.get_ylim()
    return any(
        _reaches_beyond(cell.cost_interval, x_limits)
        or _reaches_beyond(cell.accuracy_interval, y_limits)
        for cell in selection.cells
    )


def _reaches_beyond(interval: Interval | None, limits: Interval) -> bool:
    return interval is not None and (interval[0] < limits[0] or interval[1] > limits[1])
