"""The interval for new images: by hand, and whether it covers when seeds and images vary."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from blockzoo.stats.new_images import interval_for_new_images

Answers = NDArray[np.bool_]


def test_by_hand() -> None:
    # d = [[1, 0, 1], [0, 0, 1]]: mean 1/2; seeds 2/3, 1/3; images 1/2, 0, 1
    first = [[True, False, True], [False, False, True]]
    low, high = interval_for_new_images(first, np.zeros((2, 3), dtype=bool)) or (0, 0)
    seeds, images, rest = 3 * (2 / 36) / 1, 2 * 0.5 / 2, (1.5 - 1 / 6 - 1) / 2
    variance = (seeds + images - rest) / 6
    freedom = (seeds + images - rest) ** 2 / (seeds**2 / 1 + images**2 / 2 + rest**2 / 2)
    reach = stdtrit(freedom, 0.975) * variance**0.5
    assert (low, high) == pytest.approx((0.5 - reach, 0.5 + reach))


def test_what_has_no_interval() -> None:
    assert interval_for_new_images([[True, False]], [[True, True]]) is None
    assert interval_for_new_images([[True], [False]], [[True], [True]]) is None
    same = np.ones((3, 4), dtype=bool)
    assert interval_for_new_images(same, same) == (0.0, 0.0)
    with pytest.raises(ValueError, match="alike"):
        interval_for_new_images(same, same[:2])


def drawn(generator: np.random.Generator, n: int, m: int) -> tuple[Answers, Answers]:
    """Draw answers: images differ in difficulty, for both and for each; seeds differ; and noise."""
    difficulty = generator.normal(size=(1, m))

    def of_block(skill: float) -> Answers:
        own, seeds = generator.normal(0, 0.5, (1, m)), generator.normal(0, 0.15, (n, 1))
        noise = generator.normal(0, 0.5, (n, m))
        answers: Answers = skill + difficulty + own + seeds + noise > 0
        return answers

    return of_block(0.9), of_block(1.0)


@pytest.mark.parametrize("n", [3, 5, 10, 15, 20])
def test_it_covers_the_difference_on_all_images(n: int) -> None:
    deviation = (1 + 0.25 + 0.25 + 0.15**2) ** 0.5
    true = ndtr(0.9 / deviation) - ndtr(1.0 / deviation)
    generator, covered, trials = np.random.default_rng(n), 0, 500
    for _ in range(trials):
        low, high = interval_for_new_images(*drawn(generator, n, 300)) or (0, 0)
        covered += bool(low <= true <= high)
    # 0.93 to 0.97, and a standard error of what 500 draws may show beside it by chance.
    assert 0.92 <= covered / trials <= 0.98
