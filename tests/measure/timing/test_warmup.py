"""Warm-up on a clock that only the calls move."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest

from blockzoo.measure.timing.clocks import Call
from blockzoo.measure.timing.settings import SamplingPlan
from blockzoo.measure.timing.warmup import warm_up

MS = 1_000_000
SHORT = SamplingPlan(warmup_span_s=0.0)
"""Judged from call to call, as it were: spans of five."""


class Device:
    """Its calls take what they are told, or what `level(seconds so far)` says, in ms."""

    def __init__(self, told: Iterable[int] | Callable[[float], float]) -> None:
        self.told = told if callable(told) else iter(told)
        self.now_ns, self.calls = 0, 0

    def timer(self, call: Call, count: int) -> int:
        """Take the next call."""
        self.calls += count
        if callable(self.told):
            elapsed_ns = int(self.told(self.now_ns / 1e9) * MS)
        else:
            elapsed_ns = next(self.told)
        self.now_ns += elapsed_ns
        return elapsed_ns

    def warm_up(self, plan: SamplingPlan) -> float:
        """Return the nanoseconds of a call once warm."""
        return warm_up(lambda: None, self.timer, plan, lambda: self.now_ns)


@pytest.mark.parametrize(("least", "made"), [(10, 10), (12, 15)])
def test_steady_calls_end_it_after_the_least_number(least: int, made: int) -> None:
    device = Device(itertools.repeat(2 * MS))
    assert device.warm_up(replace(SHORT, warmup_calls=least)) == 2 * MS
    assert device.calls == made


def test_steady_calls_end_it_after_two_spans() -> None:
    device = Device(itertools.repeat(5 * MS))
    device.warm_up(SamplingPlan())
    assert device.now_ns == pytest.approx(0.5e9, rel=0.05)


def test_a_small_budget_has_short_spans() -> None:
    device = Device(itertools.repeat(5 * MS))
    device.warm_up(SamplingPlan(budget_s=0.2))
    assert device.calls == 10


@pytest.mark.parametrize(
    "level",
    [
        lambda seconds: 5 * max(1.5 - 0.25 * seconds, 1.0),
        lambda seconds: 5 * (1 + 0.48 * math.exp(-seconds / 0.5)),
    ],
)
def test_a_device_that_warms_over_seconds_is_waited_for(level: Callable[[float], float]) -> None:
    device = Device(level)
    assert device.warm_up(SamplingPlan()) <= 5 * MS * 1.02
    assert 1.5e9 < device.now_ns < 5e9


def test_it_ends_in_any_case() -> None:
    device = Device(lambda seconds: 5 * math.exp(-seconds / 4))
    device.warm_up(SamplingPlan(warmup_max_s=3.0))
    assert 3.0e9 <= device.now_ns < 3.5e9


def test_a_clock_set_back_for_a_call_does_not_spoil_what_was_learnt() -> None:
    times = itertools.chain([2 * MS] * 3, [-3600_000 * MS], itertools.repeat(2 * MS))
    device = Device(times)
    assert device.warm_up(SHORT) == 2 * MS
    assert device.calls == 10


@pytest.mark.parametrize("reading_ns", [0, -5])
def test_a_clock_that_never_advances_ends_it(reading_ns: int) -> None:
    device = Device(itertools.repeat(reading_ns))
    assert device.warm_up(SamplingPlan(warmup_min_s=1.0)) == math.inf
    assert device.calls == 1_000
