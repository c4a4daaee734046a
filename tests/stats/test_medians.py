"""Intervals of medians: hand-made cases, and coverage by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockzoo.stats.medians import (
    mean_of_medians,
    median_interval,
    order_interval,
    student_95,
    within_one_process,
)


def test_median_interval_of_equal_samples_is_a_point() -> None:
    assert median_interval([np.full(12, 3.5)]) == (3.5, 3.5)


def test_one_process_has_the_interval_of_its_own_samples() -> None:
    samples = np.random.default_rng(1).lognormal(size=40)
    assert median_interval([samples]) == order_interval(samples)


def test_order_interval_covers_the_true_median_as_often_as_it_says() -> None:
    experiments = np.random.default_rng(0).lognormal(mean=0.0, sigma=0.3, size=(2000, 40))
    intervals = [order_interval(samples) for samples in experiments]
    covered = np.mean([low <= 1.0 <= high for low, high in intervals])
    assert 0.93 <= covered <= 0.99


def test_differences_between_processes_widen_the_interval() -> None:
    noise = np.random.default_rng(0).normal(0.0, 0.01, size=(5, 50))
    processes = [10 + offset + row for offset, row in zip(range(5), noise, strict=True)]
    low, high = median_interval(processes)
    pooled_low, pooled_high = median_interval([np.concatenate(processes)])
    assert low < 11.1
    assert high > 12.9
    assert high - low > 1.5 * (pooled_high - pooled_low)


def test_processes_of_unequal_length_count_alike() -> None:
    low, high = median_interval([np.full(1000, 1.0), np.full(3, 2.0)])
    # Student's t of two: 1.5 -+ 12.70620 * sqrt(0.5) / sqrt(2).
    assert (low, high) == pytest.approx((1.5 - 6.35310, 1.5 + 6.35310), abs=1e-4)


@pytest.mark.parametrize("processes", [[], [np.array([])], [np.ones(3), np.array([])]])
def test_median_interval_needs_samples(processes: list[np.ndarray]) -> None:
    with pytest.raises(ValueError, match="at least one"):
        median_interval(processes)


def test_order_interval_of_ten_samples_is_second_to_ninth() -> None:
    assert order_interval(np.array([7.0, 1, 9, 3, 5, 10, 2, 8, 6, 4])) == (2.0, 9.0)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200))
def test_order_interval_holds_the_median_within_the_extremes(values: list[float]) -> None:
    low, high = order_interval(np.array(values))
    assert min(values) <= low <= np.median(values) <= high <= max(values)


def test_the_estimate_is_the_mean_of_process_medians() -> None:
    processes = [np.array([1.0, 2, 9]), np.array([3.0]), np.full(50, 7.0)]
    assert mean_of_medians(processes) == 4.0


@pytest.mark.parametrize(
    ("freedom", "t"),
    [(1, 12.7062), (9, 2.2622), (10, 2.2281), (14, 2.1448), (19, 2.0930), (99, 1.9842)],
)
def test_students_t_is_that_of_the_tables(freedom: int, t: float) -> None:
    assert student_95(freedom) == pytest.approx(t, abs=5e-5)


def test_processes_that_aim_at_their_share_reach_the_interval_over_all() -> None:
    """Where processes are alike, their medians spread as each one's rounds say."""
    generator, rounds, processes = np.random.default_rng(0), 400, 5
    widths = []
    for _ in range(200):
        alike = [generator.normal(1, 0.1, rounds) for _ in range(processes)]
        low, high = median_interval(alike)
        one = np.mean([np.diff(order_interval(samples)) for samples in alike])
        widths.append(((high - low) / one) ** 2)
    # Of squares, because the spread of five is unbiased only there.
    assert np.mean(widths) ** -0.5 == pytest.approx(within_one_process(processes), rel=0.1)


@pytest.mark.parametrize("processes", [3, 5, 10])
@pytest.mark.parametrize("effect", [0.0, 0.003, 0.02])
@pytest.mark.parametrize("kind", ["normal", "lognormal", "heavy"])
def test_coverage_over_processes_is_as_often_as_it_says(
    kind: str, effect: float, processes: int
) -> None:
    generator, shape = np.random.default_rng(processes), (1000, processes, 60)
    noise = {
        "normal": generator.normal(0, 0.02, shape),
        "lognormal": generator.lognormal(0, 0.10, shape) - 1,
        "heavy": 0.01 * generator.standard_t(2, shape),
    }[kind]
    samples = 1 + noise + generator.normal(0, effect, (1000, processes, 1))
    intervals = [median_interval(list(each)) for each in samples]
    assert 0.93 <= np.mean([low <= 1 <= high for low, high in intervals]) <= 0.97
