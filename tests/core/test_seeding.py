"""Generators go on where they were, on whatever machine."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from blockzoo.core.errors import InputError
from blockzoo.core.seeding import generator_states, preserved, restore_generators, seeded


def drawn() -> tuple[float, float, float]:
    return random.gauss(0, 1), float(np.random.standard_normal()), float(torch.rand(()))


def test_generators_go_on_where_they_were() -> None:
    with preserved():
        drawn()
        states = generator_states()
        first = drawn()
        restore_generators(states)
        assert drawn() == first


def test_a_seed_decides_and_what_was_before_comes_back() -> None:
    with preserved():
        restore_generators(states := generator_states())
        expected = drawn()
        restore_generators(states)
        with seeded(3):
            first = drawn()
        with seeded(3):
            assert drawn() == first
        assert drawn() == expected


@pytest.mark.parametrize("gpus", [0, 1])
def test_states_of_gpus_that_are_not_here_are_left_out(
    gpus: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training on the CPU may begin on a node with two GPUs and go on elsewhere."""
    restored: list[tuple[str, int]] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(
        torch.cuda, "set_rng_state", lambda state, index: restored.append((state, index))
    )
    monkeypatch.setattr(torch.cuda, "get_rng_state_all", list)
    with preserved():
        restore_generators({**generator_states(), "cuda": ["first", "second"]})
        assert restored == [("first", 0), ("second", 1)][:gpus]


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_a_generator_would_not_take(seed: int) -> None:
    line = f"seed is {seed}; it must be within 0..4294967295"
    with pytest.raises(InputError, match=line), seeded(seed):
        pass


def test_the_largest_seed_is_one() -> None:
    with seeded(2**32 - 1):
        drawn()
