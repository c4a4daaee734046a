"""The sampling engine: times named callables fairly on a noisy machine; knows nothing of torch.

A cell is a name and something to call. All cells are warmed up, then sampled in rounds: one sample
of every cell per round, of a baseline up to four, in an order drawn anew each round, so that
whatever the machine does in a round (clock, neighbors, heat) meets all cells alike and a ratio
within a round is free of it. No cell leaves early: its samples are what others are paired with, and
a cell that stopped in a lucky stretch would repeat worse than its interval says.
"""

from __future__ import annotations

import gc
import math
import random
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from blockzoo.core.errors import InputError
from blockzoo.measure.timing.clocks import Call, Clock, Stopwatch, Timer, wall_clock_timer
from blockzoo.measure.timing.settings import SamplingPlan
from blockzoo.measure.timing.warmup import warm_up
from blockzoo.stats.bootstrap import Samples, order_interval
from blockzoo.stats.paired_rounds import CellSamples, Spent, paired_ratios

Enter = Callable[[str, str], None]
"""`enter(cell, what)`: told before a cell is warmed up ("warm-up") or sampled ("sampling")."""
Sink = Callable[[str, int, float], None]
"""`sink(cell, round, nanoseconds)`: handed every sample as it arises."""
Progress = Callable[[float, str], None]
"""`progress(fraction, text)`: how much is done (0 to 1, an estimate) and what is being done."""
Accept = Callable[[str], bool]
"""`accept(cell)`: asked right after a sample was timed whether it counts."""
Failed = Callable[[str, str, str], None]
"""`failed(cell, failure, traceback)`: told of a cell right after it raised."""

LEAST_ROUNDS = 3
_CHECK_GROWTH = 1.05
_MOST_VISITS = 4
# A clock that stands still or runs backwards this many times in a row is not one to measure with.
_MOST_DROPPED_IN_A_ROW = 5


def sample_cells(
    cells: Mapping[str, Call],
    plan: SamplingPlan | None = None,
    *,
    baselines: Mapping[str, str] | None = None,
    timer: Timer | None = None,
    timers: Mapping[str, Timer] | None = None,
    clock: Clock = time.perf_counter_ns,
    enter: Enter | None = None,
    sink: Sink | None = None,
    accept: Accept | None = None,
    failed: Failed | None = None,
    between: Callable[[], None] | None = None,
    spent: Spent | None = None,
    progress: Progress | None = None,
) -> dict[str, CellSamples]:
    """Sample all cells by the plan and return what each left, in the order given.

    `baselines` maps a cell to the cell its ratio is taken to, a baseline to itself. `timer` times a
    cell, by default with `clock`, which also keeps the budget; `timers` holds those of single
    cells. A sample that `accept` refuses is counted, not kept. `between` is called after every
    round. `spent` is filled in. A cell that raises an `Exception` is failed, `failed` is told of it
    and the others go on. Raises `InputError` when a baseline is not a cell, and what `failed` does.
    """
    by_default = timer or wall_clock_timer(clock)
    session = _Session(
        plan=plan or SamplingPlan(),
        baselines=dict(baselines or {}),
        clock=clock,
        enter=enter or _ignore,
        sink=sink or _ignore,
        accept=accept or _always,
        failed=failed or _ignore,
        between=between or _ignore,
        spent=spent or Spent(),
        progress=progress or _no_progress,
        cells={
            name: _Cell(name=name, call=call, timer=(timers or {}).get(name, by_default))
            for name, call in cells.items()
        },
    )
    session.run()
    return {name: cell.result() for name, cell in session.cells.items()}


@dataclass(kw_only=True)
class _Cell:
    """A cell at work; becomes `CellSamples` at the end."""

    name: str
    call: Call
    timer: Timer
    calls_per_sample: int = 1
    dropped: int = 0
    dropped_in_a_row: int = 0
    refused: int = 0
    samples_ns: list[float] = field(default_factory=list)
    rounds: list[int] = field(default_factory=list)
    converged: bool = False
    failure: str | None = None
    traceback: str | None = None

    @property
    def seconds(self) -> float:
        return sum(self.samples_ns) * self.calls_per_sample / 1e9

    def result(self) -> CellSamples:
        return CellSamples(
            samples_ns=tuple(self.samples_ns),
            rounds=tuple(self.rounds),
            calls_per_sample=self.calls_per_sample,
            converged=self.converged,
            dropped=self.dropped,
            refused=self.refused,
            failure=self.failure,
            traceback=self.traceback,
        )


@dataclass(kw_only=True)
class _Session:
    """One run of the engine over its cells."""

    plan: SamplingPlan
    baselines: dict[str, str]
    clock: Clock
    enter: Enter
    sink: Sink
    accept: Accept
    failed: Failed
    between: Callable[[], None]
    spent: Spent
    progress: Progress
    cells: dict[str, _Cell]

    def __post_init__(self) -> None:
        for name in {*self.baselines, *self.baselines.values()} - set(self.cells):
            raise InputError(f"baseline {name!r} is not measured; cells: {', '.join(self.cells)}")

    @property
    def alive(self) -> list[_Cell]:
        return [cell for cell in self.cells.values() if cell.failure is None]

    def run(self) -> None:
        for cell in self.cells.values():
            self.progress(0.0, f"warm-up {cell.name}")
            with self._failing(cell), _collection_paused():
                self.enter(cell.name, "warm-up")
                cell.calls_per_sample = warm_up(cell.call, cell.timer, self.plan)
        watch = Stopwatch(self.clock)
        self._sample_in_rounds(watch)
        self.spent.total_ns += watch.elapsed_ns()
        self.progress(1.0, "done")

    def _sample_in_rounds(self, watch: Stopwatch) -> None:
        order, next_check = random.Random(self.plan.seed), 0
        visits_of = {name: self._visits(name) for name in self.cells}
        for index in range(self.plan.rounds_max):
            visits = [cell for cell in self.alive for _ in range(visits_of[cell.name])]
            order.shuffle(visits)
            for cell in visits:
                if cell.failure is None:
                    self._sample(cell, index)
            self.between()
            budget_ns = self.plan.budget_s * 1e9 * len(self.alive)
            spent = watch.elapsed_ns() / max(budget_ns, 1)
            out_of_time = spent >= 1 and index + 1 >= LEAST_ROUNDS
            last = out_of_time or index + 1 == self.plan.rounds_max
            if index >= next_check or last:
                # Rarer as rounds grow, so that checking stays a small part of the session.
                next_check = int(index * _CHECK_GROWTH)
                self._update_convergence()
            if last or all(cell.converged for cell in self.alive):
                return
            self._report(spent, index)

    def _visits(self, name: str) -> int:
        """Return how often a cell is sampled per round.

        The noise of a baseline is in the ratios of all cells that are compared to it. Against n of
        them sqrt(n) samples a round are the best use of the time; four do most of that.
        """
        compared = sum(base == name != other for other, base in self.baselines.items())
        return min(max(round(math.sqrt(compared)), 1), _MOST_VISITS)

    def _sample(self, cell: _Cell, index: int) -> None:
        with self._failing(cell), _collection_paused():
            self.enter(cell.name, "sampling")
            start_ns = self.clock()
            for _ in range(self.plan.prime_calls):
                cell.call()
            primed_ns = self.clock() - start_ns
            elapsed_ns = cell.timer(cell.call, cell.calls_per_sample)
            if elapsed_ns <= 0:
                self._drop(cell)
                return
            self.spent.forward_ns += max(primed_ns, 0) + elapsed_ns
            cell.dropped_in_a_row = 0
            if not self.accept(cell.name):
                cell.refused += 1
                return
            cell.samples_ns.append(elapsed_ns / cell.calls_per_sample)
            cell.rounds.append(index)
            self.sink(cell.name, index, cell.samples_ns[-1])

    @contextmanager
    def _failing(self, cell: _Cell) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001 - a cell is foreign code; the others must go on
            # As text: the error's frames would keep the tensors of a cell that ran out of memory.
            cell.failure = f"{type(error).__name__}: {error}"
            cell.traceback = traceback.format_exc()
        if cell.failure is not None and cell.traceback is not None:
            self.failed(cell.name, cell.failure, cell.traceback)

    def _drop(self, cell: _Cell) -> None:
        cell.dropped += 1
        cell.dropped_in_a_row += 1
        if cell.dropped_in_a_row >= _MOST_DROPPED_IN_A_ROW:
            raise RuntimeError(
                f"the clock did not advance in {cell.dropped_in_a_row} samples in a row"
            )

    def _update_convergence(self) -> None:
        for cell in self.alive:
            cell.converged = (
                len(set(cell.rounds)) >= self.plan.min_rounds
                and cell.seconds >= self.plan.min_seconds
                and _is_tight(self._judged(cell), self.plan.target_relative_interval)
            )

    def _judged(self, cell: _Cell) -> Samples:
        """Return the samples whose interval must be tight for this cell to be converged."""
        baseline = self.cells.get(self.baselines.get(cell.name, ""))
        if self.plan.stop_on == "median" or baseline is None or baseline.failure:
            return np.array(cell.samples_ns)
        return paired_ratios(cell.result(), baseline.result())

    def _report(self, spent: float, index: int) -> None:
        cells = self.alive
        converged = sum(cell.converged for cell in cells)
        rounds = (index + 1) / self.plan.rounds_max
        text = f"round {index + 1}, {converged} of {len(cells)} converged"
        self.progress(min(max(spent, rounds, converged / len(cells)), 1.0), text)


def _is_tight(samples: Samples, relative: float) -> bool:
    """Return whether the 95% interval of the median lies within `relative` of the median."""
    (low, high), center = order_interval(samples), float(np.median(samples))
    return low >= center * (1 - relative) and high <= center * (1 + relative)


@contextmanager
def _collection_paused() -> Iterator[None]:
    """Keep the garbage collector out of a sample; it works between samples."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _no_progress(fraction: float, text: str) -> None:
    del fraction, text


def _ignore(*told: object) -> None:
    del told


def _always(name: str) -> bool:
    del name
    return True
