"""The ends of curves as a table."""

from __future__ import annotations

from collections.abc import Sequence

from blockzoo.analysis.curves import Curve, Point
from blockzoo.report.tables.fitting import FittedTable
from blockzoo.report.tables.layout import Kind


def curves_table(
    curves: Sequence[Curve], title: str, x_name: str, *, scale: float = 1.0
) -> FittedTable:
    """Return a row for each curve: where it begins and ends, with the 95% intervals of the means.

    >>> list(curves_table([], "T", "epoch").columns)
    ['position', 'block', 'seeds', 'first epoch', 'first', 'last epoch', 'last', '95%']
    """
    ends = (f"first {x_name}", "first", f"last {x_name}", "last")
    numbers: dict[str, Kind] = dict.fromkeys(("seeds", *ends, "95%"), "number")
    table = FittedTable(
        title=title,
        columns={"position": "label", "block": "name", **numbers},
        dispensable=("first", f"first {x_name}", "95%", "seeds"),
    )
    for curve in curves:
        first, last = curve.points[0], curve.points[-1]
        failed = f" ({curve.failed} failed)" if curve.failed else ""
        table.add_row(
            str(curve.position),
            curve.block,
            f"{last.y.n}{failed}",
            f"{first.x:g}",
            f"{scale * first.y.mean:.2f}",
            f"{last.x:g}",
            f"{scale * last.y.mean:.2f}",
            _interval(last, scale),
        )
    return table


def _interval(point: Point, scale: float) -> str:
    low, high = point.y.low, point.y.high
    return "-" if low is None or high is None else f"{scale * low:.2f} to {scale * high:.2f}"
