"""Fronts as tables, and what is best within limits in words."""

from __future__ import annotations

from blockzoo.analysis.fronts import Candidate, CostLimits, CostName, Front
from blockzoo.report.tables.fitting import FittedTable
from blockzoo.report.tables.layout import Kind
from blockzoo.report.tables.summary import seeds_text

COST_TITLES: dict[CostName, str] = {
    "latency": "latency ratio",
    "macs": "MMACs",
    "params": "params",
    "memory": "memory MB",
    "energy": "mJ per image",
}
_FORMS: dict[CostName, tuple[float, str]] = {
    "latency": (1.0, ".3f"),
    "macs": (1e-6, ",.1f"),
    "params": (1.0, ",.0f"),
    "memory": (1.0, ",.1f"),
    "energy": (1e3, ",.2f"),
}
_DISPENSABLE = ("dominated by", "seeds")
_SHOWN_OF_OTHERS = 2


def front_table(front: Front) -> FittedTable:
    """Return a row for each candidate, the cheapest first, and how likely it is on the front."""
    cost = COST_TITLES[front.cost]
    columns: dict[str, Kind] = {
        "block": "name",
        "position": "label",
        **dict.fromkeys((cost, "accuracy %", "seeds", "on the front"), "number"),
        "dominated by": "text",
    }
    variant = f" ({front.variant})" if front.variant else ""
    said = ["on the front: share of joint draws of accuracy and cost"]
    if front.timed:
        said.append(front.timed)
    if any(not each.within for each in front.candidates):
        said.append("x: beyond a limit")
    table = FittedTable(
        title=f"Accuracy against {cost}: {', '.join(front.terms.title)}{variant}",
        columns=columns,
        dispensable=_DISPENSABLE,
        caption="; ".join(said),
    )
    for each in front.candidates:
        table.add_row(*_cells(each, front.cost))
    return table


def _cells(each: Candidate, cost: CostName) -> list[str]:
    others = each.dominated_by
    more = len(others) - _SHOWN_OF_OTHERS
    shown = ", ".join(others[:_SHOWN_OF_OTHERS]) + (f" and {more} more" if more > 0 else "")
    return [
        each.block,
        each.place,
        _cost_text(each, cost) + ("" if each.within else " x"),
        f"{100 * each.accuracy.mean:.2f}",
        seeds_text(each.accuracy.n, each.failed),
        # Of one or two seeds no share is worth its digits.
        f"{each.probability:.0%}" if each.judged else "-",
        shown or "-",
    ]


def _cost_text(each: Candidate, cost: CostName) -> str:
    factor, form = _FORMS[cost]
    return f"{each.cost.value * factor:{form}}"


def cost_scale(cost: CostName) -> float:
    """Return what a cost is multiplied by to be in the unit of its title.

    >>> cost_scale("macs")
    1e-06
    """
    return _FORMS[cost][0]


def front_lines(front: Front, limits: CostLimits) -> list[str]:
    """Return who is best within the limits and how sure that is, and who could not be asked.

    >>> from blockzoo.analysis.groups import Terms
    >>> terms = Terms.of_row(dict.fromkeys(Terms._fields, ""))
    >>> empty = Front(terms=terms, cost="macs", candidates=(), left_out=("A mid",))
    >>> front_lines(empty, CostLimits())
    ['left out, for a cost is not known: A mid']
    """
    lines = []
    if limits.given and front.candidates:
        lines.append(_best_line(front, limits))
    if front.left_out:
        lines.append(f"left out, for a cost is not known: {', '.join(front.left_out)}")
    return lines


def _best_line(front: Front, limits: CostLimits) -> str:
    words = " and ".join(f"{name} up to {limit:g}" for name, limit in limits.given.items())
    within = [each for each in front.candidates if each.within]
    if not within:
        return f"with {words}: no block of {len(front.candidates)}"
    best = max(within, key=lambda each: each.accuracy.mean)
    line = f"best with {words}: {best.name}, {100 * best.accuracy.mean:.2f}%"
    if not best.judged:
        return f"{line}; {best.accuracy.n} seeds: how sure that is cannot be said"
    rivals = sorted(
        (each for each in within if each is not best and each.best_probability >= 0.05),
        key=lambda each: -each.best_probability,
    )
    line += f", the best in {best.best_probability:.0%} of draws"
    if rivals:
        named = ", ".join(f"{each.name} ({each.best_probability:.0%})" for each in rivals)
        line += f"; it may also be {named}"
    return line
