from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from blockzoo.core.errors import DataError, InputError
from blockzoo.core.seeding import checked_seed
from blockzoo.data import split_train_validation


def test_a_tenth_of_each_class_goes_to_validation() -> None:
    labels = torch.tensor([0] * 50 + [1] * 20 + [2] * 3)
    train, val = split_train_validation(labels)
    assert torch.bincount(labels[val]).tolist() == [5, 2, 1]
    assert torch.bincount(labels[train]).tolist() == [45, 18, 2]


def test_the_split_is_pinned() -> None:
    """The legacy stream of numpy never changes; a changed split would make old records lie."""
    _, val = split_train_validation(torch.arange(40) % 2)
    assert val.tolist() == [2, 3, 23, 36]


@settings(max_examples=50, deadline=None)
@given(
    counts=st.lists(st.integers(2, 30), min_size=1, max_size=5),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 100),
)
def test_every_image_is_on_one_side_and_every_class_on_both(
    counts: list[int], fraction: float, seed: int
) -> None:
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))]
    train, val = split_train_validation(labels, fraction=fraction, seed=seed)
    assert sorted([*train.tolist(), *val.tolist()]) == list(range(len(labels)))
    assert set(labels[train].tolist()) == set(labels[val].tolist()) == set(range(len(counts)))


def test_the_seed_matters_and_repeats() -> None:
    labels = torch.arange(200) % 4
    first, again, other = (split_train_validation(labels, seed=s)[1].tolist() for s in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_class_of_one_image_is_refused() -> None:
    with pytest.raises(DataError, match="class 1 has 1 image"):
        split_train_validation(torch.tensor([0, 0, 1]))


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1])
def test_an_impossible_fraction_is_refused(fraction: float) -> None:
    with pytest.raises(InputError, match="between 0 and 1"):
        split_train_validation(torch.tensor([0, 0]), fraction=fraction)


def test_an_impossible_seed_is_refused() -> None:
    with pytest.raises(InputError, match=r"split seed is -1; it must be within 0..4294967295"):
        split_train_validation(torch.tensor([0, 0]), seed=-1)


def test_a_whole_number_of_numpy_is_a_seed_and_a_fraction_is_none() -> None:
    found = checked_seed(np.int64(3))
    assert (found, type(found)) == (3, int)
    with pytest.raises(InputError, match=r"^seed is 1.5; it must be a whole number$"):
        checked_seed(1.5)  # type: ignore[arg-type]
