"""Comparisons as a table and in words that can stand in a paper."""

from __future__ import annotations

from collections.abc import Sequence

from blockzoo.analysis.compare import Comparison
from blockzoo.report.tables.fitting import FittedTable
from blockzoo.report.tables.layout import Kind
from blockzoo.stats.accuracy import MARGIN

_COLUMNS: dict[str, Kind] = {
    "position": "label",
    "against": "name",
    **dict.fromkeys(("seeds", "difference", "these images", "new images", "p (Holm)"), "number"),
    "verdict": "label",
    **dict.fromkeys(("latency ratio", "MMACs", "params"), "number"),
}
_DISPENSABLE = ("params", "MMACs", "p (Holm)", "new images", "latency ratio", "seeds")


def comparison_table(comparisons: Sequence[Comparison]) -> FittedTable:
    """Return a row for each pair: difference in points, what it allows to say, latency and cost.

    >>> from blockzoo.core.position import Position
    >>> pair = Comparison(position=Position.MID, block="A", other="B")
    >>> len(comparison_table([pair]).rows)
    1
    """
    table = FittedTable(
        title="Test accuracy: differences in points, 95% intervals",
        columns=_COLUMNS,
        dispensable=_DISPENSABLE,
    )
    for each in comparisons:
        table.add_row(*_cells(each))
    return table


def _cells(c: Comparison) -> list[str]:
    difference = c.difference
    failed = f" ({c.failed} failed)" if c.failed else ""
    return [
        str(c.position),
        c.other,
        f"{len(c.seeds)}{failed}",
        "-" if difference is None else f"{100 * difference.mean:+.2f}",
        "-" if difference is None else _interval(difference.low, difference.high),
        "-" if c.new_images is None else _interval(*c.new_images),
        "-" if c.p_holm is None else f"{c.p_holm:.2g}",
        c.verdict + (" *" if c.exploratory else ""),
        "-" if c.latency is None else f"{c.latency.ratio:.3f} {c.latency.verdict}",
        *(
            "-" if mine is None or theirs is None else f"{mine:{form}} / {theirs:{form}}"
            for mine, theirs, form in (
                (c.cost and c.cost.macs / 1e6, c.other_cost and c.other_cost.macs / 1e6, ".1f"),
                (c.cost and c.cost.params_total, c.other_cost and c.other_cost.params_total, ","),
            )
        ),
    ]


def _interval(low: float | None, high: float | None) -> str:
    return "-" if low is None or high is None else f"{100 * low:+.2f} to {100 * high:+.2f}"


def detail_lines(comparisons: Sequence[Comparison]) -> list[str]:
    """Return for each pair how often it was better, what pairing bought, and what is missing.

    >>> detail_lines([])
    []
    """
    lines = []
    for c in comparisons:
        said = []
        if c.improvement is not None:
            share, low, high = c.improvement.probability, c.improvement.low, c.improvement.high
            said.append(f"better with {share:.0%} of seeds ({100 * low:.0f} to {high:.0%})")
        if c.difference is not None and c.difference.correlation is not None:
            said.append(f"correlation over seeds {c.difference.correlation:+.2f}")
        if c.new_images_reason:
            said.append(f"no interval for new images: {c.new_images_reason}")
        if said:
            lines.append(f"{c.position}, {c.block} against {c.other}: {'; '.join(said)}")
    return lines


def undecided_lines(comparisons: Sequence[Comparison]) -> list[str]:
    """Return for each pair that is undecided what could have been found, and what would decide.

    >>> from blockzoo.core.position import Position
    >>> undecided_lines([Comparison(position=Position.MID, block="A", other="B", reason="no seed")])
    ['mid, A against B: undecided: no seed']
    """
    lines = []
    for c in comparisons:
        if c.verdict != "undecided":
            continue
        said = [c.reason] if c.reason else []
        if c.judgement is not None and c.judgement.detectable is not None:
            detectable = 100 * c.judgement.detectable
            said.append(f"{len(c.seeds)} seeds find {detectable:.2f} points with 80% power")
            needed = c.judgement.seeds_needed
            said.append(
                "no number of seeds would decide it"
                if needed is None
                else f"about {needed} seeds would decide it"
            )
        lines.append(f"{c.position}, {c.block} against {c.other}: undecided: {'; '.join(said)}")
    return lines


def exploratory_line(comparisons: Sequence[Comparison]) -> str:
    """Return why verdicts have a star, "" where none has.

    >>> exploratory_line([])
    ''
    """
    reasons = dict.fromkeys(c.exploratory for c in comparisons if c.exploratory)
    if not reasons:
        return ""
    return f"* exploratory: {'; '.join(reasons)}; to confirm it takes fresh seeds, declared before"


def disagreement_lines(comparisons: Sequence[Comparison], alpha: float) -> list[str]:
    """Return a line for each pair that the two tests of the family judge differently.

    >>> disagreement_lines([], 0.05)
    []
    """
    return [
        f"{c.position}, {c.block} against {c.other}: t-test with Holm p = {c.p_holm:.2g}, joint "
        f"sign flips p = {c.p_max_t:.2g}: the two disagree"
        for c in comparisons
        if c.p_holm is not None
        and c.p_max_t is not None
        # With few seeds no pattern of signs is rare enough, whatever was measured.
        and 2 ** (1 - len(c.seeds)) <= alpha
        and (c.p_holm <= alpha) != (c.p_max_t <= alpha)
    ]


def sentence(comparison: Comparison, margin: float = MARGIN) -> str:
    """Return what was found in one sentence; differences in points of accuracy, 95% intervals.

    >>> from blockzoo.core.position import Position
    >>> sentence(Comparison(position=Position.MID, block="A", other="B", reason="no seed"))
    'Of A at mid and B nothing can be said: no seed.'
    """
    c, place = comparison, f"{comparison.block} at {comparison.position}"
    difference = c.difference
    if difference is None or difference.low is None or difference.high is None or c.terms is None:
        return f"Of {place} and {c.other} nothing can be said: {c.reason}."
    points = 100 * difference.mean
    found = {
        "better": f"{place} is {points:.2f} points better than {c.other}",
        "worse": f"{place} is {-points:.2f} points worse than {c.other}",
        "equal": f"{place} equals {c.other} within {100 * margin:g} points ({points:+.2f})",
        "undecided": f"whether {place} is better or worse than {c.other} ({points:+.2f} points) is "
        f"undecided",
    }[c.verdict]
    these = "these test images" if c.images is None else f"these {c.images:,} test images"
    said = [f"95% interval {_interval(difference.low, difference.high)} on {these}"]
    if c.new_images is not None:
        said.append(f"{_interval(*c.new_images)} for new images")
    said.append(f"p = {c.p_holm:.2g}, Holm's in a family of {c.comparisons}")
    if c.exploratory:
        said.append(f"exploratory: {c.exploratory}")
    where = f"On {c.terms.dataset} by protocol {c.terms.protocol}, {len(c.seeds)} paired seeds, "
    return f"{where}{found} ({'; '.join(said)}){_costs(c)}."


def _costs(c: Comparison) -> str:
    said = []
    if c.latency is not None:
        interval = c.latency.interval
        reach = f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else ""
        said.append(f"at {c.latency.ratio:.3f}{reach} of its latency ({c.latency.verdict})")
    if c.cost is not None and c.other_cost is not None and c.other_cost.macs:
        said.append(f"with {c.cost.macs / c.other_cost.macs:.2f} of the MACs of its stage")
    return f", {' and '.join(said)}" if said else ""
