"""Calls a network until it is warm, and finds how many calls one sample of it takes."""

from __future__ import annotations

import math
import statistics

from blockzoo.measure.timing.clocks import Call, Timer
from blockzoo.measure.timing.settings import SamplingPlan

_BLOCK = 5
_GAIN = 0.02
_MOST_CALLS = 10_000
# A clock that has not advanced by then is one to complain of, not to wait for.
_MOST_CALLS_WITHOUT_TIME = 1_000


def warm_up(call: Call, timer: Timer, plan: SamplingPlan) -> int:
    """Call until the plan calls it warm, and return how many calls a sample has to repeat.

    Calls during which the clock did not advance count as calls, but not as times.

    >>> plan = SamplingPlan(min_sample_ms=1.0)
    >>> warm_up(lambda: None, lambda call, count: 250_000, plan)  # a clock that says 0.25 ms
    4
    """
    best_ns, spent_ns, calls = math.inf, 0, 0
    while True:
        # By blocks and their medians: a single call is too noisy to tell a gain by.
        block = [timer(call, 1) for _ in range(_BLOCK)]
        times = [elapsed_ns for elapsed_ns in block if elapsed_ns > 0]
        spent_ns, calls = spent_ns + sum(times), calls + len(block)
        median_ns = statistics.median(times) if times else math.inf
        gained = median_ns < best_ns * (1 - _GAIN)
        best_ns = min(best_ns, median_ns)
        enough = calls >= plan.warmup_calls and spent_ns >= plan.warmup_min_s * 1e9
        timeless = not spent_ns and calls >= _MOST_CALLS_WITHOUT_TIME
        if (enough and not gained) or spent_ns >= plan.warmup_max_s * 1e9 or timeless:
            break
    return _calls_per_sample(best_ns, plan)


def _calls_per_sample(call_ns: float, plan: SamplingPlan) -> int:
    if math.isinf(call_ns):
        return _MOST_CALLS  # too short for the clock to be seen at all
    return min(max(math.ceil(plan.min_sample_ms * 1e6 / call_ns), 1), _MOST_CALLS)
