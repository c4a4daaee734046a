"""The probability of improvement: ties as halves, and an interval that covers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from blockzoo.stats.improvement import probability_of_improvement


def test_the_probability_of_improvement_counts_ties_as_halves() -> None:
    assert probability_of_improvement([1, 2, 3, 3], [1, 1, 1, 4])[0] == (0.5 + 1 + 1) / 4
    low, high = probability_of_improvement(np.ones(10), np.zeros(10))[1:]
    assert (round(low, 3), high) == (0.722, 1.0)  # Wilson's, 10 of 10


@pytest.mark.parametrize("n", [5, 10, 20])
def test_its_interval_covers(n: int) -> None:
    generator, covered = np.random.default_rng(n), 0
    true = stats.norm.cdf(0.5)
    for _ in range(1000):
        _, low, high = probability_of_improvement(generator.normal(0.5, 1, n), np.zeros(n))
        covered += low <= true <= high
    assert 0.92 <= covered / 1000 <= 0.98
