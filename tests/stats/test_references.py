"""What others print for the same data: statsmodels to 1e-9, published examples to their digits.

Values of statsmodels are of version 0.15.0 on scipy 1.17.1, by the calls that stand beside them.
"""

from __future__ import annotations

from math import ceil, exp, log

import numpy as np
import pytest
from scipy.special import stdtrit

from blockzoo.stats.accuracy import accuracy_verdict
from blockzoo.stats.families import holm, max_t
from blockzoo.stats.improvement import probability_of_improvement
from blockzoo.stats.new_images import interval_for_new_images
from blockzoo.stats.paired_seeds import paired_difference
from blockzoo.stats.power import power_of_difference, seeds_to_find, smallest_difference

FIRST = [0.7012, 0.6987, 0.7051, 0.6968, 0.7033, 0.7005, 0.6990, 0.7044]
SECOND = [0.6998, 0.6991, 0.7030, 0.6975, 0.7010, 0.7012, 0.6981, 0.7027]


def test_holm_is_statsmodels() -> None:
    # statsmodels.stats.multitest.multipletests(p, method="holm")[1]
    p_values = [0.00052, 0.0131, 0.0093, 0.0131, 0.241, 0.0007, 0.62, 0.048]
    expected = [0.00416, 0.0655, 0.0558, 0.0655, 0.482, 0.0049, 0.62, 0.144]
    assert holm(p_values) == pytest.approx(expected, abs=1e-9)


def test_the_paired_t_is_statsmodels() -> None:
    # d = DescrStatsW(first - second): d.ttest_mean(0), d.tconfint_mean(0.05), (0.1)
    found = paired_difference(FIRST, SECOND)
    assert found.p_value == pytest.approx(0.105704571666, abs=1e-9)
    assert (found.low, found.high) == pytest.approx((-0.000225624440131, 0.00187562444013))
    expected = (-1.6778809008e-05, 0.00166677880901)
    assert found.interval(0.9) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("margin", "p"),
    [(0.003, 0.000881336095282), (0.001, 0.35269985803), (0.0015, 0.0862535088926)],
)
def test_two_one_sided_tests_are_statsmodels(margin: float, p: float) -> None:
    """Equal falls at the level that is their p, and not below."""
    # statsmodels.stats.weightstats.ttost_paired(first, second, -margin, margin)[0]
    found = paired_difference(FIRST, SECOND)
    above, below = (
        accuracy_verdict(found, 1.0, margin=margin, alpha=p + each) for each in (1e-9, -1e-9)
    )
    assert (above, below) == ("equal", "undecided")


@pytest.mark.parametrize(
    ("effect", "n", "alpha", "power"),
    [
        (1.0, 3, 0.05, 0.179255393777),
        (1.0, 5, 0.05, 0.401389917372),
        (1.0, 10, 0.05, 0.803096856633),
        (0.5, 15, 0.05, 0.437926710689),
        (0.8, 20, 0.05, 0.923898755389),
        (1.2, 10, 0.05 / 32, 0.356632351066),
        (0.3, 100, 0.005, 0.553017677102),
    ],
)
def test_power_is_statsmodels(effect: float, n: int, alpha: float, power: float) -> None:
    # statsmodels.stats.power.TTestPower().power(effect, n, alpha)
    assert power_of_difference(effect, 1.0, n, alpha) == pytest.approx(power, abs=1e-9)


@pytest.mark.parametrize(
    ("effect", "alpha", "n"),
    [
        (1.0, 0.05, 9.937850941054),
        (0.5, 0.05, 33.367131184318),
        (0.3, 0.005, 151.866600783102),
        (2.0, 0.05, 4.220718585019),
        (0.1, 0.05, 786.808940181792),
    ],
)
def test_seeds_needed_are_statsmodels(effect: float, alpha: float, n: float) -> None:
    # statsmodels.stats.power.TTestPower().solve_power(effect_size=effect, alpha=alpha, power=0.8)
    assert seeds_to_find(effect, 1.0, alpha) == ceil(n)


@pytest.mark.parametrize(
    ("n", "alpha", "effect"),
    [
        (3, 0.05, 3.264043552820),
        (5, 0.05, 1.681997083323),
        (10, 0.05, 0.996001910762),
        (15, 0.005, 1.099079580780),
        (20, 0.05 / 32, 1.032482814910),
    ],
)
def test_what_seeds_can_find_is_statsmodels(n: int, alpha: float, effect: float) -> None:
    # statsmodels.stats.power.TTestPower().solve_power(nobs=n, alpha=alpha, power=0.8), whose
    # noncentral t is known to seven digits there.
    assert smallest_difference(1.0, n, alpha) == pytest.approx(effect, rel=1e-6)


@pytest.mark.parametrize(
    ("better", "ties", "n", "interval"),
    [
        (10, 0, 10, (0.722467200137, 1.0)),
        (3, 0, 5, (0.230724281276, 0.882379225767)),
        (0, 0, 7, (0.0, 0.354330435067)),
        (7, 1, 15, (0.274232807390, 0.725767192610)),
    ],
)
def test_the_interval_of_improvement_is_statsmodels(
    better: int, ties: int, n: int, interval: tuple[float, float]
) -> None:
    # statsmodels.stats.proportion.proportion_confint(better + ties / 2, n, method="wilson")
    differences = [1.0] * better + [0.0] * ties + [-1.0] * (n - better - ties)
    found = probability_of_improvement(differences, np.zeros(n))
    assert (found.low, found.high) == pytest.approx(interval, abs=1e-9)


def test_variances_of_seeds_and_images_are_statsmodels() -> None:
    answers = np.array(
        [
            [1, 0, 0, 1, -1, 0, 1],
            [0, 0, 1, 1, 0, 1, 1],
            [1, 0, 0, 1, 0, 0, 0],
            [1, -1, 0, 0, -1, 1, 0],
        ]
    )
    # anova_lm(ols("d ~ C(seed) + C(image)", data).fit()).mean_sq
    seeds, images, rest = 0.380952380952, 0.952380952381, 0.269841269841
    variance = (seeds + images - rest) / answers.size
    t = (stdtrit(3, 0.975) * seeds + stdtrit(6, 0.975) * (images - rest)) / (seeds + images - rest)
    expected = answers.mean() + np.array([-1, 1]) * t * variance**0.5
    found = interval_for_new_images(answers == 1, answers == -1)
    assert found == pytest.approx(tuple(expected), abs=1e-9)


def test_students_sleep() -> None:
    """Hours of sleep more with one drug than with the other (Student 1908, Biometrika 6).

    As R prints it in `?t.test`: t = -4.0621, p = 0.002833, 95% from -2.4598858 to -0.7001142.
    """
    second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    found = paired_difference(first, second)
    assert found.mean == pytest.approx(-1.58)
    assert found.p_value == pytest.approx(0.002833, abs=5e-7)
    assert (found.low, found.high) == pytest.approx((-2.4598858, -0.7001142), abs=5e-8)


def test_darwins_maize() -> None:
    """Heights of crossed less self-fertilised plants in eighths of an inch.

    Fisher (The Design of Experiments, 1935, sections 17 and 21): t = 2.148, and of the 32,768
    patterns of signs 863 have as large a sum, so that both ways 1,726 are as extreme.
    """
    differences = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
    found = paired_difference(differences, [0] * 15)
    assert found.mean / ((found.deviation or 0) / 15**0.5) == pytest.approx(2.148, abs=5e-4)
    assert max_t([differences])[0] == pytest.approx(2 * 863 / 32_768, abs=1e-12)


def test_wellek_bioequivalence() -> None:
    """AUC of two drugs (Wellek 2003, page 212), as in SAS/STAT's example of PROC TTEST.

    It prints the ratio of geometric means 0.9412, 90% from 0.8634 to 1.0260, within 0.8 and 1.25.
    """
    drug = [103.4, 59.92, 68.17, 94.54, 69.48, 72.17, 74.37, 84.44, 96.74, 94.26, 48.52, 95.68]
    other = [90.11, 77.71, 77.71, 97.51, 58.21, 101.3, 79.84, 96.06, 89.30, 97.22, 61.62, 85.80]
    found = paired_difference(np.log(drug), np.log(other))
    low, high = found.interval(0.9) or (0.0, 0.0)
    assert [f"{exp(each):.4f}" for each in (found.mean, low, high)] == [
        "0.9412",
        "0.8634",
        "1.0260",
    ]
    assert accuracy_verdict(found, found.p_value, margin=log(1.25)) == "equal"


def test_holm_of_sas() -> None:
    """The 24 p values of SAS/STAT's example of PROC MULTTEST: one is 0.8395, all others are 1."""
    rest = [0.28282, 0.30688, 0.71022, 0.77175, 0.78180, 0.88581, 0.54685, 0.84978, 0.24228]
    rest += [0.58977, 0.41607, 0.31631, 0.05254, 0.45061, 0.75758, 0.12496, 0.49485, 0.21572]
    rest += [0.50505, 0.94372, 0.81260, 0.77596, 0.36889]
    assert holm([0.03498, *rest]) == pytest.approx([0.8395, *[1.0] * 23], abs=5e-5)
