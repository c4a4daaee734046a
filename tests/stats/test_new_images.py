"""The interval for new images: by hand, and whether it covers when seeds and images vary."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import ndtr

from blockzoo.stats.new_images import interval_for_new_images
from tests.stats.simulated import CASES, Draws, at_most

Answers = NDArray[np.bool_]


def test_by_hand() -> None:
    # d = [[1, 0, 1], [0, 0, 1]]: mean 1/2; seeds 2/3, 1/3; images 1/2, 0, 1
    first = [[True, False, True], [False, False, True]]
    low, high = interval_for_new_images(first, np.zeros((2, 3), dtype=bool)) or (0, 0)
    # Mean squares of seeds, of images, and of what is left.
    seeds, images, rest = 3 * (2 / 36) / 1, 2 * 0.5 / 2, (1.5 - 1 / 6 - 1) / 2
    of_images = images - rest
    variance = (seeds + of_images) / 6
    # Each value of t by its share: of 1 degree of freedom for the seeds, 2 for the images.
    t = (12.7062047362 * seeds + 4.30265272991 * of_images) / (seeds + of_images)
    reach = t * variance**0.5
    assert (low, high) == pytest.approx((0.5 - reach, 0.5 + reach))


def test_what_has_no_interval() -> None:
    assert interval_for_new_images([[True, False]], [[True, True]]) is None
    assert interval_for_new_images([[True], [False]], [[True], [True]]) is None
    same = np.ones((3, 4), dtype=bool)
    assert interval_for_new_images(same, same) == (0.0, 0.0)
    with pytest.raises(ValueError, match="alike"):
        interval_for_new_images(same, same[:2])


def drawn(
    generator: np.random.Generator, draws: Draws, m: int, deviation: float
) -> tuple[Answers, Answers]:
    """Draw answers: images differ in difficulty, for both and for each; seeds differ; and noise."""
    difficulty = generator.normal(size=(1, m))

    def of_block(skill: float) -> Answers:
        own, noise = generator.normal(0, 0.5, (1, m)), generator.normal(0, 0.5, (draws.n, m))
        seeds = deviation * draws.noise(generator, (draws.n, 1))
        answers: Answers = skill + difficulty + own + seeds + noise > 0
        return answers

    return of_block(0.9), of_block(1.0)


def true_difference(draws: Draws, deviation: float) -> float:
    """Return by how much the two differ on all images, over all seeds."""
    seeds = deviation * draws.noise(np.random.default_rng(9), (200_000,))
    rest = (1 + 0.25 + 0.25) ** 0.5
    return float((ndtr((0.9 + seeds) / rest) - ndtr((1.0 + seeds) / rest)).mean())


@pytest.mark.parametrize(
    ("draws", "deviation"),
    [
        pytest.param(draws, deviation, id=f"{draws}, {deviation}")
        for draws in CASES
        for deviation in (0.02, 0.15, 0.5)
        if draws.images is None and (deviation == 0.15 or not draws.skewed)
    ],
)
def test_it_covers_the_difference_on_all_images(draws: Draws, deviation: float) -> None:
    """Where seeds vary little beside images, as much, and more."""
    generator, covered, trials = np.random.default_rng(draws.n), 0, 800
    true = true_difference(draws, deviation)
    for _ in range(trials):
        low, high = interval_for_new_images(*drawn(generator, draws, 300, deviation)) or (0, 0)
        covered += bool(low <= true <= high)
    assert 0.93 <= covered / trials <= at_most(0.97, trials)
