"""Error consistency by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from blockzoo.stats.error_consistency import kappa_of_pairs, summary_of


def answers(*words: str) -> NDArray[np.float32]:
    return np.array([[letter == "1" for letter in word] for word in words], dtype=np.float32)


def test_kappa_is_that_computed_by_hand() -> None:
    # Accuracies 0.8 and 0.6; both right on 5, both wrong on 1 of 10 images.
    found = kappa_of_pairs(answers("1111111100"), answers("1111100010"))
    # They agree on 0.6; by chance on 0.8 x 0.6 + 0.2 x 0.4 = 0.56; (0.6 - 0.56) / 0.44.
    assert found.tolist() == [[pytest.approx(0.04 / 0.44)]]


def test_every_training_is_paired_with_every_other() -> None:
    found = kappa_of_pairs(answers("1100", "1010"), answers("1100", "1010", "0011"))
    assert found.tolist() == [[1.0, 0.0, -1.0], [0.0, 1.0, 0.0]]


def test_a_summary_says_mean_least_most_and_how_many() -> None:
    found = summary_of(np.array([1.0, 0.0, 0.0, np.nan]))
    assert found is not None
    assert found.kappa == pytest.approx(1 / 3)
    assert (found.least, found.most, found.pairs) == (0.0, 1.0, 3)


def test_where_all_is_right_nothing_is_known() -> None:
    found = kappa_of_pairs(answers("1111"), answers("1111"))
    assert np.isnan(found).all()
    assert summary_of(found.ravel()) is None
