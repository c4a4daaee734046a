"""Means and paired differences over seeds: what may be said about a few of them.

Intervals are Student's t, 95% unless asked otherwise. A percentile bootstrap of three seeds covers
75%, of ten 91%; it is not used.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr, stdtrit

CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class MeanInterval:
    """The mean of `n` values and its Student-t interval, None and None for one value."""

    n: int
    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """The mean of first minus second over pairs, one a seed.

    Attributes:
        n: Pairs.
        mean: Of the differences; of accuracies a fraction of 1.
        low: Lower end of the 95% interval, Student's t; None for one pair.
        high: Upper end; None for one pair.
        p_value: Of a two-sided paired t-test of a mean of zero; 1 for one pair.
        deviation: Standard deviation of the differences; None for one pair.
        correlation: Of the two over the pairs: what pairing bought; None where it is not defined.
    """

    n: int
    mean: float
    low: float | None
    high: float | None
    p_value: float
    deviation: float | None
    correlation: float | None

    def interval(self, confidence: float) -> tuple[float, float] | None:
        """Return the Student-t interval of that confidence; None for one pair.

        Args:
            confidence: Between 0 and 1.

        Example:
            >>> low, high = paired_difference([3.0, 2.0, 4.0], [1.0, 1.0, 1.0]).interval(0.9)
            >>> round(low, 3), round(high, 3)
            (0.314, 3.686)
        """
        if self.deviation is None:
            return None
        reach = _reach(self.deviation, self.n, confidence)
        return self.mean - reach, self.mean + reach


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
    reach = _reach(float(sample.std(ddof=1)), n, confidence)
    return MeanInterval(n=n, mean=mean, low=mean - reach, high=mean + reach)


def paired_difference(
    first: ArrayLike, second: ArrayLike, *, confidence: float = CONFIDENCE
) -> PairedDifference:
    """Compare two results (n,) that belong together in pairs, such as by seed.

    Raises `ValueError` for none, NaN, or two lengths.

    >>> difference = paired_difference([0.92, 0.95, 0.94], [0.90, 0.94, 0.91])
    >>> round(difference.mean, 3), round(difference.p_value, 3)
    (0.02, 0.074)
    """
    a, b = _sample(first), _sample(second)
    if a.shape != b.shape:
        raise ValueError(f"pairs need as many values on both sides; given {len(a)} and {len(b)}")
    differences = a - b
    n, mean = len(differences), float(differences.mean())
    if n == 1:
        return PairedDifference(
            n=1, mean=mean, low=None, high=None, p_value=1.0, deviation=None, correlation=None
        )
    deviation = float(differences.std(ddof=1))
    reach = _reach(deviation, n, confidence)
    return PairedDifference(
        n=n,
        mean=mean,
        low=mean - reach,
        high=mean + reach,
        p_value=_t_test(mean, deviation, n),
        deviation=deviation,
        correlation=_correlation(a, b),
    )


def _sample(values: ArrayLike) -> NDArray[np.float64]:
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or sample.size == 0 or not np.isfinite(sample).all():
        raise ValueError("statistics need one or more finite values in one dimension")
    return sample


def _reach(deviation: float, n: int, confidence: float) -> float:
    return float(stdtrit(n - 1, (1 + confidence) / 2) * deviation / np.sqrt(n))


def _t_test(mean: float, deviation: float, n: int) -> float:
    """Return the two-sided p of a mean of zero."""
    if deviation == 0:  # all pairs differ by the same
        return 0.0 if mean else 1.0
    return float(2 * stdtr(n - 1, -abs(mean) / deviation * np.sqrt(n)))


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float | None:
    if a.std() == 0 or b.std() == 0:
        return None
    return float(np.corrcoef(a, b)[0, 1])
