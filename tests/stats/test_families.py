"""Families of comparisons by hand, by every pattern of signs, and by simulation."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from blockzoo.stats.families import holm, max_t
from tests.stats.simulated import CASES, Draws, at_most, t_tests

RECORD = Path(__file__).parents[2] / "benchmarks/results/families_simulated.json"
DESIGN = (10, 0.3, 0.0)


def test_holm_by_hand() -> None:
    # sorted .01 .02 .03 .04: times 4, 3, 2, 1 gives .04 .06 .06 .04, which must not fall
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.8]).tolist() == [1.0, 1.0]
    assert holm([]).tolist() == []


def test_one_comparison_by_flips_is_the_sign_flip_test() -> None:
    differences = np.array([0.9, -0.4, 1.1, 0.3, -0.2, 0.8])
    expected = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=2**6
    )
    assert max_t([differences]) == pytest.approx([expected.pvalue])


def test_no_pattern_of_n_signs_is_rarer_than_two_in_all() -> None:
    assert max_t([[1.0, 1.1, 0.9, 1.2, 1.0]]).tolist() == [2 / 2**5]
    assert max_t([[1.0, 1.1, 0.9] * 5])[0] == pytest.approx(1 / 10_001, abs=3e-4)


def test_differences_without_any_are_no_finding() -> None:
    assert max_t(np.zeros((2, 4))).tolist() == [1.0, 1.0]


def test_joint_flips_know_that_comparisons_are_alike() -> None:
    """Of ten copies of one comparison the family is as large as one."""
    one = np.random.default_rng(0).normal(0.8, 1, 10)
    assert max_t([one] * 10) == pytest.approx(float(max_t([one])[0]))
    assert holm([0.01] * 10) == pytest.approx(0.1)


def test_joint_flips_are_those_of_every_pattern_of_signs() -> None:
    """Step by step, with all 2**n patterns written out and scipy's t."""
    values = np.random.default_rng(3).normal([[0.8], [0.0], [0.4]], 1.0, (3, 6))
    patterns = [np.array(signs) for signs in product([1.0, -1.0], repeat=6)]
    flipped = np.array([np.abs(stats.ttest_1samp(values * s, 0, axis=1)[0]) for s in patterns])
    expected, largest = np.empty(3), 0.0
    order = np.argsort(-flipped[0])
    for rank, index in enumerate(order):
        extreme = flipped[:, order[rank:]].max(axis=1) >= flipped[0, index] - 1e-9
        expected[index] = largest = max(largest, float(extreme.mean()))
    assert max_t(values) == pytest.approx(expected, abs=1e-12)


def false_findings(
    draws: Draws, families: int, gains: list[float], *, flips: bool = False, spread: float = 1.0
) -> float:
    """Return the share of families that find something among the blocks without a gain.

    The last of the blocks is the one that all others are compared with.
    """
    drawn = draws.accuracies(np.random.default_rng(draws.n), gains, trials=families, spread=spread)
    differences = drawn[:, :-1] - drawn[:, -1:]
    adjusted = map(max_t, differences) if flips else map(holm, t_tests(differences))
    without = np.array(gains[:-1]) == 0
    return float(np.mean([(each[without] <= 0.05).any() for each in adjusted]))


NONE_BETTER = [0.0] * 9
HALF_BETTER = [0.01] * 4 + [0.0] * 5


@pytest.mark.parametrize("gains", [NONE_BETTER, HALF_BETTER], ids=["none", "half"])
@pytest.mark.parametrize("draws", CASES, ids=str)
def test_families_seldom_find_what_is_not_there(draws: Draws, gains: list[float]) -> None:
    """Whether no block differs from the context or half of them do."""
    assert false_findings(draws, 1000, gains) <= at_most(0.05, 1000)
    few = 400 if draws.n < 15 else 40
    assert false_findings(draws, few, gains, flips=True) <= at_most(0.05, few)


@pytest.mark.slow
@pytest.mark.parametrize("gains", [NONE_BETTER, HALF_BETTER], ids=["none", "half"])
@pytest.mark.parametrize("draws", CASES, ids=str)
def test_many_families_seldom_find_what_is_not_there(draws: Draws, gains: list[float]) -> None:
    for flips, families in ((False, 10_000), (True, 4000 if draws.n < 15 else 1000)):
        found = false_findings(draws, families, gains, flips=flips)
        assert found <= at_most(0.05, families)


@pytest.mark.parametrize("n", [10, 15, 20])
def test_families_of_skewed_differences_find_a_little_more(n: int) -> None:
    """Where blocks vary twice as much as the context, and differences are skewed by 0.6."""
    found = false_findings(Draws(n=n, skewed=True), 3000, NONE_BETTER, spread=2.0)
    assert found <= at_most(0.065, 3000)


def test_what_a_large_family_finds_is_what_the_published_record_says() -> None:
    """Ten seeds, 32 blocks, 30% of them better by 2 of their deviations.

    `benchmarks/families_simulated.py` does the same for longer, with other tests beside.
    """
    rows = json.loads(RECORD.read_text())["rows"]
    of = {row["test"]: row for row in rows if (row["n"], row["share"], row["unlike"]) == DESIGN}
    generator, families, better, found = np.random.default_rng(0), 300, 10, np.zeros(2)
    for _ in range(families):
        blocks = generator.normal(size=(32, 10))
        blocks[:better] += 2
        differences = blocks - generator.normal(size=10)
        for index, p in enumerate((holm(t_tests(differences)), max_t(differences))):
            found[index] += (p[:better] <= 0.05).mean()
    assert found[0] / families == pytest.approx(of["t, Holm"]["found"], abs=0.05)
    assert found[1] / families == pytest.approx(of["joint max-T"]["found"], abs=0.05)
    # Of single sign flips none can be rare enough: 32 times 2 of 1,024 is above 5%.
    assert of["sign flips, Holm"]["found"] == 0
    assert all(row["wrong"] <= at_most(0.05, row["families"]) for row in of.values())
