"""What trained networks answer once exported, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from blockzoo.core.run_way import RunWay
from blockzoo.experiments.exported import Exported
from blockzoo.report.tables.fitting import FittedTable
from blockzoo.report.tables.layout import Kind
from blockzoo.stats.paired_seeds import mean_interval

_COLUMNS: dict[str, Kind] = {
    "position": "label",
    "block": "name",
    "run as": "label",
    **dict.fromkeys(("seeds", "accuracy", "less trained", "95%", "as eager", "MB"), "number"),
}


def exported_table(found: Sequence[Exported]) -> FittedTable:
    """Return a row for each block, position and way: accuracy, and what running it so costs of it.

    Accuracies are percentages, means over seeds; "less trained" is in points, with the 95% interval
    of its mean.

    >>> len(exported_table([]).columns)
    9
    """
    table = FittedTable(
        title="Test accuracy as exported",
        columns=_COLUMNS,
        dispensable=("MB", "95%", "seeds", "as eager"),
    )
    for _, group in groupby(sorted(found, key=_row), key=_row):
        table.add_row(*_cells(list(group)))
    return table


def _row(each: Exported) -> tuple[int, str, str]:
    return each.position.stage_index, each.block, _named(each.way)


def _named(way: RunWay) -> str:
    return f"{way.backend} {way.precision}"


def _cells(seeds: Sequence[Exported]) -> list[str]:
    first = seeds[0]
    cells = [str(first.position), first.block, _named(first.way), str(len(seeds))]
    accuracies = [each.accuracy for each in seeds if each.accuracy is not None]
    if not accuracies:
        return [*cells, "-", "-", "-", "-", "-"]
    changes = [
        each.accuracy - each.trained_accuracy
        for each in seeds
        if each.accuracy is not None and each.trained_accuracy is not None
    ]
    agreements = [each.agreement for each in seeds if each.agreement is not None]
    change = mean_interval(changes) if changes else None
    low, high = (change.low, change.high) if change else (None, None)
    return [
        *cells[:3],
        f"{len(accuracies)}",
        f"{100 * mean_interval(accuracies).mean:.2f}",
        "-" if change is None else f"{100 * change.mean:+.2f}",
        "-" if low is None or high is None else f"{100 * low:+.2f} to {100 * high:+.2f}",
        f"{mean_interval(agreements).mean:.1%}" if agreements else "-",
        "-" if first.exported_bytes is None else f"{first.exported_bytes / 1e6:.2f}",
    ]


def reason_lines(found: Sequence[Exported]) -> list[str]:
    """Return a line for what has no accuracy, with the reason.

    >>> reason_lines([])
    []
    """
    return [
        f"{each.block} ({each.position}), seed {each.seed}, {_named(each.way)}: {each.reason}"
        for each in found
        if each.reason
    ]
