"""Verdicts on accuracy keep their promises: errors, power, looks, by simulation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad

from blockzoo.stats.accuracy import accuracy_verdict, judged_accuracy
from blockzoo.stats.families import holm
from blockzoo.stats.paired_seeds import PairedDifference, paired_difference
from blockzoo.stats.power import (
    power_of_difference,
    power_of_equality,
    seeds_to_equal,
    seeds_to_find,
    smallest_difference,
)
from blockzoo.stats.spending import PLAN, SpendingPlan
from tests.stats.simulated import CASES, Accuracies, Draws, at_most, t_tests

MARGIN = 0.003


def verdict_of(difference: PairedDifference, alpha: float = 0.05) -> str:
    return accuracy_verdict(difference, difference.p_value, alpha=alpha)


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ([0.010, 0.011, 0.012, 0.011], "better"),
        ([-0.010, -0.011, -0.012, -0.011], "worse"),
        ([0.001, -0.001, 0.000, 0.001], "equal"),
        # Surely above zero, and surely within the margin.
        ([0.0010, 0.0011, 0.0012, 0.0011], "equal"),
        ([0.02, -0.01, 0.01, 0.00], "undecided"),
        ([0.010, 0.011], "undecided"),
        ([0.010], "undecided"),
    ],
)
def test_what_differences_allow_to_say(differences: list[float], verdict: str) -> None:
    assert verdict_of(paired_difference(differences, [0.0] * len(differences))) == verdict


def test_what_is_undecided_says_what_would_decide_it() -> None:
    found = paired_difference([0.02, -0.01, 0.01, 0.00], [0.0] * 4)
    one = judged_accuracy(found, found.p_value, comparisons=1)
    many = judged_accuracy(found, found.p_value, comparisons=10)
    deviation = float(np.std([0.02, -0.01, 0.01, 0.00], ddof=1))
    assert one.detectable == pytest.approx(smallest_difference(deviation, 4, 0.05))
    assert one.seeds_needed == seeds_to_find(0.005, deviation, 0.05) == 55
    assert (many.detectable or 0) > (one.detectable or 0)
    assert (many.seeds_needed or 0) > 55


def differences(draws: Draws, true: float, trials: int) -> Iterator[PairedDifference]:
    """Yield differences of two blocks that truly differ by so much."""
    for pair in draws.accuracies(np.random.default_rng(draws.n), [true, 0.0], trials=trials):
        yield paired_difference(*pair)


@pytest.mark.parametrize("deviation", [0.0005, 0.0025])
@pytest.mark.parametrize("draws", CASES, ids=str)
def test_equal_is_seldom_said_of_blocks_that_differ_by_the_margin(
    draws: Draws, deviation: float
) -> None:
    """The less seeds deviate, the more often "equal" is said, up to 5%."""
    drawn, trials = replace(draws, deviation=deviation), 1500
    found = [verdict_of(each) for each in differences(drawn, MARGIN, trials)]
    assert found.count("equal") / trials <= at_most(0.05, trials)


@pytest.mark.parametrize("n", [10, 15, 20])
def test_equal_is_said_a_little_more_often_where_differences_are_skewed(n: int) -> None:
    """One block varies twice as much as the other, and differences are skewed by 0.6."""
    draws, trials = Draws(n=n, skewed=True, deviation=0.0005), 1500
    for true in (MARGIN, -MARGIN):
        pairs = draws.accuracies(np.random.default_rng(n), [true, 0.0], trials=trials, spread=2.0)
        found = [verdict_of(paired_difference(*pair)) for pair in pairs]
        assert found.count("equal") / trials <= at_most(0.07, trials)


@pytest.mark.parametrize("draws", CASES, ids=str)
def test_power_is_what_is_predicted(draws: Draws) -> None:
    trials, deviation = 1000, draws.deviation_of_differences
    true = smallest_difference(deviation, draws.n, 0.05)
    found = [each.p_value <= 0.05 for each in differences(draws, true, trials)]
    assert np.mean(found) == pytest.approx(0.8, abs=0.05)
    equal = [verdict_of(each) for each in differences(draws, 0.0, trials)].count("equal")
    predicted = power_of_equality(MARGIN, deviation, draws.n)
    assert equal / trials == pytest.approx(predicted, abs=0.05)


@pytest.mark.parametrize("draws", CASES, ids=str)
def test_in_a_family_the_strictest_step_has_the_power_that_is_predicted(draws: Draws) -> None:
    """One of four blocks is better, by what `judged_accuracy` calls detectable."""
    trials, deviation = 600, draws.deviation_of_differences
    true = smallest_difference(deviation, draws.n, 0.05 / 4)
    gains = [true, 0.0, 0.0, 0.0, 0.0]
    drawn = draws.accuracies(np.random.default_rng(draws.n), gains, trials=trials)
    found = [holm(each)[0] <= 0.05 for each in t_tests(drawn[:, :-1] - drawn[:, -1:])]
    assert np.mean(found) == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize("ratio", [1.0, 2.0])
def test_as_many_seeds_as_are_said_to_decide_do(ratio: float) -> None:
    draws = Draws(n=3)
    true = ratio * draws.deviation_of_differences
    n = seeds_to_find(true, draws.deviation_of_differences, 0.05) or 0
    for seeds, enough in ((n, True), (n - 1, False)):
        found = [each.p_value <= 0.05 for each in differences(replace(draws, n=seeds), true, 4000)]
        assert (np.mean(found) >= 0.8 - 2 * (0.8 * 0.2 / 4000) ** 0.5) == enough


def test_blocks_that_are_equal_are_said_to_be_as_often_as_the_documentation_has_it() -> None:
    """Of two blocks of 0.25 points of deviation each, at a margin of 0.3 points."""
    powers = [power_of_equality(0.3, 0.25 * 2**0.5, n) for n in (10, 15, 20)]
    assert [f"{power:.2f}" for power in powers] == ["0.60", "0.86", "0.96"]


@pytest.mark.parametrize(
    ("margin", "deviation", "n", "alpha", "true"),
    [
        (0.3, 0.35, 10, 0.05, 0.0),
        (0.3, 0.35, 3, 0.05, 0.0),
        (1.0, 0.5, 2, 0.05, 0.2),
        (0.3, 0.35, 20, 0.005, 0.1),
        (0.05, 0.35, 5, 0.05, 0.0),
        (0.1, 1.0, 400, 0.05, 0.02),
    ],
)
def test_power_of_equality_is_the_integral_over_what_deviations_show(
    margin: float, deviation: float, n: int, alpha: float, true: float
) -> None:
    freedom, t, unit = n - 1, stats.t.ppf(1 - alpha, n - 1), n**0.5 / deviation

    def inside(shown: float) -> float:
        room = margin - t * shown * deviation / (freedom * n) ** 0.5
        within = stats.norm.cdf((room - true) * unit) - stats.norm.cdf((-room - true) * unit)
        return float(stats.chi.pdf(shown, freedom) * within)

    widest = margin * (freedom * n) ** 0.5 / (t * deviation)
    ends = np.linspace(0, min(widest, stats.chi.isf(1e-16, freedom)), 41)
    expected = sum(quad(inside, *each, epsabs=1e-13)[0] for each in pairwise(ends))
    assert power_of_equality(margin, deviation, n, alpha, true) == pytest.approx(expected, abs=1e-9)


LAST_LOOKS = [replace(each, n=PLAN.looks[-1]) for each in CASES if each.n == 10]


@pytest.mark.parametrize("draws", LAST_LOOKS, ids=str)
def test_looking_until_decided_seldom_finds_what_is_not_there(draws: Draws) -> None:
    """In all of a family of three blocks that are as good as a fourth."""
    trials = 600
    wrong = ["better" in each or "worse" in each for each in looked(draws, 0.0, trials)]
    assert np.mean(wrong) <= at_most(0.05, trials)


@pytest.mark.parametrize("draws", LAST_LOOKS, ids=str)
def test_looking_until_decided_seldom_says_equal_of_what_differs(draws: Draws) -> None:
    """Of each of three blocks that are better by the margin, of which little is known apart."""
    trials = 600
    wrong = [each.count("equal") + each.count("worse") for each in looked(draws, MARGIN, trials)]
    assert np.mean(wrong) / 3 <= at_most(0.05, trials)


@pytest.mark.slow
@pytest.mark.parametrize("draws", LAST_LOOKS, ids=str)
def test_looking_until_decided_is_wrong_in_five_percent_at_most(draws: Draws) -> None:
    trials = 4000
    wrong = ["better" in each or "worse" in each for each in looked(draws, 0.0, trials)]
    assert np.mean(wrong) <= at_most(0.05, trials)
    of_pairs = [each.count("equal") + each.count("worse") for each in looked(draws, MARGIN, trials)]
    assert np.mean(of_pairs) / 3 <= at_most(0.05, trials)


def looked(draws: Draws, true: float, trials: int) -> Iterator[list[str]]:
    """Yield verdicts on three blocks that truly gain so much, as `--until-decided` ends."""
    for accuracies in draws.accuracies(np.random.default_rng(5), [true] * 3 + [0.0], trials=trials):
        yield last_look(accuracies)


def last_look(accuracies: Accuracies) -> list[str]:
    """Return the verdicts of the first look that decides all pairs, or of the last."""
    verdicts: list[str] = []
    for look, level in PLAN.level_by_look.items():
        found = [paired_difference(each[:look], accuracies[-1][:look]) for each in accuracies[:-1]]
        adjusted = holm([each.p_value for each in found])
        verdicts = [
            accuracy_verdict(each, float(p), alpha=level)
            for each, p in zip(found, adjusted, strict=True)
        ]
        if "undecided" not in verdicts:
            break
    return verdicts


def test_power_is_that_of_the_noncentral_t() -> None:
    limit, shift = stats.t.ppf(0.975, 9), 1.0 * 10**0.5
    expected = stats.nct.sf(limit, 9, shift) + stats.nct.cdf(-limit, 9, shift)
    assert power_of_difference(1.0, 1.0, 10, 0.05) == pytest.approx(expected, abs=1e-9)
    assert power_of_difference(1.0, 0.01, 900, 0.05) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize(("n", "family"), [(3, 4), (3, 100), (4, 10), (5, 32)])
def test_what_few_seeds_find_in_a_large_family_is_found_in_four_of_five(
    n: int, family: int
) -> None:
    """Where the power of scipy's `nctdtr` is NaN on the way, and was taken for enough."""
    true = smallest_difference(1.0, n, 0.05 / family)
    drawn = np.random.default_rng(n).normal(true, 1.0, (20_000, n))
    found = t_tests(drawn) <= 0.05 / family
    assert found.mean() == pytest.approx(0.8, abs=0.01)


def test_no_number_of_seeds_finds_nothing() -> None:
    assert seeds_to_find(1e-6, 1.0, 0.05) is None
    assert seeds_to_equal(0.3, 0.1, difference=0.31) is None
    assert power_of_equality(0.3, 0.0, 5) == 1.0


@pytest.mark.parametrize(
    ("looks", "levels"),
    [((5, 5), (0.01, 0.01)), ((5, 10), (0.03, 0.03)), ((5,), (0.0,)), ((5, 10), (0.05,))],
)
def test_a_plan_that_spends_too_much_or_does_not_rise_is_none(
    looks: tuple[int, ...], levels: tuple[float, ...]
) -> None:
    with pytest.raises(ValueError, match="level"):
        SpendingPlan(looks=looks, levels=levels)
