"""How far a difference in accuracy holds for other images of the same kind, not these alone.

Seeds and images vary. Of two blocks' kept answers d[s, i] is -1, 0 or 1: which of the two answered
image i rightly with seed s. Its mean has the variance of both and of what is left, by the analysis
of variance of two crossed random factors without repetition (Searle, Casella & McCulloch 1992).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from blockzoo.stats.paired_seeds import CONFIDENCE


def interval_for_new_images(
    first: ArrayLike, second: ArrayLike, *, confidence: float = CONFIDENCE
) -> tuple[float, float] | None:
    """Return the interval of the difference in accuracy, fractions of 1, for new seeds and images.

    `first`, `second`: which images were answered rightly, bool (seeds, images), seed by seed the
    same. None for one seed or one image. Raises `ValueError` where the shapes differ.

    >>> right = np.random.default_rng(0).random((2, 5, 400)) < [[[0.9]], [[0.7]]]
    >>> low, high = interval_for_new_images(*right)
    >>> 0.1 < low < 0.2 < high < 0.3
    True
    """
    a, b = np.asarray(first, dtype=np.int8), np.asarray(second, dtype=np.int8)
    if a.shape != b.shape or a.ndim != 2:
        raise ValueError(f"answers must be (seeds, images), alike; given {a.shape}, {b.shape}")
    n, m = a.shape
    if n < 2 or m < 2:
        return None
    d = a - b
    # Of whole numbers, which of hundreds of seeds is ten times as fast as of fractions.
    of_seed, of_image = (d.sum(axis=axis, dtype=np.int64) for axis in (1, 0))
    mean = float(of_seed.sum()) / (n * m)
    by_seed, by_image = of_seed / m - mean, of_image / n - mean
    of_seeds = m * float((by_seed**2).sum()) / (n - 1)
    of_images = n * float((by_image**2).sum()) / (m - 1)
    total = float(np.count_nonzero(d)) - n * m * mean**2
    left = total - of_seeds * (n - 1) - of_images * (m - 1)
    of_rest = max(left, 0.0) / ((n - 1) * (m - 1))
    # What images add is not negative: no less remains than the seeds alone show.
    by_images = max(of_images - of_rest, 0.0)
    variance = (of_seeds + by_images) / (n * m)
    if variance == 0:
        return mean, mean
    # Degrees of freedom by Satterthwaite cover 92% at three seeds; Cochran's (1964) mean of the two
    # values of t, each by its share of the variance, covers 94% to 97%.
    t_seeds, t_images = stdtrit([n - 1, m - 1], (1 + confidence) / 2)
    t = (t_seeds * of_seeds + t_images * by_images) / (of_seeds + by_images)
    reach = float(t * np.sqrt(variance))
    return mean - reach, mean + reach
