"""How many calls a sample has, and how narrow an interval must be."""

from __future__ import annotations

import math

import pytest

from blockzoo.measure.timing.effort import calls_per_sample, needed_half_width
from blockzoo.measure.timing.settings import SamplingPlan

MS = 1_000_000


@pytest.mark.parametrize(
    ("call_ns", "calls"), [(MS, 1), (MS - 1, 2), (MS // 4, 4), (1000, 1000), (3, 10_000)]
)
def test_a_sample_repeats_its_call_until_it_is_long_enough(call_ns: int, calls: int) -> None:
    assert calls_per_sample({"a": call_ns}, 1.0) == {"a": calls}


def test_networks_of_nearly_one_time_have_the_same_number_beside_a_far_shorter_one() -> None:
    found = calls_per_sample({"far": 1_000, "one": 0.100 * MS, "other": 0.108 * MS}, 1.0)
    assert found == {"far": 1000, "one": 256, "other": 256}


def test_a_clock_that_never_advanced_has_no_say_over_the_others() -> None:
    found = calls_per_sample({"still": math.inf, "good": 2 * MS}, 1.0)
    assert found == {"still": 10_000, "good": 1}


def test_no_least_time_is_one_call() -> None:
    assert calls_per_sample({"a": 10, "b": 5 * MS}, 0.0) == {"a": 1, "b": 1}


@pytest.mark.parametrize(
    ("ratio", "width"), [(1.0, 0.003), (0.997, 0.003), (0.99, 0.003), (0.98, 0.009), (0.5, 0.01)]
)
def test_a_ratio_near_the_band_needs_a_narrow_interval(ratio: float, width: float) -> None:
    assert needed_half_width(ratio, SamplingPlan()) == pytest.approx(width)
