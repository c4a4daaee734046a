"""What the interval of a latency ratio allows to say: faster, slower, same or undecided."""

from __future__ import annotations

from typing import Literal

from blockzoo.stats.bootstrap import Interval

Verdict = Literal["faster", "slower", "same", "undecided"]
SAME_WITHIN = 0.005


def verdict_of(ratio_interval: Interval) -> Verdict:
    """Say what the 95% interval of (latency / latency of the baseline) allows to say.

    "same" when all of it lies within 1 +- 0.005; "faster" or "slower" when all of it lies beyond
    that band, on one side; else "undecided".

    >>> verdict_of((0.90, 0.95)), verdict_of((0.999, 1.002)), verdict_of((0.95, 1.01))
    ('faster', 'same', 'undecided')
    """
    low, high = ratio_interval
    if low >= 1 - SAME_WITHIN and high <= 1 + SAME_WITHIN:
        return "same"
    if high < 1 - SAME_WITHIN:
        return "faster"
    return "slower" if low > 1 + SAME_WITHIN else "undecided"
