"""Ranks, ties and agreement of rankings, against scipy and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from blockzoo.stats.ranks import (
    Agreement,
    corrected_for_noise,
    rank_agreement,
    rank_intervals,
    reliability,
    separated,
    tie_groups,
)
from tests.stats.simulated import CASES, Draws, at_most


def test_tau_is_scipys() -> None:
    generator = np.random.default_rng(0)
    for _ in range(20):
        first, second = generator.integers(6, size=(2, 12))
        expected = stats.kendalltau(first, second).statistic
        assert rank_agreement(first, second).tau == pytest.approx(expected, abs=1e-9)


def test_few_blocks_have_no_interval_of_agreement() -> None:
    found = rank_agreement([1, 2, 3], [1, 3, 2])
    assert (found.n, found.low, found.high) == (3, None, None)
    with pytest.raises(ValueError, match="two or more"):
        rank_agreement([1], [1])


def test_the_interval_of_agreement_covers() -> None:
    """Of two measurements that correlate by 0.7 tau is 2/pi asin(0.7)."""
    generator, true, covered = np.random.default_rng(1), 2 / np.pi * np.arcsin(0.7), 0
    for _ in range(1000):
        shared, *own = generator.normal(size=(3, 12))
        first, second = (0.7**0.5 * shared + 0.3**0.5 * each for each in own)
        found = rank_agreement(first, second)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= true <= found.high
    assert 0.92 <= covered / 1000 <= 0.98


@pytest.mark.parametrize("draws", [each for each in CASES if each.images is None], ids=str)
def test_rank_intervals_hold_the_true_ranks(draws: Draws) -> None:
    """Two of four blocks are equal: both ranks must be in their intervals, and both in a group."""
    generator, held, trials = np.random.default_rng(2), 0, 300
    true = [(1, 1), (2, 3), (2, 3), (4, 4)]
    drawn = draws.accuracies(generator, [0.005, 0.003, 0.003, 0.0], trials=trials)
    for accuracies in drawn:
        better = separated(accuracies)
        tied = any({1, 2} <= set(group) for group in tie_groups(accuracies.mean(axis=1), better))
        held += tied and all(
            low <= t[0] and t[1] <= high
            for (low, high), t in zip(rank_intervals(better), true, strict=True)
        )
    assert 1 - held / trials <= at_most(0.05, trials)


def test_ties_are_groups_of_neighbours() -> None:
    better = np.zeros((4, 4), dtype=bool)
    better[0, 2] = better[0, 3] = better[1, 3] = True
    assert tie_groups([4.0, 3.0, 2.0, 1.0], better) == [(0, 1), (1, 2), (2, 3)]
    assert tie_groups([1.0, 2.0], np.zeros((2, 2), dtype=bool)) == [(1, 0)]


def test_reliability_is_the_share_of_the_variance_that_is_the_blocks() -> None:
    """Blocks of deviation 1, seeds' noise of 2 by 4 seeds, and what a seed does to all."""
    generator = np.random.default_rng(2)
    blocks, seeds = generator.normal(size=(400, 1)), generator.normal(size=(1, 4))
    results = blocks + 10 * seeds + 2 * generator.normal(size=(400, 4))
    assert reliability(results) == pytest.approx(1 / (1 + 4 / 4), abs=0.06)
    assert reliability(results - 10 * seeds) == pytest.approx(reliability(results))
    assert reliability([[1.0, 1.0], [1.0, 1.0]]) == 0.0


@pytest.mark.parametrize("results", [[[1.0, 2.0]], [[1.0], [2.0]], [[1.0, np.nan], [1.0, 2.0]]])
def test_reliability_needs_blocks_with_the_same_seeds(results: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="two or more blocks, each with the same two or more"):
        reliability(results)


def test_the_correction_finds_the_agreement_without_noise() -> None:
    """Of 200 experiments, each 12 blocks whose true values correlate by 0.8."""
    generator, corrected, observed = np.random.default_rng(3), [], []
    for _ in range(200):
        shared, *own = generator.normal(size=(3, 12))
        true = [0.8**0.5 * shared + 0.2**0.5 * each for each in own]
        sides = [each[:, None] + 0.5 * generator.normal(size=(12, 5)) for each in true]
        found = rank_agreement(*(each.mean(axis=1) for each in sides))
        better = corrected_for_noise(found, *map(reliability, sides))
        assert better is not None
        observed.append(found.tau)
        corrected.append(better.tau)
    expected = 2 / np.pi * np.arcsin(0.8)
    assert np.mean(observed) < expected - 0.02
    assert np.mean(corrected) == pytest.approx(expected, abs=0.04)


def test_the_correction_stays_within_its_bounds() -> None:
    high = Agreement(0.9, 0.5, 0.99, 8)
    assert corrected_for_noise(high, 0.5, 0.5) == Agreement(1.0, 1.0, 1.0, 8)
    assert corrected_for_noise(high, 0.0, 0.9) is None
    assert corrected_for_noise(high, 1.0, 1.0) == pytest.approx(high)
    few = corrected_for_noise(Agreement(0.5, None, None, 3), 0.9, 0.9)
    assert few is not None
    assert (few.low, few.high) == (None, None)
