"""The live table: events in, states, medians and interval widths on the screen."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from blockzoo.cli.screen.timing_table import LiveTable, showing
from blockzoo.measure.timing.events import Done, Failed, Networks, Sample, Samples, State
from blockzoo.stats.paired_rounds import NetworkSamples


def drawn(table: LiveTable) -> str:
    console = Console(file=StringIO(), force_terminal=True, width=120, color_system=None)
    console.print(table)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def row(text: str, label: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(label)]
    return line.split()


def test_rows_show_states_medians_and_half_widths() -> None:
    now = [0.0]
    names = {"x1": "A mid", "x2": "B mid", "x3": "C mid", "x4": "D mid"}
    table = LiveTable(processes=2, budget_s=15.0, clock=lambda: now[0])
    assert drawn(table).startswith("checking the networks")
    table.take(Networks(labels=names))
    table.take(State(name="x2", stage="warm-up"))
    table.take(Failed(name="x3", reason="RuntimeError: no kernel\nmore", traceback="trace"))
    # 100 samples, 1.01 to 2.00 ms: the interval ends at ranks 40 and 61 of 100.
    samples = tuple(Sample("x1", i, (1 + (i + 1) / 100) * 1e6) for i in range(100))
    table.take(Samples(samples=samples))
    now[0] = 10.0
    text = drawn(table)
    assert text.startswith("process 1 of 2, 10 s, about 50 s left")
    assert row(text, "A mid") == ["A", "mid", "sampling", "100", "1.505", "6.98"]
    assert row(text, "B mid") == ["B", "mid", "warm-up", "0"]
    assert "failed: RuntimeError: no kernel" in text
    assert row(text, "D mid") == ["D", "mid", "waiting", "0"]
    ends = {"x1": NetworkSamples(converged=True), "x2": NetworkSamples(failure="ValueError: late")}
    assert table.take(Done(ends=ends)) == "process 1 of 2: 2 networks, 10 s"
    text = drawn(table)
    assert text.startswith("process 2 of 2, 10 s, about 10 s left")
    assert row(text, "A mid")[2] == "converged"
    assert "failed: ValueError: late" in text


def test_preparing_is_shown_and_its_time_not_counted() -> None:
    now = [0.0]
    table = LiveTable(processes=1, budget_s=9.0, clock=lambda: now[0])
    table.take(Networks(labels={"x": "A mid", "y": "B mid"}))
    now[0] = 50.0
    table.take(State(name="x", stage="preparing"))
    text = drawn(table)
    assert text.startswith("preparing the networks")
    assert row(text, "A mid")[2] == "preparing"
    table.take(State(name="x", stage="waiting"))
    now[0] = 52.0
    assert drawn(table).startswith("process 1 of 1, 2 s, about 16 s left")


def test_many_networks_show_those_at_work_and_a_summary() -> None:
    table = LiveTable(processes=1, budget_s=9.0)
    table.take(Networks(labels={str(i): f"network{i:02}" for i in range(40)}))
    table.take(State(name="39", stage="loading"))
    table.take(Done(ends={str(i): NetworkSamples(converged=True) for i in range(30)}))
    text = drawn(table)
    assert "network00" not in text
    assert row(text, "network39") == ["network39", "loading", "0"]
    assert "40 networks: 30 converged, 9 waiting, 1 loading" in text


def test_without_a_terminal_a_line_per_process() -> None:
    console = Console(file=StringIO())
    table = LiveTable(processes=1, budget_s=9.0, clock=lambda: 0.0)
    table.take(Networks(labels={"x": "A mid"}))
    with showing(table, console) as take:
        take(Samples(samples=(Sample("x", 0, 1e6),)))
        take(Done(ends={"x": NetworkSamples(converged=True)}))
    assert isinstance(console.file, StringIO)
    assert console.file.getvalue() == "process 1 of 1: 1 networks, 0 s\n"
