"""Ranks, ties and agreement of rankings, against scipy and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from blockzoo.stats.ranks import rank_agreement, rank_intervals, separated, tie_groups
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
