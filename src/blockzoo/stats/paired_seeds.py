"""Means, paired differences and corrections: what may be said about a few seeds.

Intervals are 95% unless asked otherwise. With n pairs a two-sided sign-flip test cannot fall below
2 / 2**n, so five seeds can never declare a difference at 0.05; ten can.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

CONFIDENCE = 0.95
# 4096 patterns, fewer than the resamples that a random sample takes by default.
EXACT_UP_TO = 12
"""With at most this many pairs all 2**n sign flips are looked at, with more a random sample."""


@dataclass(frozen=True, kw_only=True)
class MeanInterval:
    """The mean of `n` values and its Student-t interval, None and None for one value."""

    n: int
    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """The mean of first minus second over `n` pairs.

    `low`, `high`: bootstrap interval over pairs, None for one pair. `p_value`: two-sided sign-flip
    permutation test of a mean of zero.
    """

    n: int
    mean: float
    low: float | None
    high: float | None
    p_value: float


def mean_interval(values: ArrayLike, *, confidence: float = CONFIDENCE) -> MeanInterval:
    """Return mean and Student-t interval of values (n,); raises `ValueError` for none or NaN.

    >>> seeds = mean_interval([0.90, 0.92, 0.94])
    >>> f"{seeds.mean:.2f} ({seeds.low:.2f} to {seeds.high:.2f})"
    '0.92 (0.87 to 0.97)'
    """
    sample = _sample(values)
    n, mean = len(sample), float(sample.mean())
    if n == 1:
        return MeanInterval(n=1, mean=mean, low=None, high=None)
    reach = float(stdtrit(n - 1, (1 + confidence) / 2) * sample.std(ddof=1) / np.sqrt(n))
    return MeanInterval(n=n, mean=mean, low=mean - reach, high=mean + reach)


def paired_difference(
    first: ArrayLike,
    second: ArrayLike,
    *,
    confidence: float = CONFIDENCE,
    resamples: int = 10_000,
    seed: int = 0,
) -> PairedDifference:
    """Compare two results (n,) that belong together in pairs, such as by seed.

    Raises `ValueError` for none, NaN, or two lengths. The same arguments give the same numbers.

    >>> difference = paired_difference([0.92, 0.95, 0.94], [0.90, 0.94, 0.91])
    >>> round(difference.mean, 3), difference.p_value  # 2 of the 8 patterns of signs
    (0.02, 0.25)
    """
    a, b = _sample(first), _sample(second)
    if a.shape != b.shape:
        raise ValueError(f"pairs need as many values on both sides; given {len(a)} and {len(b)}")
    differences = a - b
    generator = np.random.default_rng(seed)
    low, high = _bootstrap_interval(differences, confidence, resamples, generator)
    return PairedDifference(
        n=len(differences),
        mean=float(differences.mean()),
        low=low,
        high=high,
        p_value=_sign_flip_p_value(differences, resamples, generator),
    )


def _sample(values: ArrayLike) -> NDArray[np.float64]:
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or sample.size == 0 or not np.isfinite(sample).all():
        raise ValueError("statistics need one or more finite values in one dimension")
    return sample


def _bootstrap_interval(
    differences: NDArray[np.float64],
    confidence: float,
    resamples: int,
    generator: np.random.Generator,
) -> tuple[float, float] | tuple[None, None]:
    n = len(differences)
    # One pair resampled is itself: an interval of no width that would look like certainty.
    if n == 1:
        return None, None
    means = differences[generator.integers(n, size=(resamples, n))].mean(axis=1)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _sign_flip_p_value(
    differences: NDArray[np.float64], resamples: int, generator: np.random.Generator
) -> float:
    """Return how often flipping signs at random gives a sum at least as far from zero."""
    n = len(differences)
    if n <= EXACT_UP_TO:
        return float(_as_extreme(differences, _all_signs(n)).mean())
    signs = generator.integers(2, size=(resamples, n)) * 2 - 1
    # The signs as observed are one more draw, so that p is never 0.
    return float((_as_extreme(differences, signs).sum() + 1) / (resamples + 1))


def _all_signs(n: int) -> NDArray[np.int64]:
    """Return all sign patterns, (2**n, n)."""
    # Row r has the bits of r: the numbers below 2**n spell every pattern once.
    bits = np.arange(2**n)[:, np.newaxis] >> np.arange(n) & 1
    return bits.astype(np.int64) * 2 - 1


def _as_extreme(differences: NDArray[np.float64], signs: NDArray[np.int64]) -> NDArray[np.bool_]:
    observed = abs(differences.sum())
    # Sums of the same numbers in another order differ in their last bits and are still ties.
    tolerance = 1e-9 * np.abs(differences).sum()
    extreme: NDArray[np.bool_] = np.abs(signs @ differences) >= observed - tolerance
    return extreme
