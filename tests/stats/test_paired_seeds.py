"""Statistics against values worked out by hand or by scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from blockzoo.stats.paired_seeds import mean_interval, paired_difference
from tests.stats.simulated import CASES, LEVEL, Draws

FINITE = st.floats(-100, 100).map(lambda value: round(value, 3))


def test_the_interval_of_a_mean_by_hand() -> None:
    found = mean_interval([1.0, 2.0, 3.0])
    # deviation 1, standard error 1 / sqrt(3), t(0.975, 2) = 4.302653
    assert (found.n, found.mean) == (3, 2.0)
    assert found.low == pytest.approx(2 - 4.302653 / np.sqrt(3), abs=1e-6)
    assert found.high == pytest.approx(2 + 4.302653 / np.sqrt(3), abs=1e-6)
    assert mean_interval([1, 2, 3], confidence=0.5).high == pytest.approx(2 + 0.816497 / 3**0.5)


def test_one_value_has_no_interval_and_equal_values_a_narrow_one() -> None:
    one = mean_interval([0.5])
    assert (one.n, one.mean, one.low, one.high) == (1, 0.5, None, None)
    same = mean_interval([0.5, 0.5])
    assert (same.low, same.high) == (0.5, 0.5)


@pytest.mark.parametrize("values", [[], [1.0, np.nan], [np.inf], [[1.0]]])
def test_values_that_have_no_mean(values: list[float]) -> None:
    with pytest.raises(ValueError, match="one or more finite values"):
        mean_interval(values)


def test_no_difference_at_all() -> None:
    found = paired_difference([0.5, 0.6], [0.5, 0.6])
    assert (found.mean, found.low, found.high, found.p_value) == (0.0, 0.0, 0.0, 1.0)


def test_one_pair_says_nothing() -> None:
    found = paired_difference([2.0], [1.0])
    assert (found.low, found.high, found.p_value, found.interval(0.9)) == (None, None, 1.0, None)


def test_two_lengths_are_no_pairs() -> None:
    with pytest.raises(ValueError, match="given 2 and 1"):
        paired_difference([1.0, 2.0], [1.0])


@given(st.lists(st.tuples(FINITE, FINITE), min_size=3, max_size=20))
@settings(max_examples=40, deadline=None)
def test_test_and_interval_are_scipys(pairs: list[tuple[float, float]]) -> None:
    first, second = np.array(pairs).T
    if (first - second).std() < 1e-6:
        return
    found, expected = paired_difference(first, second), stats.ttest_rel(first, second)
    assert found.p_value == pytest.approx(expected.pvalue, abs=1e-9)
    interval = expected.confidence_interval(0.9)
    assert found.interval(0.9) == pytest.approx((interval.low, interval.high), abs=1e-9)


def test_the_correlation_says_what_pairing_bought() -> None:
    seeds = np.array([0.1, 0.4, 0.2, 0.9])
    assert paired_difference(seeds + 1, seeds).correlation == pytest.approx(1.0)
    assert paired_difference(seeds, [1.0, 1.0, 1.0, 1.0]).correlation is None


def test_the_correlation_is_scipys() -> None:
    first, second = np.random.default_rng(0).normal(size=(2, 9))
    expected = stats.pearsonr(first, second).statistic
    assert paired_difference(first, second).correlation == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("draws", CASES, ids=str)
def test_intervals_cover(draws: Draws) -> None:
    """Of a difference of two blocks, and of the mean of one."""
    trials, covered = 1500, np.zeros(2)
    for first, second in draws.accuracies(np.random.default_rng(1), [0.002, 0.0], trials=trials):
        difference, mean = paired_difference(first, second), mean_interval(second)
        covered += (
            (difference.low or 0.0) <= 0.002 <= (difference.high or 0.0),
            (mean.low or 0.0) <= LEVEL <= (mean.high or 0.0),
        )
    assert ((covered / trials >= 0.93) & (covered / trials <= 0.97)).all(), covered / trials


@pytest.mark.parametrize("n", [10, 15, 20])
def test_intervals_cover_where_differences_themselves_are_skewed(n: int) -> None:
    """One block varies twice as much as the other, and differences are skewed by 0.6."""
    draws, trials, covered = Draws(n=n, skewed=True), 1500, 0
    pairs = draws.accuracies(np.random.default_rng(n), [0.0, 0.0], trials=trials, spread=2.0)
    for first, second in pairs:
        found = paired_difference(first, second)
        covered += (found.low or 0.0) <= 0 <= (found.high or 0.0)
    assert 0.93 <= covered / trials <= 0.97
