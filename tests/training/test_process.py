"""What a training frees stays with the process while it trains, and no longer."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

import psutil
import pytest
import torch
from torch import Tensor, nn

from blockzoo.training.fit import fit
from blockzoo.training.process import freed_memory_kept
from blockzoo.training.robustness import evaluate_robustness
from tests.training.samples import TINY_RECIPE, tiny_dataset, tiny_net, training_settings

CPU = torch.device("cpu")
BYTES = 2**26  # more than glibc ever keeps by itself

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc alone")


Answer = TypeVar("Answer")


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    for name in list(os.environ):
        if name.startswith("MALLOC_"):
            monkeypatch.delenv(name)


def in_fresh_process(ask: Callable[[], Answer]) -> Answer:
    """Return the answer of a process in which no test has left an arena behind."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(ask).result()


def given_back() -> float:
    """Fill some bytes, free them, and return which share of them leaves the process."""
    process = psutil.Process()
    filled = torch.ones(BYTES, dtype=torch.uint8)
    before = process.memory_info().rss
    del filled
    return (before - process.memory_info().rss) / BYTES


def before_meanwhile_and_after() -> tuple[float, float, float]:
    before = given_back()
    try:
        with freed_memory_kept(CPU):
            meanwhile = given_back()
            raise ValueError
    except ValueError:
        return before, meanwhile, given_back()


def after_an_allocation_that_fails() -> float:
    """With another thread, as trainings have; alone, glibc would not try another arena."""
    with ThreadPoolExecutor(1) as pool, freed_memory_kept(CPU):
        pool.submit(int).result()
        with pytest.raises(RuntimeError, match="allocate memory"):
            torch.empty(2**46, dtype=torch.uint8)
        return given_back()


def while_another_device_trains() -> float:
    with freed_memory_kept(torch.device("cuda")):
        return given_back()


def while_fit_trains() -> tuple[list[float], float]:
    import lightning.fabric  # noqa: F401 - `fit` would import it, which is no memory of training

    process, found = psutil.Process(), list[float]()
    before = process.memory_info().rss
    fit(
        tiny_net(),
        training_settings(tiny_dataset()),
        on_epoch=lambda _: found.append(given_back()),
    )
    return found, (process.memory_info().rss - before) / BYTES


class Probe(nn.Module):
    """Notes at each call what is given back."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.found = tiny_net(), list[float]()

    def forward(self, images: Tensor) -> Tensor:
        self.found.append(given_back())
        logits: Tensor = self.net(images)
        return logits


def while_robustness_is_evaluated() -> list[float]:
    probe = Probe()
    evaluate_robustness(probe, tiny_dataset())
    return probe.found


def test_kept_meanwhile_and_given_back_after_even_an_error() -> None:
    before, meanwhile, after = in_fresh_process(before_meanwhile_and_after)
    assert before > 0.9
    assert meanwhile < 0.1
    assert after > 0.9


def test_kept_when_an_allocation_has_failed() -> None:
    assert in_fresh_process(after_an_allocation_that_fails) < 0.1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MALLOC_TRIM_THRESHOLD_", "131072"),
        ("MALLOC_ARENA_TEST_", "8"),
        ("GLIBC_TUNABLES", "glibc.malloc.trim_threshold=131072"),
    ],
)
def test_what_the_user_set_has_precedence(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    _, meanwhile, _ = in_fresh_process(before_meanwhile_and_after)
    assert meanwhile > 0.9


def test_left_alone_where_another_device_trains() -> None:
    assert in_fresh_process(while_another_device_trains) > 0.9


def test_fit_keeps_it() -> None:
    found, grown = in_fresh_process(while_fit_trains)
    assert len(found) == TINY_RECIPE.epochs
    assert max(found) < 0.1
    assert grown < 0.5


def test_kept_while_robustness_is_evaluated() -> None:
    found = in_fresh_process(while_robustness_is_evaluated)
    assert found
    assert max(found) < 0.1


def test_no_weight_depends_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    kept, not_kept = tiny_net(), tiny_net()
    fit(kept, training_settings(tiny_dataset()))
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "131072")
    fit(not_kept, training_settings(tiny_dataset()))
    pairs = zip(kept.state_dict().values(), not_kept.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
