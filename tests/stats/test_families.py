"""Families of comparisons against statsmodels' values, by hand, and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from blockzoo.stats.families import holm, max_t
from blockzoo.stats.paired_seeds import paired_difference


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


@pytest.mark.parametrize("n", [3, 5, 10, 15, 20])
@pytest.mark.parametrize("skewed", [False, True])
def test_families_without_any_difference_seldom_show_one(n: int, skewed: bool) -> None:
    """All blocks are as good as the context, whose noise is in every comparison."""
    if skewed and n < 10:
        return  # nothing is promised there
    generator, families = np.random.default_rng(n), 200
    wrong = {"holm": 0, "flips": 0}
    for _ in range(families):
        draw = generator.gamma(4.0, 0.5, (9, n)) if skewed else generator.normal(size=(9, n))
        differences = draw[1:] - draw[0]
        p_values = [paired_difference(each, np.zeros(n)).p_value for each in differences]
        wrong["holm"] += bool(holm(p_values).min() <= 0.05)
        wrong["flips"] += bool(max_t(differences).min() <= 0.05)
    # 5% and what 200 families may show beside it by chance, two standard errors.
    assert max(wrong.values()) / families <= 0.05 + 2 * (0.05 * 0.95 / families) ** 0.5
