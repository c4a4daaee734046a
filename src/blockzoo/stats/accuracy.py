"""What a paired difference in accuracy allows to say: better, worse, equal or undecided.

The p value that counts is that of the declared family (Holm). Equal: two one-sided tests, that is,
the 90% interval lies within the margin (Schuirmann 1987).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from blockzoo.stats.paired_seeds import MeanInterval, PairedDifference
from blockzoo.stats.power import POWER, seeds_to_equal, seeds_to_find, smallest_difference

AccuracyVerdict = Literal["better", "worse", "equal", "undecided"]
ALPHA = 0.05
MARGIN = 0.003
"""Fractions of 1: within it two accuracies are called equal."""
LEAST_SEEDS = 3
"""With two a deviation is hardly known, and nothing is concluded."""


def shown_interval(accuracy: MeanInterval) -> tuple[float, float] | None:
    """Return the interval of a mean accuracy, a fraction of 1, as far as there can be such.

    None below three seeds: of two it is as wide as all there can be, and looks like a finding.

    >>> shown_interval(MeanInterval(n=3, mean=0.95, low=0.88, high=1.02))
    (0.88, 1.0)
    >>> shown_interval(MeanInterval(n=2, mean=0.95, low=0.5, high=1.4)) is None
    True
    """
    if accuracy.n < LEAST_SEEDS or accuracy.low is None or accuracy.high is None:
        return None
    return possible((accuracy.low, accuracy.high))


def possible(interval: tuple[float, float]) -> tuple[float, float]:
    """Return the part of an interval of accuracies that is between 0 and 1.

    >>> possible((-0.1, 0.4))
    (0.0, 0.4)
    """
    return max(interval[0], 0.0), min(interval[1], 1.0)


@dataclass(frozen=True, kw_only=True)
class AccuracyJudgement:
    """A verdict on a difference in accuracy, and what would have let one fall.

    Attributes:
        verdict: "better", "worse", "equal" (within the margin) or "undecided".
        detectable: The true difference, a fraction of 1, that so many seeds find with 80% power in
            this family; None where the deviation is not known.
        seeds_needed: About as many would decide, if difference and deviation are what they seem;
            None where it is decided, or where a thousand would not do.
    """

    verdict: AccuracyVerdict
    detectable: float | None = None
    seeds_needed: int | None = None


def accuracy_verdict(
    difference: PairedDifference,
    adjusted_p: float,
    *,
    margin: float = MARGIN,
    alpha: float = ALPHA,
) -> AccuracyVerdict:
    """Return what a difference allows to say at level `alpha`; `adjusted_p` is that of its family.

    Within the margin it is "equal", also where it is surely not zero.

    >>> from blockzoo.stats.paired_seeds import paired_difference
    >>> clear = paired_difference([0.93, 0.94, 0.95, 0.93], [0.90, 0.91, 0.93, 0.90])
    >>> accuracy_verdict(clear, clear.p_value)
    'better'
    """
    interval = difference.interval(1 - 2 * alpha)
    if interval is None or difference.n < LEAST_SEEDS:
        return "undecided"
    if -margin < interval[0] and interval[1] < margin:
        return "equal"
    if adjusted_p > alpha:
        return "undecided"
    return "better" if difference.mean > 0 else "worse"


def judged_accuracy(
    difference: PairedDifference,
    adjusted_p: float,
    *,
    comparisons: int,
    margin: float = MARGIN,
    alpha: float = ALPHA,
) -> AccuracyJudgement:
    """Return the verdict on a difference of a family of so many `comparisons`, and what decides it.

    >>> from blockzoo.stats.paired_seeds import paired_difference
    >>> open_one = paired_difference([0.93, 0.91, 0.95, 0.93], [0.90, 0.91, 0.93, 0.94])
    >>> judged_accuracy(open_one, open_one.p_value, comparisons=1).seeds_needed
    29
    """
    verdict = accuracy_verdict(difference, adjusted_p, margin=margin, alpha=alpha)
    deviation, n, mean = difference.deviation, difference.n, difference.mean
    if deviation is None:
        return AccuracyJudgement(verdict=verdict)
    of_one = alpha / comparisons  # the strictest step of Holm's
    detectable = smallest_difference(deviation, n, of_one, POWER) if deviation else 0.0
    if verdict != "undecided":
        return AccuracyJudgement(verdict=verdict, detectable=detectable)
    found = seeds_to_find(mean, deviation, of_one) if mean else None
    equal = seeds_to_equal(margin, deviation, alpha, mean)
    needed = min((max(each, n + 1) for each in (found, equal) if each is not None), default=None)
    return AccuracyJudgement(verdict=verdict, detectable=detectable, seeds_needed=needed)
