"""Statistics against values worked out by hand or by scipy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from blockzoo.stats.paired_seeds import mean_interval, paired_difference

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


def test_five_seeds_can_never_declare_a_difference_and_ten_can() -> None:
    five = paired_difference([2, 3, 4, 5, 6], [1, 1, 1, 1, 1])
    assert five.mean == 3.0
    assert five.p_value == 2 / 2**5
    ten = paired_difference(np.arange(1, 11), np.zeros(10))
    assert ten.p_value == 2 / 2**10


def test_a_sign_flip_test_by_hand() -> None:
    # 3 - 1 + 2 = 4; of the eight sums 6, 4, 2, 0, 0, -2, -4, -6 four are as far from zero
    found = paired_difference([3, 0, 2], [0, 1, 0])
    assert found.p_value == 4 / 8
    assert found.mean == pytest.approx(4 / 3)


def test_no_difference_at_all() -> None:
    found = paired_difference([0.5, 0.6], [0.5, 0.6])
    assert (found.mean, found.low, found.high, found.p_value) == (0.0, 0.0, 0.0, 1.0)


def test_one_pair_says_nothing() -> None:
    found = paired_difference([2.0], [1.0])
    assert (found.low, found.high, found.p_value) == (None, None, 1.0)


@given(st.lists(st.tuples(FINITE, FINITE), min_size=2, max_size=7))
@settings(max_examples=40, deadline=None)
def test_the_exact_test_is_scipys(pairs: list[tuple[float, float]]) -> None:
    first, second = np.array(pairs).T
    differences = first - second
    expected = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=2 ** len(pairs)
    )
    assert paired_difference(first, second, resamples=10).p_value == pytest.approx(expected.pvalue)


def test_the_sampled_test_is_near_the_exact_one() -> None:
    differences = np.array([0.9, -0.4, 1.1, 0.3, -0.2, 0.8, 0.5, -0.6, 0.7, 0.1, 0.4, -0.3, 0.6])
    signs = np.array(list(itertools.product((-1, 1), repeat=13)))
    exact = np.mean(np.abs(signs @ differences) >= differences.sum() - 1e-9)
    found = paired_difference(differences, np.zeros(13), resamples=20_000)
    assert found.p_value == pytest.approx(exact, abs=0.01)
    certain = paired_difference(np.ones(40), np.zeros(40), resamples=999)
    assert certain.p_value == 1 / 1000  # never 0


def test_the_bootstrap_interval_repeats_and_is_near_scipys() -> None:
    generator = np.random.default_rng(1)
    first, second = generator.normal(0.3, 1, 40), np.zeros(40)
    found = paired_difference(first, second)
    assert paired_difference(first, second) == found
    expected = stats.bootstrap((first,), np.mean, method="percentile").confidence_interval
    assert found.low == pytest.approx(expected.low, abs=0.03)
    assert found.high == pytest.approx(expected.high, abs=0.03)


def test_pairs_must_be_pairs() -> None:
    with pytest.raises(ValueError, match="given 2 and 1"):
        paired_difference([1, 2], [1])
