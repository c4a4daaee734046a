"""The Pareto front against its definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockzoo.stats.pareto import attainment, domination, front_probability, pareto_front

# Few values, so that ties are common.
COARSE = st.sampled_from([-np.inf, 0.0, 1.0, 2.0, 3.0, np.inf, np.nan])


def by_definition(points: list[tuple[float, float]]) -> list[bool]:
    def dominates(p: tuple[float, float], q: tuple[float, float]) -> bool:
        return p[0] <= q[0] and p[1] >= q[1] and p != q

    return [
        not np.isnan(point).any() and not any(dominates(other, point) for other in points)
        for point in points
    ]


@given(st.lists(st.tuples(COARSE, COARSE), max_size=12))
def test_the_front_is_what_its_definition_says(points: list[tuple[float, float]]) -> None:
    cost, gain = [point[0] for point in points], [point[1] for point in points]
    assert pareto_front(cost, gain).tolist() == by_definition(points)


def test_equal_points_are_all_on_the_front_and_equal_cost_is_decided_by_gain() -> None:
    assert pareto_front([1, 1, 1, 2], [5, 5, 4, 5]).tolist() == [True, True, False, False]
    assert pareto_front([], []).tolist() == []


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="of one length"):
        pareto_front([1, 2], [1])


def test_shares_of_draws_are_those_of_each_draws_front() -> None:
    generator = np.random.default_rng(5)
    costs, gains = generator.integers(4, size=(2, 40, 6)).astype(float)
    found = front_probability(costs, gains)
    expected = np.mean([pareto_front(c, g) for c, g in zip(costs, gains, strict=True)], axis=0)
    assert found.tolist() == expected.tolist()
    dominated = domination(costs, gains)
    for i in range(6):
        none = ~np.array(
            [
                any(
                    (c[j] <= c[i] and g[j] >= g[i]) and (c[j] < c[i] or g[j] > g[i])
                    for j in range(6)
                )
                for c, g in zip(costs, gains, strict=True)
            ]
        )
        assert found[i] == pytest.approx(none.mean())
        assert dominated[i, i] == 0
        assert dominated[i].max() <= 1 - none.mean() + 1e-12
    with pytest.raises(ValueError, match="draws of cost and gain must match"):
        front_probability([[1.0]], [[1.0, 2.0]])


def test_what_is_attained_is_the_best_of_all_that_is_as_cheap() -> None:
    # Draw by draw: at 1 the first alone, at 2 both, at 0.5 nothing.
    costs = [[1, 2], [1, 2], [1, 2], [3, 2]]
    gains = [[0.5, 0.9], [0.7, 0.6], [0.6, 0.8], [0.9, 0.4]]
    found = attainment(costs, gains, at=[0.5, 1, 2, 3], quantiles=[0.25, 0.5, 1])
    # Sorted: at 1 none, 0.5, 0.6, 0.7; at 2 0.4, 0.7, 0.8, 0.9; at 3 0.7, 0.8, 0.9, 0.9.
    expected = [
        [-np.inf, -np.inf, 0.4, 0.7],
        [-np.inf, 0.5, 0.7, 0.8],
        [-np.inf, 0.7, 0.9, 0.9],
    ]
    assert found.tolist() == expected
