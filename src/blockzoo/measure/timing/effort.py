"""How much each network is called: calls a sample, samples a round, and how many are enough."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from blockzoo.measure.timing.settings import SamplingPlan
from blockzoo.stats.medians import Samples, order_interval
from blockzoo.stats.verdicts import SAME_WITHIN

_VISITS_OF_A_BASELINE = 3
_COMPARED_FOR_MORE_VISITS = 4
_MOST_CALLS = 10_000
_LONGEST_SAMPLE = 50
"""In times `min_sample_ms`: what is slower is not called more often for shorter ones."""


def is_within(values: Samples, relative: float) -> bool:
    """Tell whether the interval of the median is within that share of it.

    >>> is_within(np.array([0.99, 1.0, 1.01]), 0.02), is_within(np.array([0.9, 1.0, 1.1]), 0.02)
    (True, False)
    """
    (low, high), center = order_interval(values), float(np.median(values))
    return low >= center * (1 - relative) and high <= center * (1 + relative)


def needed_half_width(ratio: float, plan: SamplingPlan) -> float:
    """Return how narrow, to either side, the interval of a ratio has to be for its verdict.

    >>> plan = SamplingPlan(target_same_interval=0.003, target_relative_interval=0.01)
    >>> [round(needed_half_width(ratio, plan), 4) for ratio in (1.0, 1.015, 0.8)]
    [0.003, 0.006, 0.01]
    """
    # The further beyond the band of "same", the wider an interval still misses it.
    beyond = (abs(ratio - 1) - SAME_WITHIN) / SAME_WITHIN
    return min(plan.target_same_interval * max(beyond, 1.0), plan.target_relative_interval)


def baseline_visits(compared: int) -> int:
    """Return how often a network is sampled per round to which that many others are compared.

    The noise of a baseline is in the ratios of all of them. Against n of them sqrt(n) samples a
    round are the best use of the time; three do most of that, and an odd number has a middle one.

    >>> [baseline_visits(count) for count in (0, 1, 3, 4, 30)]
    [1, 1, 1, 3, 3]
    """
    return _VISITS_OF_A_BASELINE if compared >= _COMPARED_FOR_MORE_VISITS else 1


def calls_per_sample(call_ns: Mapping[str, float], min_sample_ms: float) -> dict[str, int]:
    """Return how many calls a sample of each network is the mean of, by nanoseconds per call.

    As many for all as the shortest network needs to last `min_sample_ms`. What is so slow that its
    sample would last 50 times that is called less often, by powers of two, so that networks of
    nearly the same time still get the same. A clock that was never seen to advance has no say.

    >>> calls_per_sample({"short": 0.25e6, "usual": 5e6, "slow": 100e6}, 1.0)
    {'short': 4, 'usual': 4, 'slow': 1}
    """
    own = {
        name: min(max(math.ceil(min_sample_ms * 1e6 / ns), 1), _MOST_CALLS)
        for name, ns in call_ns.items()
        if not math.isinf(ns)
    }
    most = max(own.values(), default=1)
    longest_ns = _LONGEST_SAMPLE * min_sample_ms * 1e6
    return {
        name: max(own[name], min(most, _power_of_two(longest_ns / ns)))
        if name in own
        else _MOST_CALLS
        for name, ns in call_ns.items()
    }


def _power_of_two(value: float) -> int:
    """Return the largest power of two that is not above the value, and at least 1."""
    return 2 ** max(math.floor(math.log2(value)), 0) if value > 1 else 1
