"""What a check of a bundle found, as tables: each trial made again, and what would be caught."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from blockzoo.report.tables.fitting import FittedTable
from blockzoo.results.submissions.board import Submission
from blockzoo.results.submissions.verification import Verification
from blockzoo.stats.detection import detection_probability, sample_for

_SHARES = (0.01, 0.05, 0.1, 0.2, 0.5)
_WANTED = 0.95


def reruns_table(verification: Verification) -> FittedTable:
    """Return a row for each trial that was made again.

    >>> nothing = Verification(
    ...     verified_at="", blockzoo="1", platform="", records=0, counted=0, drawn_from=0,
    ...     sample_seed=0,
    ... )
    >>> len(reruns_table(nothing).rows)
    0
    """
    table = FittedTable(
        title="Trials made again",
        columns={"trial": "name", "result": "label", "platform": "label", "what": "text"},
        dispensable=("platform",),
    )
    for each in verification.reruns:
        platform = "the same" if each.same_platform else "another"
        table.add_row(each.label, each.result, platform, each.detail)
    return table


def detection_table(results: int, sample: int) -> FittedTable:
    """Return, for some numbers of false results, how probably such a sample holds one of them.

    >>> [cell.text for cell in detection_table(20, 5).rows[0].cells]
    ['1 of 20', '25.0%', '19']
    """
    table = FittedTable(
        title=f"Probability that a sample of {sample} of {results} would have caught false results",
        columns={"false": "label", "caught": "number", "sample for 95%": "number"},
    )
    for false in _numbers(results):
        caught = detection_probability(results, false, sample)
        needed = sample_for(results, false, _WANTED)
        table.add_row(f"{false} of {results}", f"{caught:.1%}", str(needed))
    return table


def _numbers(results: int) -> Iterator[int]:
    """Yield one, and some shares of all."""
    shares = (max(1, round(share * results)) for share in _SHARES)
    yield from dict.fromkeys((1, *shares) if results else ())


def board_table(submissions: Iterable[Submission]) -> FittedTable:
    """Return a row for each bundle of a board.

    >>> len(board_table([]).rows)
    0
    """
    table = FittedTable(
        title="Bundles",
        columns={
            **{"bundle": "name", "by": "name", "records": "number", "tier": "label"},
            **{"verified": "label", "about": "text"},
        },
        dispensable=("about", "verified"),
    )
    for each in submissions:
        verified, records = (each.verified_at or "never")[:10], str(len(each.trial_ids))
        origin = each.origin
        table.add_row(each.name, origin.by, records, each.tier.value, verified, origin.about)
    return table
