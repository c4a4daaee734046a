from __future__ import annotations

from blockzoo.measure.timing.clocks import Stopwatch, wall_clock_timer


def test_a_timer_times_all_calls_together() -> None:
    readings, calls = iter([10, 70]), []
    assert wall_clock_timer(lambda: next(readings))(lambda: calls.append(1), 3) == 60
    assert len(calls) == 3


def test_a_stopwatch_counts_only_what_went_forwards() -> None:
    readings = iter([100, 130, 130, 20, 25])
    watch = Stopwatch(lambda: next(readings))
    assert [watch.elapsed_ns() for _ in range(4)] == [30, 30, 30, 35]
