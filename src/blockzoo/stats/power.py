"""What a number of seeds can find, and how many would find it, by the paired t-test.

`deviation` is that of the differences between pairs, in the unit of `difference`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainccinv, gammaincinv, gammaln, ndtr, stdtrit

POWER = 0.8
SEEDS_MAX = 1000
"""More are not looked for: a search that ends there says that no number of seeds would do."""
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(100)
_RARE = 1e-16
"""Deviations that n pairs show less often than this do not count."""
_CERTAIN = 9.0
"""Standard errors beyond which nothing is open."""

Values = NDArray[np.float64]


def power_of_difference(difference: float, deviation: float, n: int, alpha: float) -> float:
    """Return the probability that n pairs find a true difference, two-sided at `alpha`.

    >>> round(power_of_difference(1.0, 1.0, 10, 0.05), 3)
    0.803
    """
    if deviation == 0:
        return 1.0 if difference else alpha
    limit = float(stdtrit(n - 1, 1 - alpha / 2))
    shift = abs(difference) / deviation * np.sqrt(n)

    def beyond(shown: Values) -> Values:
        found: Values = ndtr(shift - limit * shown) + ndtr(-shift - limit * shown)
        return found

    # The noncentral t, by itself: scipy's `nctdtr` is NaN for few pairs and large differences.
    steep = ((shift - _CERTAIN) / limit, (shift + _CERTAIN) / limit)
    return _mean_over_shown(beyond, n, steep)


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
    t, unit = float(stdtrit(n - 1, 1 - alpha)), np.sqrt(n) / deviation

    def within(shown: Values) -> Values:
        room = np.maximum(margin - t * shown / unit, 0.0)
        equal: Values = ndtr((room - difference) * unit) - ndtr((-room - difference) * unit)
        return equal

    return _mean_over_shown(within, n, (margin * unit / t,))


def _mean_over_shown(of: Callable[[Values], Values], n: int, breaks: tuple[float, ...]) -> float:
    """Return the mean of a function over what n normal values show of their deviation.

    Both are shares of the true deviation, chi over the root of its degrees of freedom. Between
    `breaks` the function is smooth.
    """
    freedom = n - 1
    least = np.sqrt(2 * gammaincinv(freedom / 2, _RARE) / freedom)
    most = np.sqrt(2 * gammainccinv(freedom / 2, _RARE) / freedom)
    ends = np.unique(np.clip((least, *breaks, most), least, most))
    low, width = ends[:-1, np.newaxis], np.diff(ends)[:, np.newaxis]
    shown = low + width * (_NODES + 1) / 2
    logarithm = (freedom - 1) * np.log(shown) - freedom * shown**2 / 2
    constant = np.log(2) + freedom / 2 * np.log(freedom / 2) - gammaln(freedom / 2)
    return float((np.exp(logarithm + constant) * of(shown) * _WEIGHTS * width / 2).sum())


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
