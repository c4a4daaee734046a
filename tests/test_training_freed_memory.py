"""What a training frees stays with the process while it trains, and no longer."""

from __future__ import annotations

import os
import platform

import psutil
import pytest
import torch

from blockzoo.training.fit import fit
from blockzoo.training.freed_memory import freed_memory_kept
from tests.training_samples import TINY_RECIPE, tiny_dataset, tiny_net

CPU = torch.device("cpu")
BYTES = 2**26  # more than glibc ever keeps by itself

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc alone")


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    for name in list(os.environ):
        if name.startswith("MALLOC_"):
            monkeypatch.delenv(name)


def given_back() -> int:
    """Fill some bytes, free them, and return by how many the process's memory shrinks."""
    process = psutil.Process()
    filled = torch.ones(BYTES, dtype=torch.uint8)
    before = process.memory_info().rss
    del filled
    return before - process.memory_info().rss


def test_kept_meanwhile_and_given_back_after() -> None:
    assert given_back() > 0.9 * BYTES
    with freed_memory_kept(CPU):
        assert given_back() < 0.1 * BYTES
    assert given_back() > 0.9 * BYTES


def test_given_back_after_an_error() -> None:
    with pytest.raises(ValueError, match="stop"), freed_memory_kept(CPU):
        raise ValueError("stop")
    assert given_back() > 0.9 * BYTES


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MALLOC_TRIM_THRESHOLD_", "131072"),
        ("MALLOC_ARENA_MAX_", "1"),
        ("GLIBC_TUNABLES", "glibc.malloc.trim_threshold=131072"),
    ],
)
def test_what_the_user_set_has_precedence(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with freed_memory_kept(CPU):
        assert given_back() > 0.9 * BYTES


def test_left_alone_where_another_device_trains() -> None:
    with freed_memory_kept(torch.device("cuda")):
        assert given_back() > 0.9 * BYTES


def test_fit_keeps_it() -> None:
    process, found = psutil.Process(), list[int]()
    before = process.memory_info().rss
    fit(
        tiny_net(),
        tiny_dataset(),
        TINY_RECIPE,
        seed=0,
        progress=False,
        on_epoch=lambda _: found.append(given_back()),
    )
    assert len(found) == TINY_RECIPE.epochs
    assert max(found) < 0.1 * BYTES
    assert process.memory_info().rss - before < 0.5 * BYTES


def test_no_number_depends_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    kept, not_kept = tiny_net(), tiny_net()
    fit(kept, tiny_dataset(), TINY_RECIPE, seed=0, progress=False)
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "131072")
    fit(not_kept, tiny_dataset(), TINY_RECIPE, seed=0, progress=False)
    pairs = zip(kept.state_dict().values(), not_kept.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
