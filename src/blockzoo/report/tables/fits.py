"""Blocks fitted to a budget, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from blockzoo.core.names import settings_of
from blockzoo.experiments.matching import Fit
from blockzoo.report.tables.fitting import FittedTable
from blockzoo.report.tables.layout import Kind
from blockzoo.results.budgets import Match

_COLUMNS: dict[str, Kind] = {
    "position": "label",
    "block": "name",
    "as run": "text",
    **dict.fromkeys(("stage", "target", "off"), "number"),
}
_SCALES = {
    "macs": (1e6, "MMACs"),
    "params": (1e3, "k params"),
    "latency": (1.0, "times its latency"),
}


def fits_table(fits: Sequence[Fit], match: Match) -> FittedTable:
    """Return a row for each block and position: as what it is run, and what its stage costs.

    A block that cannot reach its target has a row too, which says so.

    >>> from blockzoo.core.position import Position
    >>> fit = Fit(block="A", position=Position.MID, fitted="A", knob="k", cost=50, target=100)
    >>> list(fits_table([fit], Match(cost="macs")).columns)
    ['position', 'block', 'as run', 'stage', 'target', 'off']

    So has one that is not timed well enough to say that it does.
    """
    scale, unit = _SCALES[match.cost]
    table = FittedTable(
        title=f"Stages fitted to {match.budget:g} of the context block's, {unit}",
        columns=_COLUMNS,
        dispensable=("target", "stage"),
    )
    for each in fits:
        table.add_row(
            str(each.position),
            each.block,
            _setting(each),
            f"{each.cost / scale:,.2f}",
            f"{each.target / scale:,.2f}",
            f"{each.off:+.1%}",
        )
    return table


def _setting(fit: Fit) -> str:
    if fit.is_uncertain:
        return f"not sure: +-{fit.half_width / fit.target:.1%}"
    if not fit.reached:
        return "cannot reach it"
    last_resort = " (last resort)" if "depth" in settings_of(fit.fitted) else ""
    turned = fit.fitted.removeprefix(fit.block)[1:-1].replace("][", ", ")
    return f"{turned or 'as published'}{last_resort}"
