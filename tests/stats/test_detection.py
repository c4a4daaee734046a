"""What a sample catches, against counting and simulation; where one more value lies."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from blockzoo.stats.detection import detection_probability, interval_of_one_more, sample_for


@pytest.mark.parametrize(("results", "false", "sample"), [(7, 2, 3), (9, 4, 2), (6, 1, 6)])
def test_is_the_share_of_all_samples_that_hold_a_false_result(
    results: int, false: int, sample: int
) -> None:
    samples = list(combinations(range(results), sample))
    caught = sum(min(each) < false for each in samples)
    assert detection_probability(results, false, sample) == pytest.approx(caught / len(samples))


def test_nothing_false_or_nothing_drawn_catches_nothing() -> None:
    assert detection_probability(10, 0, 10) == 0.0
    assert detection_probability(10, 5, 0) == 0.0
    assert detection_probability(10, 5, 6) == 1.0


@pytest.mark.parametrize("case", [(3, 1, 4), (3, 4, 1), (-1, 0, 0)])
def test_more_than_there_are_cannot_be(case: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="cannot be"):
        detection_probability(*case)


@pytest.mark.parametrize(("false", "probability"), [(1, 0.5), (5, 0.95), (50, 0.99)])
def test_the_sample_for_a_probability_is_the_smallest(false: int, probability: float) -> None:
    needed = sample_for(100, false, probability)
    assert needed is not None
    assert detection_probability(100, false, needed) >= probability
    assert detection_probability(100, false, needed - 1) < probability


@pytest.mark.parametrize(("n", "confidence"), [(3, 0.95), (9, 0.99)])
def test_one_more_value_lies_within_its_interval_as_often_as_it_says(
    n: int, confidence: float
) -> None:
    generator = np.random.default_rng(0)
    values = generator.normal(size=(4000, n + 1))
    inside = 0
    for row in values:
        low, high = interval_of_one_more(row[:n].tolist(), confidence) or (0.0, 0.0)
        inside += low <= row[n] <= high
    error = (confidence * (1 - confidence) / len(values)) ** 0.5
    assert inside / len(values) == pytest.approx(confidence, abs=4 * error)


def test_values_that_come_in_steps_have_room_for_one() -> None:
    assert interval_of_one_more([0.5, 0.5, 0.5], 0.95) == (0.5, 0.5)
    assert interval_of_one_more([0.5, 0.5, 0.5], 0.95, step=0.01) == (0.49, 0.51)
    assert interval_of_one_more([0.5, 0.6], 0.95) is None
