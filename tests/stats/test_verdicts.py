"""What may be said of a ratio: by its interval, and by what else is known of it."""

from __future__ import annotations

from typing import Any

import pytest

from blockzoo.stats.verdicts import Ratio, judged, verdict_of


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [
        ((0.90, 0.95), "faster"),
        ((1.02, 1.30), "slower"),
        ((0.98, 1.01), "undecided"),
        ((0.996, 1.004), "same"),
        ((0.996, 0.999), "same"),
        ((0.990, 0.999), "undecided"),
        ((0.990, 0.9949), "faster"),
        ((0.999, 1.006), "undecided"),
    ],
)
def test_verdict(interval: tuple[float, float], verdict: str) -> None:
    assert verdict_of(interval) == verdict


def _judged(interval: tuple[float, float], **known: Any) -> tuple[str, str]:
    return judged(
        Ratio(interval=interval, **{"processes": 3, "of_medians": sum(interval) / 2, **known})
    )


@pytest.mark.parametrize("interval", [(0.90, 0.95), (0.999, 1.001), (1.05, 1.10)])
def test_what_three_processes_say_stands(interval: tuple[float, float]) -> None:
    assert _judged(interval) == (verdict_of(interval), "")


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("interval", [(0.90, 0.95), (0.999, 1.001)])
def test_fewer_than_three_processes_say_nothing(
    interval: tuple[float, float], processes: int
) -> None:
    verdict, reason = _judged(interval, processes=processes)
    assert verdict == "undecided"
    assert reason.startswith(f"{processes} process")
    assert "a verdict needs 3" in reason


@pytest.mark.parametrize(
    ("interval", "known", "verdict", "reason"),
    [
        ((0.98, 1.02), {}, "undecided", "the interval is neither within 0.5% of 1 nor beyond it"),
        ((0.90, 0.95), {"of_medians": 1.02}, "undecided", "the medians say otherwise: their ratio"),
        ((1.05, 1.10), {"of_medians": 0.99}, "undecided", "the medians say otherwise: their ratio"),
        ((0.90, 0.95), {"of_medians": 0.97}, "faster", ""),
        ((0.90, 0.95), {"flags": ("noisy", "under 1 ms")}, "undecided", "noisy and under 1 ms"),
        ((0.90, 0.95), {"flags": ("noisy",)}, "faster", ""),
        ((0.90, 0.95), {"flags": ("under 1 ms", "drift")}, "faster", ""),
        ((0.90, 0.95), {"like_calls": False}, "undecided", "its samples are means of more or"),
        ((0.02, 0.03), {"like_calls": False}, "faster", ""),
        ((20.0, 30.0), {"like_calls": False}, "slower", ""),
    ],
)
def test_doubts_leave_it_undecided_with_their_reason(
    interval: tuple[float, float], known: dict[str, Any], verdict: str, reason: str
) -> None:
    found, why = _judged(interval, **known)
    assert found == verdict
    assert why.startswith(reason)
    assert bool(why) == bool(reason)
