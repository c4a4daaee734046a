"""What a number of seeds can find, and how many would find it, by the paired t-test.

`deviation` is that of the differences between pairs, in the unit of `difference`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import gammainccinv, gammaincinv, gammaln, nctdtr, ndtr, stdtrit

POWER = 0.8
SEEDS_MAX = 1000
"""More are not looked for: a search that ends there says that no number of seeds would do."""
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(100)
_RARE = 1e-16
"""Deviations that n pairs show less often than this do not count."""
_CERTAIN = 8.0
"""Standard errors beyond the limit of a test."""


def power_of_difference(difference: float, deviation: float, n: int, alpha: float) -> float:
    """Return the probability that n pairs find a true difference, two-sided at `alpha`.

    >>> round(power_of_difference(1.0, 1.0, 10, 0.05), 3)
    0.803
    """
    if deviation == 0:
        return 1.0 if difference else alpha
    limit = float(stdtrit(n - 1, 1 - alpha / 2))
    shift = abs(difference) / deviation * np.sqrt(n)
    if shift > _CERTAIN + limit:  # where the series of scipy's function no longer ends
        return 1.0
    return float(1 - nctdtr(n - 1, shift, limit) + nctdtr(n - 1, shift, -limit))


def power_of_equality(
    margin: float, deviation: float, n: int, alpha: float = 0.05, difference: float = 0.0
) -> float:
    """Return the probability that n pairs of that true difference are found equal within a margin.

    By two one-sided tests at `alpha`: the interval of 1 - 2 alpha lies within the margin.

    >>> [round(power_of_equality(0.3, 0.25 * 2**0.5, n), 2) for n in (10, 15, 20)]
    [0.6, 0.86, 0.96]
    """
    if deviation == 0:
        return float(abs(difference) < margin)
    freedom, t = n - 1, float(stdtrit(n - 1, 1 - alpha))
    # Over what n pairs may show of the deviation, as a share of it; beyond `widest` none is equal.
    widest = margin * np.sqrt(n) / (t * deviation)
    low = np.sqrt(2 * gammaincinv(freedom / 2, _RARE) / freedom)
    high = min(np.sqrt(2 * gammainccinv(freedom / 2, _RARE) / freedom), widest)
    if high <= low:
        return 0.0
    shown = low + (high - low) * (_NODES + 1) / 2
    logarithm = (freedom - 1) * np.log(shown) - freedom * shown**2 / 2
    constant = np.log(2) + freedom / 2 * np.log(freedom / 2) - gammaln(freedom / 2)
    likely = np.exp(logarithm + constant) * _WEIGHTS * (high - low) / 2
    room = margin - t * deviation * shown / np.sqrt(n)
    unit = np.sqrt(n) / deviation
    inside = ndtr((room - difference) * unit) - ndtr((-room - difference) * unit)
    return float(likely @ inside)


def smallest_difference(deviation: float, n: int, alpha: float, power: float = POWER) -> float:
    """Return the true difference that n pairs find with that power.

    >>> round(smallest_difference(1.0, 10, 0.05), 3)
    0.996
    """
    low, high = 0.0, deviation
    while power_of_difference(high, deviation, n, alpha) < power:
        low, high = high, 2 * high if high else 1.0
    for _ in range(60):
        middle = (low + high) / 2
        found = power_of_difference(middle, deviation, n, alpha) >= power
        low, high = (low, middle) if found else (middle, high)
    return high


def seeds_to_find(
    difference: float, deviation: float, alpha: float, power: float = POWER
) -> int | None:
    """Return how many pairs find a true difference; None where `SEEDS_MAX` would not.

    >>> seeds_to_find(1.0, 1.0, 0.05)
    10
    """
    return _fewest(lambda n: power_of_difference(difference, deviation, n, alpha) >= power)


def seeds_to_equal(
    margin: float,
    deviation: float,
    alpha: float = 0.05,
    difference: float = 0.0,
    power: float = POWER,
) -> int | None:
    """Return how many pairs find equality within the margin; None where `SEEDS_MAX` would not.

    >>> seeds_to_equal(0.3, 0.25 * 2**0.5)
    14
    """
    return _fewest(lambda n: power_of_equality(margin, deviation, n, alpha, difference) >= power)


def _fewest(enough: Callable[[int], bool]) -> int | None:
    if not enough(SEEDS_MAX):
        return None
    low, high = 1, SEEDS_MAX
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
