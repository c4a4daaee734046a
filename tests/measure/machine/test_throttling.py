"""Slowed down or not, by counters that are made up."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from blockzoo.measure.machine import containers, hardware
from blockzoo.measure.machine.nvml import Gpu
from blockzoo.measure.machine.throttling import CpuCounters, ThrottleWatch, read_cpu, slowed


def counters(events: int | None, withheld_s: float | None) -> CpuCounters:
    return CpuCounters(thermal_events=events, withheld_s=withheld_s)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ((7, 1.0), (7, 1.0), False),
        ((7, 1.0), (8, 1.0), True),
        ((None, 1.0), (None, 1.09), False),
        ((None, 1.0), (None, 1.1), True),  # 1% of 10 s
        ((None, None), (None, None), False),
        ((7, None), (None, 5.0), False),  # readable once only: nothing can be said
        ((None, None), (7, 5.0), False),
    ],
)
def test_heat_counts_at_once_and_a_quota_from_a_hundredth_on(
    before: tuple[int | None, float | None],
    after: tuple[int | None, float | None],
    told: bool,
) -> None:
    assert slowed(counters(*before), counters(*after), 10.0) is told


def test_a_quota_that_withheld_nothing_is_none_whatever_the_time() -> None:
    assert not slowed(counters(0, 1.0), counters(0, 1.0), 0.0)


def test_counters_come_from_the_files_of_the_system(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for core, name, count in ((0, "core", 3), (0, "package", 5), (1, "core", 4)):
        folder = tmp_path / f"cpu{core}" / "thermal_throttle"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}_throttle_count").write_text(f"{count}\n")
        (folder / f"{name}_throttle_total_time_ms").write_text("900\n")
    (tmp_path / "cpufreq").mkdir()
    assert hardware.thermal_events(tmp_path) == 12
    assert hardware.thermal_events(tmp_path / "absent") is None
    monkeypatch.setattr(hardware, "thermal_events", lambda: 12)
    monkeypatch.setattr(containers, "withheld_s", lambda: None)
    assert read_cpu() == counters(12, None)


def test_only_what_comes_after_the_start_counts() -> None:
    events = iter([1, 5, 5, 6])
    watch = ThrottleWatch(["cpu"], read=lambda: counters(next(events), None), clock=lambda: 0.0)
    watch.start()
    assert watch.throttled() == ()
    assert watch.throttled() == ("cpu",)


class Clocked(Gpu):
    """Runs at this share of its default clock."""

    def __init__(self, share: float | None) -> None:
        self.share = share

    def clock_share(self) -> float | None:
        return self.share


def test_a_gpu_is_at_speed_from_three_quarters_of_its_default_clock_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shares = {"cuda:0": 0.74, "cuda:1": 0.75, "cuda:2": None, "cuda:3": 1.5}
    monkeypatch.setattr(Gpu, "find", lambda name: Clocked(shares[name]) if name in shares else None)
    watch = ThrottleWatch(["cpu", *shares, "cuda:4"], read=lambda: counters(None, None))
    slow = [name for name in ("cpu", *shares, "cuda:4") if not watch.at_speed(name)]
    assert slow == ["cuda:0"]


class Hot(Gpu):
    """Gives these reasons, one after the other."""

    def __init__(self, *reasons: tuple[str, ...] | None) -> None:
        self.reasons = iter(reasons)

    def slowdowns(self) -> tuple[str, ...] | None:
        return next(self.reasons)


def test_a_gpu_is_asked_ten_times_a_second_and_once_is_enough(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gpus = {"cuda:0": Hot((), ("power limit",), ()), "cuda:1": Hot(None, (), ()), "cuda:2": None}
    monkeypatch.setattr(Gpu, "find", gpus.__getitem__)
    ticks = itertools.count()
    watch = ThrottleWatch(
        ["cpu", *gpus, "cuda:0"],
        read=lambda: counters(None, None),
        clock=lambda: next(ticks) * 0.06,
    )
    for _ in range(5):
        watch.look()
    assert watch.throttled() == ("cuda:0",)
    assert list(gpus["cuda:0"].reasons) == []  # type: ignore[union-attr]
