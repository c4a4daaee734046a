"""Maps of error consistency: who is in them, and what a cell is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from blockzoo.analysis.errors import error_maps
from blockzoo.analysis.trainings import Trained, trained
from blockzoo.core.position import Position
from blockzoo.results.answers import packed
from tests.record_samples import training


def of(block: str, *words: str, **changes: Any) -> list[Trained]:
    made = []
    for seed, word in enumerate(words):
        bits = np.array([letter == "1" for letter in word])
        kept = {"test_correct": packed(bits), "test_images": len(bits)}
        values: dict[str, Any] = {
            "seed": seed,
            "test_accuracy": float(bits.mean()),
            **kept,
            **changes,
        }
        made.append(training(f"{block}{seed}", block, **values))
    return list(trained(made))


def test_blocks_stand_by_accuracy_and_cells_pair_other_seeds() -> None:
    (found,) = error_maps([*of("A", "1100", "1010"), *of("B", "1110", "1101")])
    assert (found.blocks, found.accuracies, found.images) == (("B", "A"), (0.75, 0.5), 4)
    assert found.position is Position.MID
    own = found.cells[1, 1]
    assert own is not None
    assert (own.kappa, own.pairs) == (0.0, 1)
    beside = found.cells[0, 1]
    # B of seed 0 beside A of seed 1, 1110 and 1010: 3 of 4 agree, by chance 0.5: kappa 0.5.
    # B of seed 1 beside A of seed 0, 1101 and 1100: the same.
    assert beside is not None
    assert beside.kappa == pytest.approx(0.5)
    assert beside.pairs == 2


def test_of_one_seed_each_the_pair_is_all_there_is() -> None:
    (found,) = error_maps([*of("A", "1100"), *of("B", "1110")])
    beside = found.cells[0, 1]
    assert beside is not None
    assert beside.pairs == 1
    assert found.cells[0, 0] is None


def test_the_first_seeds_count() -> None:
    (found,) = error_maps([*of("A", "1100", "0011"), *of("B", "1000")], most_seeds=1)
    assert found.cells[0, 0] is None


def test_blocks_without_answers_or_with_others_are_in_no_map() -> None:
    kept = [*of("A", "1100"), *of("B", "1110"), *of("C", "11100")]
    kept += of("D", "1000", test_correct=None, test_images=None)
    (found,) = error_maps(kept)
    assert found.blocks == ("B", "A")
    assert error_maps(of("A", "1100")) == []


def test_answers_that_are_none_are_passed_over() -> None:
    assert error_maps([*of("A", "1100", test_correct="?"), *of("B", "1110")]) == []
