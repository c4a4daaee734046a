"""What a random sample that is checked would find, and what one more value can be.

Of N results f are false, and k of them, drawn without replacement, are made again. The number of
false ones among these is hypergeometric.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

LEAST_OTHERS = 3
"""Values from which on an interval for one more is given."""


def detection_probability(results: int, false: int, sample: int) -> float:
    """Return the probability that a sample holds at least one of the false results.

    Args:
        results: How many there are.
        false: How many of them are false.
        sample: How many are drawn, without replacement.

    Returns:
        Between 0 and 1.

    Raises:
        ValueError: Where more are false, or drawn, than there are.

    Example:
        >>> detection_probability(10, 1, 3), detection_probability(10, 8, 3)
        (0.3, 1.0)
    """
    if not (0 <= false <= results and 0 <= sample <= results):
        raise ValueError(f"{false} false and {sample} drawn of {results} results cannot be")
    if sample + false > results:
        return 1.0
    missed = math.comb(results - false, sample) / math.comb(results, sample)
    return round(1.0 - missed, 12)  # 0.3, and not 0.30000000000000004


def sample_for(results: int, false: int, probability: float) -> int | None:
    """Return the smallest sample that finds one of the false results with that probability.

    Args:
        results: How many there are.
        false: How many of them are false.
        probability: Above 0 and at most 1.

    Returns:
        How many to draw; None where nothing is false.

    Example:
        >>> sample_for(100, 10, 0.95), sample_for(100, 0, 0.95)
        (25, None)
    """
    if false == 0:
        return None
    enough = (
        k for k in range(results + 1) if detection_probability(results, false, k) >= probability
    )
    return next(enough)


def interval_of_one_more(
    values: Sequence[float], confidence: float, *, step: float = 0.0
) -> tuple[float, float] | None:
    """Return where one more value of the same kind lies: Student's t, for a single value.

    Args:
        values: Those that are known.
        confidence: Between 0 and 1.
        step: The smallest difference that values can have; the interval is wider by it.

    Returns:
        Lower and upper end; None with fewer than three values.

    Example:
        >>> low, high = interval_of_one_more([0.90, 0.92, 0.94], 0.95)
        >>> round(low, 3), round(high, 3)
        (0.821, 1.019)
        >>> interval_of_one_more([0.90, 0.92], 0.95)
    """
    n = len(values)
    if n < LEAST_OTHERS:
        return None
    sample = np.asarray(values, dtype=float)
    quantile = float(stdtrit(n - 1, 0.5 + confidence / 2))
    reach = quantile * float(sample.std(ddof=1)) * math.sqrt(1 + 1 / n) + step
    mean = float(sample.mean())
    return mean - reach, mean + reach
