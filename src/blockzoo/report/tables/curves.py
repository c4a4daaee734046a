"""The ends of curves as a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from blockzoo.analysis.curves import Curve, Point
from blockzoo.report.tables.fitting import Side, fitted_table


def curves_table(
    curves: Sequence[Curve], title: str, x_name: str, *, scale: float = 1.0, width: int = 200
) -> Table:
    """Return a row for each curve: where it begins and ends, with the 95% intervals of the means.

    What does not fit into `width` characters is left out whole and named below the table.

    >>> [column.header for column in curves_table([], "T", "epoch").columns]
    ['position', 'block', 'seeds', 'epoch', 'first', 'epoch ', 'last', '95%']
    """
    # Two columns are of one name, told apart by a blank.
    right = ("seeds", x_name, "first", f"{x_name} ", "last", "95%")
    columns: dict[str, Side] = {
        **dict.fromkeys(("position", "block"), "left"),
        **dict.fromkeys(right, "right"),
    }
    rows = []
    for curve in curves:
        first, last = curve.points[0], curve.points[-1]
        failed = f" ({curve.failed} failed)" if curve.failed else ""
        rows.append(
            [
                str(curve.position),
                curve.block,
                f"{last.y.n}{failed}",
                f"{first.x:g}",
                f"{scale * first.y.mean:.2f}",
                f"{last.x:g}",
                f"{scale * last.y.mean:.2f}",
                _interval(last, scale),
            ]
        )
    return fitted_table(
        title,
        columns,
        rows,
        dispensable=("first", x_name, "95%", "seeds"),
        wrapped="block",
        width=width,
    )


def _interval(point: Point, scale: float) -> str:
    low, high = point.y.low, point.y.high
    return "-" if low is None or high is None else f"{scale * low:.2f} to {scale * high:.2f}"
