"""Joint draws of means: as wide as standard errors, together over seeds."""

from __future__ import annotations

import numpy as np
import pytest

from blockzoo.stats.joint_means import drawn_means


@pytest.mark.parametrize("n", [3, 10, 20])
def test_draws_deviate_by_the_standard_error(n: int) -> None:
    values = np.random.default_rng(n).normal(size=(1, n))
    drawn = drawn_means(values, draws=20_000)
    expected = values.std(ddof=1) / np.sqrt(n)
    assert drawn.mean() == pytest.approx(values.mean(), abs=0.02 * expected + 0.01)
    assert drawn.std() == pytest.approx(expected, rel=0.03)


def test_blocks_that_share_their_seeds_noise_move_together() -> None:
    shared = np.random.default_rng(0).normal(size=8)
    drawn = drawn_means([shared, shared + 0.5, -shared])
    assert np.allclose(drawn[:, 1] - drawn[:, 0], 0.5)
    assert np.corrcoef(drawn[:, 0], drawn[:, 2])[0, 1] == pytest.approx(-1.0)


def test_a_seed_that_one_lacks_counts_for_the_others_and_one_seed_does_not_move() -> None:
    drawn = drawn_means([[1.0, 2.0, np.nan], [5.0, np.nan, np.nan]], draws=50)
    assert np.allclose(drawn[:, 1], 5.0, rtol=1e-12)
    assert drawn[:, 0].std() > 0
    assert drawn[:, 0].mean() == pytest.approx(1.5, abs=0.3)
