"""Calls a network until it is warm, and tells how long a call then takes."""

from __future__ import annotations

import math
import statistics
import time

from blockzoo.measure.timing.clocks import Call, Clock, Stopwatch, Timer
from blockzoo.measure.timing.settings import SamplingPlan

# Fewer calls have no median to speak of, however long they take.
_LEAST_CALLS = 5
_MOST_CALLS = 100_000
_GAIN = 0.01
_BUDGET_SHARE = 0.1
# A clock that has not advanced by then is one to complain of, not to wait for.
_MOST_CALLS_WITHOUT_TIME = 1_000


def warm_up(
    call: Call, timer: Timer, plan: SamplingPlan, clock: Clock = time.perf_counter_ns
) -> float:
    """Call until the plan calls it warm, and return the nanoseconds of a call.

    Judged from span to span of time, not from call to call: a device that takes seconds to reach
    its clock gains next to nothing within ten calls. Calls during which the timer did not advance
    count as calls, but not as times; where it never did, infinity is returned.

    >>> plan = SamplingPlan(warmup_span_s=0.001)
    >>> int(warm_up(lambda: None, lambda call, count: 250_000, plan))  # a timer that says 0.25 ms
    250000
    """
    watch, calls, before_ns, best_ns = Stopwatch(clock), 0, math.inf, math.inf
    # Two spans are the least that tell anything, and they are within the longest warm-up.
    span_ns = min(plan.warmup_span_s, _BUDGET_SHARE * plan.budget_s, plan.warmup_max_s / 2) * 1e9
    while True:
        times, made = _span(call, timer, clock, span_ns)
        calls += made
        # By medians: a single call is too noisy to tell a gain by.
        median_ns = statistics.median(times) if times else math.inf
        best_ns, spent_ns = min(best_ns, median_ns), watch.elapsed_ns()
        steady = median_ns >= before_ns * (1 - _GAIN)
        enough = calls >= plan.warmup_calls and spent_ns >= plan.warmup_min_s * 1e9
        timeless = math.isinf(best_ns) and calls >= _MOST_CALLS_WITHOUT_TIME
        if (steady and enough) or timeless or spent_ns >= plan.warmup_max_s * 1e9:
            return best_ns
        before_ns = median_ns


def _span(call: Call, timer: Timer, clock: Clock, span_ns: float) -> tuple[list[int], int]:
    """Call for that long; return the times of the calls that had any, and how many were made."""
    watch, times = Stopwatch(clock), list[int]()
    for made in range(1, _MOST_CALLS + 1):
        elapsed_ns = timer(call, 1)
        if elapsed_ns > 0:
            times.append(elapsed_ns)
        over = watch.elapsed_ns() >= span_ns or (not times and made >= _MOST_CALLS_WITHOUT_TIME)
        if made >= _LEAST_CALLS and over:
            break
    return times, made
