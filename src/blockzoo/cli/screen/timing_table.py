"""The table that `blockzoo benchmark` shows while it measures: what each network is at.

It is fed with the events of the measuring processes and redrawn a few times a second. Numbers of a
network are computed when it is drawn, and only if samples came since; they are of all samples
pooled so far, so the recorded interval, over processes, may be wider.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.text import Text

from blockzoo.measure.timing.events import (
    Done,
    Event,
    Failed,
    Listener,
    Networks,
    Samples,
    State,
)
from blockzoo.report.tables.fitting import FittedTable
from blockzoo.stats.medians import order_interval
from blockzoo.stats.paired_rounds import NetworkSamples

# What is higher than the terminal, rich cuts off at its end.
MOST_ROWS = 25
# Seldom: drawing takes time on the machine that is being timed.
_REFRESHES_PER_S = 4
_ENDED = ("converged", "failed", "budget spent")


@dataclass(kw_only=True)
class _Row:
    label: str
    state: str = "waiting"
    reason: str = ""
    samples_ms: list[float] = field(default_factory=list)
    shown: int = 0
    median: str = ""
    half_width: str = ""

    def refresh(self) -> None:
        if len(self.samples_ms) == self.shown:
            return
        # Rich draws in a thread of its own while samples come in, so the length is read once.
        self.shown = len(self.samples_ms)
        samples = np.array(self.samples_ms[: self.shown])
        (low, high), median = order_interval(samples), float(np.median(samples))
        self.median = f"{median:.4g}"
        self.half_width = f"{(high - low) / 2 / median * 100:.2f}"


class LiveTable:
    """What is known of all networks, which the event `Networks` names and labels.

    `budget_s` bounds the timing of one network in all `processes`, for the time left.
    """

    def __init__(
        self,
        *,
        processes: int,
        budget_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rows: dict[str, _Row] = {}
        self._processes = max(processes, 1)  # 0 is this process
        self._budget_s, self._clock = budget_s, clock
        self._start_s = self._process_s = clock()
        self._finished = 0

    def take(self, event: Event) -> str | None:
        """Take in an event; returns a line about the process that it ended, if it did."""
        match event:
            case Networks(labels=labels):
                self._rows = {name: _Row(label=label) for name, label in labels.items()}
                # The clock starts here: building and gating came before, and are no part of the
                # budget.
                self._start_s = self._process_s = self._clock()
            case Samples(samples=samples):
                for name, _, nanoseconds in samples:
                    self._rows[name].samples_ms.append(nanoseconds / 1e6)
                    self._rows[name].state = "sampling"
            # That one is sampled is shown when its first sample is there.
            case State(name=name, stage=stage) if stage != "sampling":
                self._rows[name].state = stage
                if stage == "preparing":  # which is not timed, and no part of the budget
                    self._start_s = self._process_s = self._clock()
            case Failed(name=name, reason=reason):
                self._fail(name, reason)
            case Done(ends=ends):
                return self._end_process(ends)
        return None

    def _fail(self, name: str, reason: str) -> None:
        self._rows[name].state = "failed"
        # A row has room for one line, and a reason may have many, or none.
        self._rows[name].reason = next(iter(reason.splitlines()), "")

    def _end_process(self, ends: Mapping[str, NetworkSamples]) -> str:
        for name, end in ends.items():
            if end.failure is not None:
                self._fail(name, end.failure)
            else:
                self._rows[name].state = "converged" if end.converged else "budget spent"
        self._finished += 1
        now_s = self._clock()
        took_s, self._process_s = now_s - self._process_s, now_s
        number = f"process {self._finished} of {self._processes}"
        return f"{number}: {len(ends)} networks, {took_s:.0f} s"

    def header(self) -> str:
        """Return the line above the table: process, time spent, and time left at the most."""
        if not self._rows:
            return "checking the networks"
        if any(row.state == "preparing" for row in self._rows.values()):
            return "preparing the networks"
        elapsed_s = self._clock() - self._start_s
        number = min(self._finished + 1, self._processes)
        text = f"process {number} of {self._processes}, {elapsed_s:.0f} s"
        return f"{text}, about {self._left_s(elapsed_s):.0f} s left"

    def _left_s(self, elapsed_s: float) -> float:
        """Return the rest by the pace of finished processes; before, by the budget."""
        left = self._processes - self._finished
        if self._finished:
            pace_s = (self._process_s - self._start_s) / self._finished
            return max(left * pace_s - (elapsed_s - self._finished * pace_s), 0.0)
        return max(self._budget_s * len(self._rows) - elapsed_s, 0.0)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the header, the rows and, with many networks, a line on those that are not shown."""
        del console, options
        table = FittedTable(
            title="",
            columns={
                "network": "name",
                "state": "text",
                **dict.fromkeys(("samples", "median ms", "+- %"), "number"),
            },
            dispensable=("samples",),
        )
        rows = list(self._rows.values())
        if len(rows) > MOST_ROWS:
            # Those that ended are counted below; these are the ones to watch.
            rows = [row for row in rows if row.state not in _ENDED][:MOST_ROWS]
        for row in rows:
            row.refresh()
            state = f"{row.state}: {row.reason}" if row.reason else row.state
            table.add_row(row.label, state, str(row.shown), row.median, row.half_width)
        lines: list[RenderableType] = [Text(self.header()), table]
        if len(self._rows) > len(rows):
            states = Counter(row.state for row in self._rows.values())
            counts = ", ".join(f"{count} {state}" for state, count in states.items())
            lines.append(Text(f"{len(self._rows)} networks: {counts}"))
        yield Group(*lines)


@contextmanager
def showing(table: LiveTable, console: Console) -> Iterator[Listener]:
    """Show `table` while events come; where there is no terminal, a line per finished process."""
    if console.is_terminal:
        with Live(table, console=console, refresh_per_second=_REFRESHES_PER_S, transient=True):

            def take(event: Event) -> None:
                # What it returns is for logs; the header shows the same.
                table.take(event)

            yield take
        return

    def take_and_print(event: Event) -> None:
        line = table.take(event)
        if line is not None:
            console.print(line, highlight=False, soft_wrap=True)

    yield take_and_print
