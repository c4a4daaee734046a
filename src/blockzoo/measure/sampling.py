"""The sampling engine: times named callables fairly on a noisy machine; knows nothing of torch.

A cell is a name and something to call. All cells are warmed up, then sampled in rounds: one sample
of every cell per round, in an order drawn anew each round, so that whatever the machine does in a
round (clock, neighbors, heat) meets all cells alike and a ratio within a round is free of it. No
cell leaves early: its samples are what others are paired with, and a cell that stopped in a lucky
stretch would repeat worse than its interval says.
"""

from __future__ import annotations

import gc
import math
import random
import statistics
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from blockzoo.errors import InputError
from blockzoo.measure.bootstrap import Samples, order_interval

Call = Callable[[], object]
Clock = Callable[[], int]
Timer = Callable[[Call, int], int]
"""`timer(call, count)` runs `call` `count` times and returns the nanoseconds they took together."""
Enter = Callable[[str, str], None]
"""`enter(cell, what)`: told before a cell is warmed up ("warm-up") or sampled ("sampling")."""
Sink = Callable[[str, int, float], None]
"""`sink(cell, round, nanoseconds)`: handed every sample as it arises."""
Progress = Callable[[float, str], None]
"""`progress(fraction, text)`: how much is done (0 to 1, an estimate) and what is being done."""

_WARMUP_BLOCK = 5
_WARMUP_GAIN = 0.02
_MOST_CALLS = 10_000
LEAST_ROUNDS = 3
_CHECK_GROWTH = 1.05
# A clock that stands still or runs backwards this many times in a row is not one to measure with.
_MOST_DROPPED_IN_A_ROW = 5


@dataclass(frozen=True, kw_only=True)
class SamplingPlan:
    """When to start and when to stop.

    A cell is converged after `min_rounds` rounds and `min_seconds` of timed work when the 95%
    interval of its median lies within `target_relative_interval` of it; with `stop_on` "ratio",
    when that of its ratio to the baseline does. The session ends when all cells are converged,
    after `rounds_max` rounds, or when `budget_s` seconds per cell are spent; then whatever is not
    converged says so.

    A cell is warm when a block of five samples no longer gains 2% on the best before, after
    `warmup_calls` calls and `warmup_min_s`, and in any case after `warmup_max_s`. A sample repeats
    its call until it lasts `min_sample_ms`, and is preceded by `prime_calls` calls that are not
    timed, so that it does not pay for what the cell before left in the caches.

    Raises `InputError` for values that cannot work.
    """

    min_rounds: int = 10
    rounds_max: int = 2000
    min_seconds: float = 0.5
    target_relative_interval: float = 0.01
    stop_on: Literal["median", "ratio"] = "median"
    budget_s: float = 6.0
    warmup_calls: int = 10
    warmup_min_s: float = 0.0
    warmup_max_s: float = 5.0
    min_sample_ms: float = 1.0
    prime_calls: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        self._require_at_least(1, "min_rounds")
        self._require_at_least(self.min_rounds, "rounds_max")
        for name in ("min_seconds", "warmup_calls", "warmup_min_s", "min_sample_ms", "prime_calls"):
            self._require_at_least(0, name)
        self._require_at_least(self.warmup_min_s, "warmup_max_s")
        for name in ("target_relative_interval", "budget_s"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name)}; it must be above 0")
        if self.stop_on not in ("median", "ratio"):
            raise InputError(f"stop_on is {self.stop_on!r}; allowed: median, ratio")

    def _require_at_least(self, least: float, name: str) -> None:
        if not getattr(self, name) >= least:
            raise InputError(f"{name} is {getattr(self, name)}; it must be {least} or more")


@dataclass(frozen=True, kw_only=True)
class CellSamples:
    """What one cell left: nanoseconds per call, and the round of each sample.

    A cell that raised has `failure` ("Type: message") and `traceback`, and its samples so far.
    `dropped` samples were discarded because the clock did not advance.
    """

    samples_ns: tuple[float, ...] = ()
    rounds: tuple[int, ...] = ()
    calls_per_sample: int = 1
    converged: bool = False
    failure: str | None = None
    traceback: str | None = None
    dropped: int = 0


@dataclass(kw_only=True)
class Spent:
    """Nanoseconds of a session after warm-up: in all, and within forward passes."""

    total_ns: int = 0
    forward_ns: int = 0

    @property
    def overhead_fraction(self) -> float | None:
        """The share spent outside forward passes; None before any time passed."""
        return 1 - self.forward_ns / self.total_ns if self.total_ns > 0 else None


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
    spent: Spent | None = None,
    progress: Progress | None = None,
) -> dict[str, CellSamples]:
    """Sample all cells by the plan and return what each left, in the order given.

    `baselines` maps a cell to the cell its ratio is taken to, a baseline to itself. `timer` times a
    cell, by default with `clock`, which also keeps the budget; `timers` holds those of single
    cells. `spent` is filled in. A cell that raises an `Exception` is
    failed and the others go on. Raises `InputError` when a baseline is not a cell.
    """
    by_default = timer or wall_clock_timer(clock)
    session = _Session(
        plan=plan or SamplingPlan(),
        baselines=dict(baselines or {}),
        clock=clock,
        enter=enter or _ignore,
        sink=sink or _ignore,
        spent=spent or Spent(),
        progress=progress or _no_progress,
        cells={
            name: _Cell(name=name, call=call, timer=(timers or {}).get(name, by_default))
            for name, call in cells.items()
        },
    )
    session.run()
    return {name: cell.result() for name, cell in session.cells.items()}


def wall_clock_timer(clock: Clock = time.perf_counter_ns) -> Timer:
    """Return a timer that reads `clock` before the first call and after the last."""

    def elapsed_ns(call: Call, count: int) -> int:
        start_ns = clock()
        for _ in range(count):
            call()
        return clock() - start_ns

    return elapsed_ns


def paired_ratios(cell: CellSamples, baseline: CellSamples) -> Samples:
    """Return cell / baseline for every round in which both were sampled."""
    of_baseline = dict(zip(baseline.rounds, baseline.samples_ns, strict=True))
    pairs = zip(cell.rounds, cell.samples_ns, strict=True)
    return np.array([ns / of_baseline[index] for index, ns in pairs if index in of_baseline])


@dataclass(kw_only=True)
class _Cell:
    """A cell at work; becomes `CellSamples` at the end."""

    name: str
    call: Call
    timer: Timer
    calls_per_sample: int = 1
    dropped: int = 0
    dropped_in_a_row: int = 0
    samples_ns: list[float] = field(default_factory=list)
    rounds: list[int] = field(default_factory=list)
    converged: bool = False
    error: Exception | None = None

    @property
    def seconds(self) -> float:
        return sum(self.samples_ns) * self.calls_per_sample / 1e9

    def result(self) -> CellSamples:
        error = self.error
        return CellSamples(
            samples_ns=tuple(self.samples_ns),
            rounds=tuple(self.rounds),
            calls_per_sample=self.calls_per_sample,
            converged=self.converged,
            dropped=self.dropped,
            failure=f"{type(error).__name__}: {error}" if error else None,
            traceback="".join(traceback.format_exception(error)) if error else None,
        )


@dataclass(kw_only=True)
class _Session:
    """One run of the engine over its cells."""

    plan: SamplingPlan
    baselines: dict[str, str]
    clock: Clock
    enter: Enter
    sink: Sink
    spent: Spent
    progress: Progress
    cells: dict[str, _Cell]

    def __post_init__(self) -> None:
        for name in {*self.baselines, *self.baselines.values()} - set(self.cells):
            raise InputError(f"baseline {name!r} is not measured; cells: {', '.join(self.cells)}")

    @property
    def alive(self) -> list[_Cell]:
        return [cell for cell in self.cells.values() if cell.error is None]

    def run(self) -> None:
        for cell in self.cells.values():
            self.progress(0.0, f"warm-up {cell.name}")
            with _failing(cell), _collection_paused():
                self.enter(cell.name, "warm-up")
                self._warm_up(cell)
        start_ns = self.clock()
        self._sample_in_rounds()
        self.spent.total_ns += self.clock() - start_ns
        self.progress(1.0, "done")

    def _warm_up(self, cell: _Cell) -> None:
        plan, best_ns, spent_ns, calls = self.plan, math.inf, 0, 0
        while True:
            block = [cell.timer(cell.call, 1) for _ in range(_WARMUP_BLOCK)]
            spent_ns, calls = spent_ns + sum(block), calls + len(block)
            gained = statistics.median(block) < best_ns * (1 - _WARMUP_GAIN)
            best_ns = min(best_ns, statistics.median(block))
            enough = calls >= plan.warmup_calls and spent_ns >= plan.warmup_min_s * 1e9
            if (enough and not gained) or spent_ns >= plan.warmup_max_s * 1e9:
                break
        calls_needed = math.ceil(plan.min_sample_ms * 1e6 / max(best_ns, 1))
        cell.calls_per_sample = min(max(calls_needed, 1), _MOST_CALLS)

    def _sample_in_rounds(self) -> None:
        order, start_ns, next_check = random.Random(self.plan.seed), self.clock(), 0
        for index in range(self.plan.rounds_max):
            cells = self.alive
            order.shuffle(cells)
            for cell in cells:
                self._sample(cell, index)
            budget_ns = self.plan.budget_s * 1e9 * len(self.alive)
            spent = (self.clock() - start_ns) / max(budget_ns, 1)
            out_of_time = spent >= 1 and index + 1 >= LEAST_ROUNDS
            last = out_of_time or index + 1 == self.plan.rounds_max
            if index >= next_check or last:
                # Rarer as rounds grow, so that checking stays a small part of the session.
                next_check = int(index * _CHECK_GROWTH)
                self._update_convergence()
            if last or all(cell.converged for cell in self.alive):
                return
            self._report(spent, index)

    def _sample(self, cell: _Cell, index: int) -> None:
        with _failing(cell), _collection_paused():
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
            cell.samples_ns.append(elapsed_ns / cell.calls_per_sample)
            cell.rounds.append(index)
            self.sink(cell.name, index, cell.samples_ns[-1])

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
                len(cell.samples_ns) >= self.plan.min_rounds
                and cell.seconds >= self.plan.min_seconds
                and _is_tight(self._judged(cell), self.plan.target_relative_interval)
            )

    def _judged(self, cell: _Cell) -> Samples:
        """Return the samples whose interval must be tight for this cell to be converged."""
        baseline = self.cells.get(self.baselines.get(cell.name, ""))
        if self.plan.stop_on == "median" or baseline is None or baseline.error:
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
def _failing(cell: _Cell) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001 - a cell is foreign code; the others must go on
        cell.error = error


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
