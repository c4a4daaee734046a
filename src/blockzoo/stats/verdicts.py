"""What the interval of a latency ratio allows to say: faster, slower, same or undecided."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

from blockzoo.stats.medians import Interval

Verdict = Literal["faster", "slower", "same", "undecided"]
SAME_WITHIN = 0.005
LEAST_PROCESSES = 3
"""Fewer cannot tell how far processes differ, and the interval is of nothing else."""
_CLEAR = 2.0
"""A ratio beyond it no skew of the noise could have made."""


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """A ratio of latencies, and what else is known of how it came about.

    `interval`: 95%, over `processes`. `of_medians`: the quotient of the two medians, in which what
    is common to a round does not cancel. `flags` are those of the network. `like_calls`: whether
    samples of both are means of equally many calls; None: that is not known.
    """

    interval: Interval
    processes: int
    of_medians: float
    flags: Collection[str] = ()
    like_calls: bool | None = True


def judged(ratio: Ratio) -> tuple[Verdict, str]:
    """Return the verdict and, where it is "undecided", the reason.

    >>> judged(Ratio(interval=(0.90, 0.95), processes=3, of_medians=0.92))
    ('faster', '')
    >>> judged(Ratio(interval=(0.90, 0.95), processes=1, of_medians=0.92))
    ('undecided', '1 process; a verdict needs 3, which show how far processes differ')
    """
    verdict = verdict_of(ratio.interval)
    if reason := _doubt(ratio, verdict):
        return "undecided", reason
    if verdict == "undecided":
        return verdict, f"the interval is neither within {SAME_WITHIN:.1%} of 1 nor beyond it"
    return verdict, ""


def why_undecided(reasons: Iterable[str]) -> list[str]:
    """Return each reason once, with how many verdicts it holds for; "" is none.

    >>> why_undecided(["noisy and under 1 ms", "", "noisy and under 1 ms"])
    ['undecided (2): noisy and under 1 ms']
    """
    counted = Counter(filter(None, reasons))
    return [f"undecided ({count}): {reason}" for reason, count in counted.items()]


def _doubt(ratio: Ratio, verdict: Verdict) -> str:
    """Return why the interval is not to be trusted; nothing where it is."""
    low, high = ratio.interval
    if ratio.processes < LEAST_PROCESSES:
        counted = "1 process" if ratio.processes == 1 else f"{ratio.processes} processes"
        return f"{counted}; a verdict needs {LEAST_PROCESSES}, which show how far processes differ"
    if (verdict == "faster" and ratio.of_medians > 1) or (
        verdict == "slower" and ratio.of_medians < 1
    ):
        return f"the medians say otherwise: their ratio is {ratio.of_medians:.3f}"
    if {"noisy", "under 1 ms"} <= set(ratio.flags):
        return "noisy and under 1 ms"
    # The mean of many calls of a skewed noise has another median than a single call.
    if not ratio.like_calls and high > 1 / _CLEAR and low < _CLEAR:
        if ratio.like_calls is None:
            return "of how many calls its samples are means was not kept"
        return "its samples are means of more or fewer calls than those of the other"
    return ""


def verdict_of(ratio_interval: Interval) -> Verdict:
    """Say what the 95% interval of (latency / latency of the baseline) alone allows to say.

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
