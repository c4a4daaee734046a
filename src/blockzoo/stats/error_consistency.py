"""Whether two networks err on the same images, more or less than chance has it.

Error consistency is Cohen's kappa of right and wrong (Geirhos, Meding & Wichmann, Beyond accuracy,
2020): with accuracies a and b, two that err independently agree on ab + (1 - a)(1 - b) of images.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Consistency(NamedTuple):
    """The mean kappa over pairs of trainings, the least and the most of a pair, and how many."""

    kappa: float
    least: float
    most: float
    pairs: int


def summary_of(kappas: NDArray[np.float64]) -> Consistency | None:
    """Return mean, least and most of the kappas of pairs (n,) that are defined; None without any.

    >>> summary_of(np.array([0.25, 0.75, np.nan]))
    Consistency(kappa=0.5, least=0.25, most=0.75, pairs=2)
    """
    found = kappas[~np.isnan(kappas)]
    if not len(found):
        return None
    return Consistency(float(found.mean()), float(found.min()), float(found.max()), len(found))


def kappa_of_pairs(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return kappa of every training of the one with every training of the other.

    1 is errors on the same images, 0 as many common ones as chance has, below 0 fewer.

    Args:
        a: 1 where an image was answered rightly, else 0: (n, images).
        b: (k, images).

    Returns:
        (n, k); NaN where two answer all images rightly, or none.

    Example:
        >>> kappa_of_pairs(np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32)).tolist()
        [[1.0, -1.0], [-1.0, 1.0]]
    """
    images = a.shape[1]
    both_right = (a @ b.T).astype(np.float64) / images
    right_a, right_b = a.mean(axis=1, dtype=np.float64), b.mean(axis=1, dtype=np.float64)
    sums = right_a[:, np.newaxis] + right_b
    agree = 1 - sums + 2 * both_right
    by_chance = 1 - sums + 2 * np.outer(right_a, right_b)
    with np.errstate(invalid="ignore", divide="ignore"):
        kappas: NDArray[np.float64] = (agree - by_chance) / (1 - by_chance)
    return np.where(1 - by_chance > 1e-12, kappas, np.nan)
