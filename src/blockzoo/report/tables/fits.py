"""Blocks fitted to a budget, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from blockzoo.experiments.matching import Fit
from blockzoo.report.tables.fitting import Side, fitted_table
from blockzoo.results.budgets import Match

_COLUMNS: dict[str, Side] = {
    **dict.fromkeys(("position", "block", "as run"), "left"),
    **dict.fromkeys(("stage", "target", "off"), "right"),
}
_SCALES = {
    "macs": (1e6, "MMACs"),
    "params": (1e3, "k params"),
    "latency": (1.0, "times its latency"),
}


def fits_table(fits: Sequence[Fit], match: Match, width: int = 200) -> Table:
    """Return a row for each block and position: as what it is run, and what its stage costs.

    A block that cannot reach its target has a row too, which says so. What does not fit into
    `width` characters is left out whole and named below the table.

    >>> from blockzoo.core.position import Position
    >>> fit = Fit(block="A", position=Position.MID, fitted="A", knob="k", cost=50, target=100)
    >>> [column.header for column in fits_table([fit], Match(cost="macs")).columns]
    ['position', 'block', 'as run', 'stage', 'target', 'off']
    """
    scale, unit = _SCALES[match.cost]
    rows = [
        [
            str(each.position),
            each.block,
            _setting(each),
            f"{each.cost / scale:,.2f}",
            f"{each.target / scale:,.2f}",
            f"{each.off:+.1%}",
        ]
        for each in fits
    ]
    return fitted_table(
        f"Stages fitted to {match.budget:g} of the context block's, {unit}",
        _COLUMNS,
        rows,
        dispensable=("target", "stage"),
        wrapped="block",
        width=width,
    )


def _setting(fit: Fit) -> str:
    if not fit.reached:
        return "cannot reach it"
    last_resort = " (last resort)" if fit.knob == "depth" and fit.fitted != fit.block else ""
    return f"{fit.fitted.removeprefix(fit.block).strip('[]') or 'as published'}{last_resort}"
