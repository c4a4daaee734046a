"""Blocks by position as a table."""

from __future__ import annotations

from collections.abc import Sequence

from blockzoo.analysis.specialisation import Specialisation
from blockzoo.core.position import POSITIONS
from blockzoo.report.tables.fitting import FittedTable
from blockzoo.report.tables.layout import Kind
from blockzoo.stats.accuracy import LEAST_SEEDS
from blockzoo.stats.paired_seeds import PairedDifference

_COLUMNS: dict[str, Kind] = {
    "block": "name",
    **dict.fromkeys((str(position) for position in POSITIONS), "number"),
    **dict.fromkeys(("early less late", "seeds", "per 100 MMACs", "per ms"), "number"),
    "verdict": "label",
}
_DISPENSABLE = ("per ms", "per 100 MMACs", "seeds", *(str(position) for position in POSITIONS))


def specialisation_table(found: Sequence[Specialisation]) -> FittedTable:
    """Return a row for each block of one table: gains over the context block, contrast, verdict.

    All are in points of test accuracy. Gains for what they cost are over Identity, one for each
    position, in the order early / mid / late.
    """
    terms = found[0].terms
    variant = f" ({found[0].variant})" if found[0].variant else ""
    contrasts = sum(len(each.contrasts) for each in found)
    said = f"verdicts: paired t within block and seed, Holm over {contrasts} contrasts"
    table = FittedTable(
        title=f"Gain over {terms.context} by position, points: {', '.join(terms.title)}{variant}",
        columns=_COLUMNS,
        dispensable=_DISPENSABLE,
        caption=said,
    )
    for each in found:
        table.add_row(*_cells(each))
    return table


def _cells(each: Specialisation) -> list[str]:
    gains = {gain.position: gain for gain in each.gains}
    index = each.index
    return [
        each.block,
        *(_points(gains[p].over_context if p in gains else None) for p in POSITIONS),
        _with_interval(index),
        "-" if index is None else str(index.n),
        _for_cost([gain.per_100_mmacs for gain in each.gains]),
        _for_cost([gain.per_ms for gain in each.gains]),
        each.verdict,
    ]


def _points(difference: PairedDifference | None) -> str:
    return "-" if difference is None else f"{100 * difference.mean:+.2f}"


def _with_interval(difference: PairedDifference | None) -> str:
    if difference is None or difference.low is None or difference.high is None:
        return _points(difference)
    if difference.n < LEAST_SEEDS:
        return _points(difference)
    low, high = 100 * difference.low, 100 * difference.high
    return f"{_points(difference)} ({low:+.2f} to {high:+.2f})"


def _for_cost(gains: Sequence[float | None]) -> str:
    return " / ".join("-" if gain is None else f"{100 * gain:+.2f}" for gain in gains) or "-"


def undecided_line(found: Sequence[Specialisation]) -> str:
    """Return in one line why blocks are undecided, "" where none is.

    >>> undecided_line([])
    ''
    """
    reasons: dict[str, list[str]] = {}
    for each in found:
        if each.reason:
            reasons.setdefault(each.reason, []).append(each.block)
    said = [f"{', '.join(blocks)}: {reason}" for reason, blocks in reasons.items()]
    return f"undecided: {'; '.join(said)}" if said else ""
