"""Rankings as tables, and in words how far they agree."""

from __future__ import annotations

from collections.abc import Sequence

from blockzoo.analysis.ranks import Ranked, Ranking, RankingsAgreement
from blockzoo.report.tables.fitting import FittedTable
from blockzoo.report.tables.layout import Kind
from blockzoo.report.tables.summary import seeds_text
from blockzoo.stats.accuracy import LEAST_SEEDS, shown_interval
from blockzoo.stats.paired_seeds import MeanInterval

_COLUMNS: dict[str, Kind] = {
    "rank": "number",
    "block": "name",
    "accuracy %": "number",
    "95% interval": "number",
    "seeds": "number",
    "ties": "text",
}
_DISPENSABLE = ("95% interval", "seeds")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def ranking_table(ranking: Ranking) -> FittedTable:
    """Return the ranking with rank intervals; blocks that share a letter are not told apart.

    A rank is 1 and one more for each block that is surely better, and at the worst what is left
    when those that are surely worse stand below.
    """
    data = f"{ranking.terms.dataset}, {ranking.terms.protocol}"
    variant = f" ({ranking.variant})" if ranking.variant else ""
    pairs = len(ranking.rows) * (len(ranking.rows) - 1) // 2
    said = [f"paired t, Holm over {pairs} pairs; of one letter: none is surely better"]
    few = sum(row.accuracy.n < LEAST_SEEDS for row in ranking.rows)
    if few:
        said.append(f"fewer than {LEAST_SEEDS} seeds of {few} blocks: nothing is known of them")
    table = FittedTable(
        title=f"Ranks at {ranking.position}: {data}{variant}",
        columns=_COLUMNS,
        dispensable=_DISPENSABLE,
        caption="; ".join(said),
    )
    for row in ranking.rows:
        table.add_row(*_cells(row))
    return table


def _cells(row: Ranked) -> list[str]:
    return [
        str(row.best) if row.best == row.worst else f"{row.best} to {row.worst}",
        row.block,
        f"{100 * row.accuracy.mean:.2f}",
        _interval(row.accuracy),
        seeds_text(row.accuracy.n, row.failed),
        " ".join(tie_letter(number) for number in row.groups),
    ]


def _interval(accuracy: MeanInterval) -> str:
    interval = shown_interval(accuracy)
    return "-" if interval is None else f"{100 * interval[0]:.2f} to {100 * interval[1]:.2f}"


def tie_letter(number: int) -> str:
    """Return a, b, ... z, aa, ab, ... for 1, 2, ...

    >>> tie_letter(1), tie_letter(26), tie_letter(27)
    ('a', 'z', 'aa')
    """
    rest, last = divmod(number - 1, len(_LETTERS))
    return (tie_letter(rest) if rest else "") + _LETTERS[last]


def agreement_lines(found: Sequence[RankingsAgreement]) -> list[str]:
    """Return for each two rankings how far they agree: Kendall's tau with its interval.

    >>> agreement_lines([])
    []
    """
    lines = []
    for each in found:
        tau, low, high, n = each.agreement
        reach = "" if low is None or high is None else f" ({low:.2f} to {high:.2f})"
        few = "" if reach else "; too few for an interval"
        lines.append(f"{_what_differs(each)}: Kendall's tau {tau:.2f}{reach}, {n} blocks{few}")
    return lines


def _what_differs(pair: RankingsAgreement) -> str:
    first, second = pair.first, pair.second
    titles = [", ".join(each.terms.title) for each in (first, second)]
    if pair.by == "position":
        return f"{first.position} and {second.position} ({titles[0]})"
    if titles[0] != titles[1]:
        return f"{titles[0]} and {titles[1]} at {first.position}"
    variants = " and ".join(each.variant or "the other" for each in (first, second))
    return f"{variants} at {first.position} ({titles[0]})"
