"""What each way of running gains, for a terminal: one network's ways against each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.table import Table

from blockzoo.analysis.ways import WayRatio

_USUAL = "as usual"
"""What a label leaves out: hot caches, folded norms, the usual layout."""


def ways_table(ratios: Sequence[WayRatio]) -> Table:
    """Return one row per network, way and reference: ratio with its interval, and verdict.

    Why verdicts are undecided is in the caption.
    Where they are of several sessions each says which, by number.

    >>> ways_table([]).title
    'Each way of running against another, same block, paired by round'
    """
    table = Table(
        title="Each way of running against another, same block, paired by round", box=None
    )
    sessions = list(dict.fromkeys(each.session for each in ratios))
    for title in ("block", "position", "run as", "against"):
        table.add_column(title)
    for title in ("ratio", "95% interval"):
        table.add_column(title, justify="right")
    table.add_column("verdict")
    for each in ratios:
        mark = f" [{sessions.index(each.session) + 1}]" if len(sessions) > 1 else ""
        table.add_row(
            each.block + mark,
            "/".join(map(str, each.positions)),
            each.way.label(each.differing) or _USUAL,
            each.reference.label(each.differing) or _USUAL,
            *_cells(each),
        )
    # Once for all that share it, as it is often the same for every row.
    reasons = Counter(each.verdict_reason for each in ratios if each.verdict == "undecided")
    if reasons:
        words = (f"undecided ({count}): {reason}" for reason, count in reasons.items())
        table.caption = "; ".join(words)
    return table


def _cells(each: WayRatio) -> tuple[str, str, str]:
    if each.ratio is None or each.interval is None:
        return "-", "-", f"not paired: {each.verdict_reason}"
    low, high = each.interval
    return f"{each.ratio:.4f}", f"{low:.4f} to {high:.4f}", str(each.verdict)
