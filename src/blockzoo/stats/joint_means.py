"""Means that may have been: joint draws of the means of several blocks over shared seeds."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def drawn_means(results: ArrayLike, *, draws: int = 2000, seed: int = 0) -> NDArray[np.float64]:
    """Return draws (draws, k) of the means of results (k, seeds); NaN is a seed that one lacks.

    In a draw every seed has one weight, whatever the block, so that what seeds have in common stays
    (Bayesian bootstrap, Rubin 1981). Weights spread a mean less than its standard error, by
    sqrt((n - 1) / (n + 1)) with n seeds, for which the draws make up. A block of one seed stays
    where it is: nothing is known of how far it may lie.

    >>> drawn = drawn_means([[0.9, 0.92, 0.94], [0.8, 0.82, 0.84]], draws=4)
    >>> (drawn[:, 0] - drawn[:, 1]).round(6).tolist()
    [0.1, 0.1, 0.1, 0.1]
    """
    values = np.asarray(results, dtype=np.float64)
    known = ~np.isnan(values)
    counts = known.sum(axis=1)
    weights = np.random.default_rng(seed).exponential(size=(draws, values.shape[1]))
    means = np.nanmean(values, axis=1)
    sums = weights @ np.where(known, values, 0.0).T
    drawn = sums / (weights @ known.T.astype(np.float64))
    stretch = np.sqrt((counts + 1) / np.maximum(counts - 1, 1))
    stretched: NDArray[np.float64] = means + stretch * (drawn - means)
    return stretched
