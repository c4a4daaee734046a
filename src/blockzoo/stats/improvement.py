"""The probability of improvement: how often, seed by seed, one block does better than another."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from blockzoo.stats.paired_seeds import CONFIDENCE


class Improvement(NamedTuple):
    """P(A > B) over new seeds, ties counted as halves, with its interval."""

    probability: float
    low: float
    high: float


def probability_of_improvement(
    first: ArrayLike, second: ArrayLike, *, confidence: float = CONFIDENCE
) -> Improvement:
    """Return P(first > second) of paired results (n,), with Wilson's interval (1927).

    >>> better = probability_of_improvement([3, 2, 4, 5], [1, 2, 1, 1])
    >>> better.probability, round(better.low, 2)
    (0.875, 0.4)
    """
    differences = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    n = len(differences)
    share = float((differences > 0).mean() + (differences == 0).mean() / 2)
    z2 = float(ndtri((1 + confidence) / 2)) ** 2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    reach = np.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    return Improvement(share, max(0.0, centre - float(reach)), min(1.0, centre + float(reach)))
