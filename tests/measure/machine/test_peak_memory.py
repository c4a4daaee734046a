"""Resident memory of this process, and how far it rises."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
import torch

from blockzoo.core.errors import ModelError
from blockzoo.core.processes import Answer, Worker
from blockzoo.measure.machine import peak_memory
from blockzoo.measure.machine.peak_memory import (
    GIVING_BACK_FREED_MEMORY,
    resident_bytes,
    rise_of_process,
)

_MB = 1_000_000
_SIZE = 64 * _MB


def agree(measured: int, expected: int) -> bool:
    return abs(measured - expected) <= 0.02 * expected + 8 * _MB


def held_and_peak(size: int) -> tuple[int, int, int]:
    """Hold `size` bytes, then as much again for a while; return rises above the beginning."""
    before = resident_bytes()
    held = torch.ones(size // 4)

    def run() -> None:
        torch.ones(size // 4)

    return (
        resident_bytes() - before,
        rise_of_process(run),
        rise_of_process(run, above_bytes=before) * len(held[:1]),
    )


def test_a_peak_is_above_what_is_held_or_above_what_was_before_it() -> None:
    with Worker(environment=GIVING_BACK_FREED_MEMORY) as process:
        outcome = process.ask(held_and_peak, _SIZE)
    assert isinstance(outcome, Answer)
    held, peak, above = outcome.value
    assert agree(held, _SIZE)
    assert agree(peak, _SIZE)
    assert agree(above, 2 * _SIZE)


def test_a_system_that_cannot_forget_its_peak_tells_only_what_rises_above(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(peak_memory, "_CLEAR_REFS", Path("/nowhere/clear_refs"))
    rise = rise_of_process
    with pytest.raises(ModelError, match="too little to be seen"):
        rise(lambda: None)
    room = peak_memory._highest_ever_bytes() - psutil.Process().memory_info().rss
    size = max(room, 0) + 64 * _MB

    def run() -> None:
        torch.ones(size // 4)

    assert agree(rise(run), size)
