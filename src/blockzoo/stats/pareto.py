"""Which results no other beats."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def pareto_front(cost: ArrayLike, gain: ArrayLike) -> NDArray[np.bool_]:
    """Return for each of n points whether it is on the front of low cost (n,) and high gain (n,).

    A point is dominated by one that is no worse in both and better in one; equal points do not
    dominate each other. A point whose cost or gain is NaN is not on the front and dominates none.
    Raises `ValueError` for two lengths.

    >>> pareto_front([1.0, 2.0, 3.0], [0.5, 0.9, 0.8]).tolist()  # the third costs more for less
    [True, True, False]
    """
    costs, gains = np.asarray(cost, dtype=np.float64), np.asarray(gain, dtype=np.float64)
    if costs.shape != gains.shape or costs.ndim != 1:
        raise ValueError(f"cost and gain must be of one length; given {costs.shape}, {gains.shape}")
    front = np.zeros(costs.shape, dtype=np.bool_)
    known = np.flatnonzero(~(np.isnan(costs) | np.isnan(gains)))
    # Cheapest first and of equal cost the best first: whatever dominates a point comes before it.
    order = known[np.lexsort((-gains[known], costs[known]))]
    best_cost, best_gain = np.nan, -np.inf
    for index in order:
        ties = costs[index] == best_cost and gains[index] == best_gain
        # The first point is on the front whatever its gain, minus infinity included.
        if gains[index] > best_gain or ties or np.isnan(best_cost):
            front[index] = True
            best_cost, best_gain = costs[index], gains[index]
    return front


def front_probability(costs: ArrayLike, gains: ArrayLike) -> NDArray[np.float64]:
    """Return for each of k points in how many of the draws (draws, k) it is on the front.

    What varies together is to be drawn together. Raises `ValueError` for two shapes.

    >>> front_probability([[1, 2], [1, 2]], [[0.5, 0.9], [0.5, 0.4]]).tolist()
    [1.0, 0.5]
    """
    fronts = [pareto_front(c, g) for c, g in zip(*_draws(costs, gains), strict=True)]
    share: NDArray[np.float64] = np.mean(fronts, axis=0)
    return share


def domination(costs: ArrayLike, gains: ArrayLike) -> NDArray[np.float64]:
    """Return (k, k): in how many of the draws (draws, k) point j dominates point i.

    >>> domination([[1, 2]], [[0.9, 0.5]]).tolist()
    [[0.0, 0.0], [1.0, 0.0]]
    """
    drawn_costs, drawn_gains = _draws(costs, gains)
    share = np.zeros((drawn_costs.shape[1],) * 2)
    for cost, gain in zip(drawn_costs, drawn_gains, strict=True):
        no_worse = (cost <= cost[:, np.newaxis]) & (gain >= gain[:, np.newaxis])
        better = (cost < cost[:, np.newaxis]) | (gain > gain[:, np.newaxis])
        share += no_worse & better
    return share / len(drawn_costs)


def attainment(
    costs: ArrayLike, gains: ArrayLike, at: ArrayLike, quantiles: ArrayLike
) -> NDArray[np.float64]:
    """Return which gain is attained at each cost, in those quantiles of the draws (draws, k).

    Attained at a cost is the best gain of what costs no more (Fonseca & Fleming 1996): a front with
    its band. Returns (quantiles, costs); minus infinity where in so many draws nothing is so cheap.
    Raises `ValueError` for two shapes.

    >>> costs, gains = [[1, 2], [1, 2]], [[0.5, 0.9], [0.7, 0.8]]
    >>> attainment(costs, gains, at=[0.5, 1, 2], quantiles=[0, 1]).tolist()
    [[-inf, 0.5, 0.8], [-inf, 0.7, 0.9]]
    """
    drawn_costs, drawn_gains = _draws(costs, gains)
    order = np.argsort(drawn_costs, axis=1, kind="stable")
    sorted_costs = np.take_along_axis(drawn_costs, order, axis=1)
    best = np.maximum.accumulate(np.take_along_axis(drawn_gains, order, axis=1), axis=1)
    # Before the cheapest stands what nothing attains.
    best = np.concatenate([np.full((len(best), 1), -np.inf), best], axis=1)
    places = np.asarray(at, dtype=np.float64)
    attained = np.stack(
        [
            of_draw[np.searchsorted(costs_of_draw, places, side="right")]
            for costs_of_draw, of_draw in zip(sorted_costs, best, strict=True)
        ]
    )
    # No mean of two draws, which with minus infinity would be none.
    found: NDArray[np.float64] = np.quantile(
        attained, np.asarray(quantiles, dtype=np.float64), axis=0, method="inverted_cdf"
    )
    return found


def _draws(costs: ArrayLike, gains: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    first, second = np.asarray(costs, dtype=np.float64), np.asarray(gains, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 2 or not len(first):
        raise ValueError(f"draws of cost and gain must match; given {first.shape}, {second.shape}")
    return first, second
