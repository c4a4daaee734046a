"""Trends: found where they are and large enough, and rarely where there are none."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from blockzoo.stats.trend import rank_correlation, trends


def test_the_correlation_is_scipys_ties_included() -> None:
    samples = np.random.default_rng(0).integers(0, 9, 60).astype(float)
    expected = stats.spearmanr(samples, np.arange(60)).statistic
    assert rank_correlation(samples) == pytest.approx(expected)


@pytest.mark.parametrize("count", [0, 1, 2, 7, 8])
def test_few_samples_never_have_a_trend(count: int) -> None:
    assert trends(np.arange(1.0, count + 1)) == (count == 8)


def test_noise_without_a_trend_is_flagged_as_rarely_as_said() -> None:
    noise = np.random.default_rng(0).lognormal(0, 0.1, (2000, 60))
    flagged = np.mean([trends(samples) for samples in noise])
    assert 0.005 <= flagged <= 0.015
    shared = np.mean([trends(samples, of=10) for samples in noise])
    assert shared <= 0.003


def test_a_slow_rise_within_noise_is_found() -> None:
    """Of 4% over a session, which the medians of its thirds alone would not have shown."""
    noise = np.random.default_rng(0).lognormal(0, 0.03, (200, 150))
    rising = noise * np.linspace(1.0, 1.04, 150)
    assert np.mean([trends(samples) for samples in rising]) > 0.95


def test_a_rise_that_is_sure_but_tiny_is_none() -> None:
    assert not trends(np.linspace(1.0, 1.009, 500))
