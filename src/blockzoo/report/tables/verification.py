"""What a check of a bundle found, as tables: each trial made again, and what would be caught."""

from __future__ import annotations

from collections.abc import Iterator

from blockzoo.report.tables.fitting import FittedTable
from blockzoo.results.submissions.verification import Verification
from blockzoo.stats.detection import detection_probability, sample_for

_SHARES = (0.01, 0.05, 0.1, 0.2, 0.5)
_WANTED = 0.95


def reruns_table(verification: Verification) -> FittedTable:
    """Return a row for each trial that was made again.

    >>> nothing = Verification(
    ...     verified_at="", blockzoo="1", platform="", records=0, drawn_from=0, sample_seed=0
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
        title=f"What a sample of {sample} of {results} catches",
        columns={"false results": "label", "caught with": "number", "95% takes": "number"},
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


def detection_line(results: int, sample: int) -> str:
    """Return in a sentence what such a sample would have caught.

    >>> detection_line(20, 5)
    'with 2 false of 20 this sample would have caught one with probability 44.7%'
    """
    false = max(1, results // 10)
    caught = detection_probability(results, false, sample)
    return (
        f"with {false} false of {results} this sample would have caught one with "
        f"probability {caught:.1%}"
    )
