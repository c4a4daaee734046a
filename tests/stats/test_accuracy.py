"""Verdicts on accuracy keep their promises: errors, power, looks, by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from blockzoo.stats.accuracy import accuracy_verdict, judged_accuracy
from blockzoo.stats.paired_seeds import PairedDifference, paired_difference
from blockzoo.stats.power import (
    power_of_difference,
    power_of_equality,
    seeds_to_equal,
    seeds_to_find,
    smallest_difference,
)
from blockzoo.stats.spending import PLAN, SpendingPlan

SIZES = [3, 5, 10, 15, 20]
DEVIATION = 0.0035


def drawn(generator: np.random.Generator, true: float, n: int) -> PairedDifference:
    return paired_difference(generator.normal(true, DEVIATION, n), np.zeros(n))


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


@pytest.mark.parametrize("n", SIZES)
def test_equal_is_seldom_said_of_blocks_that_differ_by_the_margin(n: int) -> None:
    generator, wrong = np.random.default_rng(n), 0
    for _ in range(1500):
        wrong += verdict_of(drawn(generator, 0.003, n)) == "equal"
    assert wrong / 1500 <= 0.05 + 2 * (0.05 * 0.95 / 1500) ** 0.5


@pytest.mark.parametrize("n", SIZES)
def test_power_is_what_is_predicted(n: int) -> None:
    generator, found, equal, trials = np.random.default_rng(n), 0, 0, 1000
    true = smallest_difference(DEVIATION, n, 0.05)
    for _ in range(trials):
        found += drawn(generator, true, n).p_value <= 0.05
        equal += verdict_of(drawn(generator, 0.0, n)) == "equal"
    assert found / trials == pytest.approx(0.8, abs=0.05)
    assert equal / trials == pytest.approx(power_of_equality(0.003, DEVIATION, n), abs=0.05)


@pytest.mark.parametrize("true", [0.0, 0.003])
def test_looking_until_decided_is_wrong_in_five_percent_at_most(true: float) -> None:
    generator, wrong, trials = np.random.default_rng(5), 0, 1500
    for _ in range(trials):
        values = generator.normal(true, DEVIATION, PLAN.looks[-1])
        for look, level in zip(PLAN.looks, PLAN.levels, strict=True):
            found = paired_difference(values[:look], np.zeros(look))
            verdict = verdict_of(found, alpha=level)
            if verdict != "undecided":
                # Without a difference better and worse are wrong, at the margin equal is.
                wrong += verdict in (("better", "worse") if true == 0 else ("equal",))
                break
    assert wrong / trials <= 0.05 + 2 * (0.05 * 0.95 / trials) ** 0.5


def test_power_is_that_of_the_noncentral_t() -> None:
    limit, shift = stats.t.ppf(0.975, 9), 1.0 * 10**0.5
    expected = stats.nct.sf(limit, 9, shift) + stats.nct.cdf(-limit, 9, shift)
    assert power_of_difference(1.0, 1.0, 10, 0.05) == pytest.approx(expected, abs=1e-9)
    assert power_of_difference(1.0, 0.01, 900, 0.05) == 1.0


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
