"""Answers to test images: packed and back, and only where they are of those images."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest

from blockzoo.core.errors import ResultsError
from blockzoo.results.answers import answers_of, export_answers, packed, unpacked
from blockzoo.results.export import export
from blockzoo.results.store.database import Store
from tests.record_samples import cost, training


@pytest.mark.parametrize("images", [1, 7, 8, 9, 10_000])
def test_what_was_packed_is_unpacked(images: int) -> None:
    correct = np.random.RandomState(0).rand(images) < 0.6
    text = packed(correct)
    assert np.array_equal(unpacked(text, images), correct)
    assert len(base64.b64decode(text)) == (images + 7) // 8


def test_the_first_image_is_the_highest_bit() -> None:
    assert packed(np.array([True] + [False] * 7)) == "gA=="
    assert packed(np.array([False] * 7 + [True])) == "AQ=="


@pytest.mark.parametrize(
    ("text", "images", "message"),
    [
        ("gA==", 9, "are 1 bytes for 9"),
        ("gAA=", 8, "are 2 bytes for 8"),
        ("AQ==", 7, "are 1 bytes for 7"),
        ("g", 8, "no base64 text"),
        ("\u00e4===", 8, "no base64 text"),
    ],
)
def test_bits_of_other_images_are_refused(text: str, images: int, message: str) -> None:
    with pytest.raises(ResultsError, match=message):
        unpacked(text, images)


def test_a_record_from_before_has_none_and_one_that_contradicts_itself_is_named() -> None:
    assert answers_of(training()) is None
    record = training(test_correct="6A==", test_images=6, test_accuracy=4 / 6)
    found = answers_of(record)
    assert found is not None
    assert found.tolist() == [True, True, True, False, True, False]
    with pytest.raises(ResultsError, match=r"record x: 4 of 6 test images .* make no accuracy"):
        answers_of(record.model_copy(update={"trial_id": "x", "test_accuracy": 1.0}))
    with pytest.raises(ResultsError, match=r"record training: .* are 1 bytes for 60"):
        answers_of(record.model_copy(update={"test_images": 60}))


def test_the_export_has_an_array_of_bool_for_each_training_that_has_answers(tmp_path: Path) -> None:
    answered = training("b", test_correct="gA==", test_images=4, test_accuracy=0.25)
    file = tmp_path / "answers.npz"
    with Store(tmp_path / "one.db", create=True) as store:
        store.put_all([cost(), training("a"), answered])
        export(store, file)
        assert export_answers(store, tmp_path / "again.npz") == 1
    with np.load(file) as arrays:
        assert arrays.files == ["b"]
        assert arrays["b"].dtype == bool
        assert arrays["b"].tolist() == [True, False, False, False]
