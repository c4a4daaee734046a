"""The probability of improvement: ties as halves, and an interval that covers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from blockzoo.stats.improvement import probability_of_improvement
from tests.stats.simulated import SIZES


def test_the_probability_of_improvement_counts_ties_as_halves() -> None:
    assert probability_of_improvement([1, 2, 3, 3], [1, 1, 1, 4])[0] == (0.5 + 1 + 1) / 4
    low, high = probability_of_improvement(np.ones(10), np.zeros(10))[1:]
    assert (round(low, 3), high) == (0.722, 1.0)  # Wilson's, 10 of 10


@pytest.mark.parametrize("n", SIZES)
def test_its_interval_covers(n: int) -> None:
    """On average over true probabilities, exactly: of each alone a count of n covers in steps."""
    true = np.linspace(0.01, 0.99, 197)
    counts = np.arange(n + 1)
    found = [probability_of_improvement([1.0] * k + [-1.0] * (n - k), np.zeros(n)) for k in counts]
    chances = stats.binom.pmf(counts[:, np.newaxis], n, true)
    inside = np.array([(each.low <= true) & (true <= each.high) for each in found])
    assert 0.93 <= (chances * inside).sum(axis=0).mean() <= 0.97
