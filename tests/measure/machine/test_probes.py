"""Short looks at the machine."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from blockzoo.measure.machine import probes


def test_the_spread_is_relative_to_the_median() -> None:
    noise = probes.spread([100, 90, 110, 100, 400])
    assert noise == probes.Noise(iqr=0.1, worst=4.0)
    assert probes.spread([7, 7, 7]) == probes.Noise(iqr=0.0, worst=1.0)


def test_a_real_probe_leaves_the_threads_alone() -> None:
    torch.set_num_threads(2)
    noise = probes.probe_noise(0.02)
    assert torch.get_num_threads() == 2
    assert noise.iqr >= 0
    assert noise.worst >= 1


def test_even_a_probe_without_time_tells_something() -> None:
    assert probes.probe_noise(1e-9) == probes.Noise(iqr=0.0, worst=1.0)


def test_the_timer_is_as_fine_as_its_smallest_step(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter(range(10_000))
    # A clock that stands still for three looks and then moves on by 15 us.
    clock = SimpleNamespace(perf_counter_ns=lambda: 15_000 * (next(looks) // 3))
    monkeypatch.setattr(probes, "time", clock)
    assert probes.timer_resolution_ns() == 15_000


def test_stolen_time_is_a_share_of_all_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stat = tmp_path / "stat"
    stat.write_text("cpu  100 0 50 1000 5 0 1 20 9 0\ncpu0 1 2 3\n")
    later = "cpu  160 0 60 1020 5 0 1 30 99 0\ncpu0 1 2 3\n"
    monkeypatch.setattr(time, "sleep", lambda seconds: stat.write_text(later))
    assert probes.steal_fraction(stat=stat) == pytest.approx(10 / 100)
    assert probes.steal_fraction(stat=stat) == 0.0  # no time went by
    assert probes.steal_fraction(stat=tmp_path / "absent") is None


def test_swap_is_never_negative() -> None:
    assert probes.swap_used_bytes() >= 0
