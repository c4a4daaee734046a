"""Intervals of medians: hand-made cases, coverage by simulation, and the verdicts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockzoo.stats.bootstrap import mean_of_medians, median_interval, order_interval
from blockzoo.stats.verdicts import verdict_of


def test_median_interval_of_equal_samples_is_a_point() -> None:
    assert median_interval([np.full(12, 3.5)]) == (3.5, 3.5)


def test_median_interval_is_repeatable_and_follows_its_seed() -> None:
    samples = np.random.default_rng(1).lognormal(size=40)
    assert median_interval([samples], seed=4) == median_interval([samples], seed=4)
    assert median_interval([samples], seed=4) != median_interval([samples], seed=5)


def test_median_interval_covers_the_true_median_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    experiments = generator.lognormal(mean=0.0, sigma=0.3, size=(1000, 40))
    intervals = [median_interval([samples], resamples=1000) for samples in experiments]
    covered = np.mean([low <= 1.0 <= high for low, high in intervals])
    assert 0.93 <= covered <= 0.99


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
    # Student's t of two: 1.5 -+ 0.5 * sqrt(2) * 12.706 / 1.96.
    assert (low, high) == pytest.approx((1.5 - 4.584, 1.5 + 4.584), abs=0.001)


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


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [
        ((0.90, 0.95), "faster"),
        ((1.02, 1.30), "slower"),
        ((0.98, 1.01), "undecided"),
        ((0.996, 1.004), "same"),
        ((0.996, 0.999), "same"),
        ((0.990, 0.999), "undecided"),
        ((0.990, 0.9949), "faster"),
        ((0.999, 1.006), "undecided"),
    ],
)
def test_verdict(interval: tuple[float, float], verdict: str) -> None:
    assert verdict_of(interval) == verdict


def test_the_estimate_is_the_mean_of_process_medians() -> None:
    processes = [np.array([1.0, 2, 9]), np.array([3.0]), np.full(50, 7.0)]
    assert mean_of_medians(processes) == 4.0


@pytest.mark.parametrize("processes", [3, 5, 10])
@pytest.mark.parametrize("effect", [0.0, 0.003, 0.01])
@pytest.mark.parametrize("kind", ["normal", "lognormal", "heavy"])
def test_coverage_over_processes_is_at_least_93_percent(
    kind: str, effect: float, processes: int
) -> None:
    generator = np.random.default_rng(processes)
    noise = {
        "normal": generator.normal(0, 0.02, (300, processes, 60)),
        "lognormal": generator.lognormal(0, 0.05, (300, processes, 60)) - 1,
        "heavy": 0.01 * generator.standard_t(2, (300, processes, 60)),
    }[kind]
    samples = 1 + noise + generator.normal(0, effect, (300, processes, 1))
    intervals = [median_interval(list(each), resamples=1000) for each in samples]
    assert np.mean([low <= 1 <= high for low, high in intervals]) >= 0.93


@pytest.mark.parametrize(("scale", "allowed"), [(1.0, {"same", "undecided"}), (1.05, {"slower"})])
def test_verdicts_of_a_hundred_simulated_runs(scale: float, allowed: set[str]) -> None:
    generator = np.random.default_rng(3)
    right = 0
    for _ in range(100):
        ratios = []
        for _ in range(3):
            drift = np.linspace(1, 1.1, 200)
            base = drift * generator.lognormal(0, 0.03, 200)
            other = drift * generator.lognormal(0, 0.03, 200) * generator.normal(scale, 0.003)
            ratios.append(other / base)
        right += verdict_of(median_interval(ratios, resamples=1000)) in allowed
    assert right >= 95
