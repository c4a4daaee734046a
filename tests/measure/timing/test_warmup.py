"""Warm-up with timers that say what the test wants."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest

from blockzoo.measure.timing.clocks import Call
from blockzoo.measure.timing.settings import SamplingPlan
from blockzoo.measure.timing.warmup import warm_up

MS = 1_000_000


def warmed_up(times_ns: Iterable[int], plan: SamplingPlan) -> tuple[int, int]:
    """Return the calls a sample takes and the calls that were made."""
    told, calls = iter(times_ns), []

    def timer(call: Call, count: int) -> int:
        for _ in range(count):
            call()
        return next(told)

    return warm_up(lambda: calls.append(1), timer, plan), len(calls)


def test_steady_calls_end_it_after_the_least_number() -> None:
    assert warmed_up(itertools.repeat(2 * MS), SamplingPlan()) == (1, 10)
    assert warmed_up(itertools.repeat(2 * MS), SamplingPlan(warmup_calls=12)) == (1, 15)


@pytest.mark.parametrize(
    ("call_ns", "calls"), [(MS, 1), (MS - 1, 2), (MS // 4, 4), (1000, 1000), (3, 10_000)]
)
def test_a_sample_repeats_its_call_until_it_is_long_enough(call_ns: int, calls: int) -> None:
    assert warmed_up(itertools.repeat(call_ns), SamplingPlan())[0] == calls


def test_a_clock_set_back_for_a_call_does_not_spoil_what_was_learnt() -> None:
    times = itertools.chain([2 * MS] * 3, [-3600_000 * MS], itertools.repeat(2 * MS))
    assert warmed_up(times, SamplingPlan()) == (1, 10)


@pytest.mark.parametrize("reading_ns", [0, -5])
def test_a_clock_that_never_advances_ends_it(reading_ns: int) -> None:
    plan = SamplingPlan(warmup_min_s=1.0)
    assert warmed_up(itertools.repeat(reading_ns), plan) == (10_000, 1_000)
