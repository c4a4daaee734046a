"""Several comparisons at once: p values that hold for all of a family declared beforehand."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

# 16,384 patterns, about as many as a random sample has.
EXACT_UP_TO = 15
"""With at most this many seeds all sign flips are looked at, with more a random sample."""
RESAMPLES = 10_000


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Return the p values (k,) adjusted for all k comparisons (Holm 1979).

    >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    steps = values[order] * np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def max_t(differences: ArrayLike, *, seed: int = 0) -> NDArray[np.float64]:
    """Return adjusted p values (k,) of paired differences (k, n) by joint sign flips, step by step.

    Each flip of signs is the same for all comparisons, so that what they have in common stays, and
    the largest |t| of those not yet rejected is compared (Westfall & Young 1993). Nothing is
    assumed but that differences without an effect are symmetric. With n pairs no p is below 2/2**n.

    >>> max_t([[0.3, 0.2, 0.4, 0.3, 0.2], [0.1, -0.1, 0.0, 0.1, -0.1]]).round(3).tolist()
    [0.062, 1.0]
    """
    values = np.asarray(differences, dtype=np.float64)
    k, n = values.shape
    signs, exact = _signs(n, seed)
    observed = np.abs(_t_of(values, np.ones((1, n))))[:, 0]
    flipped = np.abs(_t_of(values, signs))
    adjusted = np.empty(k)
    order = np.argsort(-observed, kind="stable")
    # Row r: the largest of those from rank r on.
    largest = np.maximum.accumulate(flipped[order[::-1]], axis=0)[::-1]
    largest_p = 0.0
    for rank, index in enumerate(order):
        # Sums of the same numbers in another order differ in their last bits and are still ties.
        limit = observed[index] * (1 - 1e-9)
        extreme = int((largest[rank] >= limit).sum())
        # The signs as observed are one more draw, so that p is never 0.
        p = extreme / signs.shape[0] if exact else (extreme + 1) / (signs.shape[0] + 1)
        largest_p = max(largest_p, p)
        adjusted[index] = largest_p
    return adjusted


def _t_of(values: NDArray[np.float64], signs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return t (k, flips) of the differences (k, n) under signs (flips, n)."""
    n = values.shape[1]
    means = values @ signs.T / n
    # Squares keep their size whatever the sign.
    variances = ((values**2).sum(axis=1, keepdims=True) - n * means**2) / (n - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = means / np.sqrt(np.maximum(variances, 0) / n)
    return np.where(means == 0, 0.0, t)


@lru_cache(maxsize=4)
def _signs(n: int, seed: int) -> tuple[NDArray[np.float64], bool]:
    """Return patterns of signs (flips, n), and whether these are all that differ in |t|."""
    if n <= EXACT_UP_TO:
        # Row r has the bits of r. The last sign stays: all signs turned give the same |t|.
        bits = np.arange(2 ** (n - 1))[:, np.newaxis] >> np.arange(n) & 1
        return bits.astype(np.float64) * 2 - 1, True
    generator = np.random.default_rng(seed)
    return generator.integers(2, size=(RESAMPLES, n)).astype(np.float64) * 2 - 1, False
