"""Accuracies as trainings may have them, drawn where the truth is known.

Seeds have a part that all blocks share and one of the block's own, normal or skewed by 1 with a
tail of bad runs. With `images` every accuracy is that of so many test images, each answered rightly
or not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

SIZES = (3, 5, 10, 15, 20)
LEVEL = 0.7
DEVIATION = 0.0025
"""Of a block's own part, a fraction of 1."""

Accuracies = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Draws:
    """`n` seeds; `deviation` of what a block has of its own."""

    n: int
    skewed: bool = False
    images: int | None = None
    deviation: float = DEVIATION

    def __str__(self) -> str:
        skew, images = ("skewed" if self.skewed else "normal"), f"{self.images or 'no'} images"
        return f"{self.n} seeds, {skew}, {images}"

    def noise(self, generator: np.random.Generator, shape: tuple[int, ...]) -> Accuracies:
        """Return noise of mean 0 and deviation 1."""
        return 2 - generator.gamma(4.0, 0.5, shape) if self.skewed else generator.normal(size=shape)

    def accuracies(
        self, generator: np.random.Generator, gains: ArrayLike, *, trials: int, spread: float = 1.0
    ) -> Accuracies:
        """Return accuracies (trials, k, n) of blocks that gain so much (k,) over the level.

        `spread`: by how much more the blocks but the last vary than the last.
        """
        gained = np.asarray(gains, dtype=np.float64)[:, np.newaxis]
        own = self.noise(generator, (trials, len(gained), self.n))
        own[:, :-1] *= spread
        drawn = LEVEL + gained + self.deviation * (own + self.noise(generator, (trials, 1, self.n)))
        return (
            drawn if self.images is None else generator.binomial(self.images, drawn) / self.images
        )

    @property
    def deviation_of_differences(self) -> float:
        """The deviation of what two blocks differ by."""
        of_images = 0.0 if self.images is None else LEVEL * (1 - LEVEL) / self.images
        return float(np.sqrt(2 * (self.deviation**2 + of_images)))


CASES = [
    Draws(n=n, skewed=skewed, images=images)
    for skewed in (False, True)
    for images in (None, 10_000)
    for n in SIZES
    # Below ten seeds nothing is promised of skewed ones.
    if n >= 10 or not skewed
]


def t_tests(differences: Accuracies) -> Accuracies:
    """Return the p values (...) of differences (..., n), many at once.

    Images make accuracies steps: all of few differences may be the same.
    """
    n, means = differences.shape[-1], differences.mean(axis=-1)
    errors = differences.std(axis=-1, ddof=1) / np.sqrt(n)
    t = np.abs(means) / np.where(errors > 0, errors, 1e-300)
    found: Accuracies = 2 * stats.t.sf(t, n - 1)
    return found


def at_most(rate: float, trials: int) -> float:
    """Return what a rate may come to by chance in so many trials: three standard errors more."""
    return rate + 3 * math.sqrt(rate * (1 - rate) / trials)
