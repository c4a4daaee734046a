"""What each way of running gains, for a terminal: one network's ways against each other."""

from __future__ import annotations

from collections.abc import Sequence

from blockzoo.analysis.ways import WayRatio
from blockzoo.report.tables.fitting import FittedTable
from blockzoo.stats.verdicts import why_undecided

_USUAL = "as usual"
"""What a label leaves out: hot caches, folded norms, the usual layout."""


def ways_table(ratios: Sequence[WayRatio]) -> FittedTable:
    """Return one row per network, way and reference: ratio with its interval, and verdict.

    Why verdicts are undecided is in the caption.
    Where they are of several sessions each says which, by number.

    >>> ways_table([]).title
    'Each way of running against another, same block, paired by round'
    """
    sessions = list(dict.fromkeys(each.session for each in ratios))
    undecided = [each.verdict_reason for each in ratios if each.verdict == "undecided"]
    table = FittedTable(
        title="Each way of running against another, same block, paired by round",
        columns={
            "block": "name",
            "position": "label",
            "run as": "text",
            "against": "text",
            "ratio": "number",
            "95% interval": "number",
            "verdict": "text",
        },
        dispensable=("95% interval",),
        caption="; ".join(why_undecided(undecided)),
    )
    for each in ratios:
        mark = f" [{sessions.index(each.session) + 1}]" if len(sessions) > 1 else ""
        table.add_row(
            each.block + mark,
            "/".join(map(str, each.positions)),
            each.way.label(each.differing) or _USUAL,
            each.reference.label(each.differing) or _USUAL,
            *_cells(each),
        )
    return table


def _cells(each: WayRatio) -> tuple[str, str, str]:
    if each.ratio is None or each.interval is None:
        return "-", "-", f"not paired: {each.verdict_reason}"
    low, high = each.interval
    return f"{each.ratio:.4f}", f"{low:.4f} to {high:.4f}", str(each.verdict)
