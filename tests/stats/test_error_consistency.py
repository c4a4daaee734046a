"""Error consistency by hand."""

from __future__ import annotations

import numpy as np
import pytest

from blockzoo.stats.error_consistency import error_consistency


def answers(*words: str) -> list[list[bool]]:
    return [[letter == "1" for letter in word] for word in words]


def test_kappa_is_that_computed_by_hand() -> None:
    # Accuracies 0.8 and 0.6; both right on 5, both wrong on 1 of 10 images.
    found = error_consistency(answers("1111111100"), answers("1111100010"))
    # They agree on 0.6; by chance on 0.8 x 0.6 + 0.2 x 0.4 = 0.56; (0.6 - 0.56) / 0.44.
    assert found is not None
    assert found.kappa == pytest.approx(0.04 / 0.44)
    assert (found.least, found.most, found.pairs) == (found.kappa, found.kappa, 1)


def test_a_block_beside_itself_pairs_its_trainings_once() -> None:
    found = error_consistency(answers("1100", "1100", "1010"))
    # Kappa 1 of the first two, 0 of both others.
    assert found is not None
    assert (found.kappa, found.least, found.most, found.pairs) == (pytest.approx(1 / 3), 0, 1, 3)


def test_pairs_that_do_not_count_are_left_out() -> None:
    both = answers("1100", "1010")
    found = error_consistency(both, both, shared=np.eye(2))
    assert found is not None
    assert (found.kappa, found.pairs) == (0.0, 2)


def test_errors_on_other_images_are_below_chance() -> None:
    found = error_consistency(answers("1100"), answers("0011"))
    assert found is not None
    assert found.kappa == -1.0


def test_where_all_is_right_nothing_is_known() -> None:
    assert error_consistency(answers("1111"), answers("1111")) is None
    assert error_consistency(answers("1110")) is None


def test_other_images_are_refused() -> None:
    with pytest.raises(ValueError, match="same images"):
        error_consistency(answers("10"), answers("101"))
