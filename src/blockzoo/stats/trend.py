"""Whether a row of samples rises or falls, beyond what chance does."""

from __future__ import annotations

import math

import numpy as np

from blockzoo.stats.medians import Samples

_LEAST_CHANGE = 0.01
"""Of the median, from the first third to the last: a trend below it moves no verdict."""
_LEVEL = 0.01


def trends(samples: Samples, *, of: int = 1) -> bool:
    """Tell whether the samples have a trend that is both sure and large enough to matter.

    Sure: Spearman's rank correlation with the order is significant at 1%, shared by all `of` rows
    that are asked about; fewer than eight samples never are. Large: the medians of the first and
    last third differ by more than 1%.

    >>> trends(np.linspace(1.0, 1.1, 30)), trends(np.linspace(1.0, 1.001, 30))
    (True, False)
    >>> trends(np.tile([1.0, 1.1], 15))
    False
    """
    third = len(samples) // 3
    z = abs(rank_correlation(samples)) * math.sqrt(max(len(samples) - 1, 0))
    # Two-sided, by the normal distribution.
    if not third or math.erfc(z / math.sqrt(2)) > _LEVEL / of:
        return False
    first, last = np.median(samples[:third]), np.median(samples[-third:])
    return bool(abs(last / first - 1) > _LEAST_CHANGE)


def rank_correlation(samples: Samples) -> float:
    """Return Spearman's correlation of the samples with their order; 0 where all are equal.

    >>> rank_correlation(np.array([1.0, 2.0, 3.0])), rank_correlation(np.array([2.0, 2.0]))
    (1.0, 0.0)
    """
    _, which, counts = np.unique(samples, return_inverse=True, return_counts=True)
    if len(counts) < 2:
        return 0.0
    # Equal samples share the middle of the ranks that they take up.
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[which]
    return float(np.corrcoef(ranks, np.arange(len(samples)))[0, 1])
