"""The sampling engine: times named callables fairly on a noisy machine; knows nothing of torch.

A network is a name and something to call. All networks are warmed up, then sampled in rounds: one
sample of every network per round, of a baseline up to three, in an order drawn anew each round, so
that whatever the machine does in a round (clock, neighbors, heat) meets all networks alike and a
ratio within a round is free of it. Samples of all networks are means of equally many calls, because
the mean of many calls of a skewed noise has another median than a single call. No network leaves
early: its samples are what others are paired with, and a network that stopped in a lucky stretch
would repeat worse than its interval says.

`_Session.sample_in_rounds` is the whole of a round, from the order to the decision to stop.
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

from blockzoo.core.errors import InputError, one_line
from blockzoo.measure.timing.clocks import Call, Clock, Stopwatch, Timer, wall_clock_timer
from blockzoo.measure.timing.effort import (
    baseline_visits,
    calls_per_sample,
    is_within,
    needed_half_width,
)
from blockzoo.measure.timing.events import Stage
from blockzoo.measure.timing.settings import SamplingPlan
from blockzoo.measure.timing.warmup import warm_up
from blockzoo.stats.paired_rounds import NetworkSamples, Spent, paired_ratios

Progress = Callable[[float, str], None]
"""`progress(fraction, text)`: how much is done (0 to 1, an estimate) and what is being done."""

LEAST_ROUNDS = 3
_CHECK_GROWTH = 1.05
# A clock that stands still or runs backwards this many times in a row is not one to measure with.
_MOST_DROPPED_IN_A_ROW = 5


class SamplingListener:
    """Hears what the engine does, and says which samples count; this one does nothing.

    What it raises ends the session, but for `enter`, `accepts` and `sampled`, which fail the
    network.
    """

    def enter(self, name: str, stage: Stage) -> None:
        """A network is about to be warmed up ("warm-up") or sampled ("sampling")."""

    def accepts(self, name: str) -> bool:
        """Tell, right after a sample of that network was timed, whether it counts."""
        del name
        return True

    def sampled(self, name: str, index: int, nanoseconds: float) -> None:
        """A sample of a network counts: its round and nanoseconds per call."""

    def failed(self, name: str, failure: str, trace: str) -> None:
        """A network has just raised: "Type: message" and the traceback."""

    def round_ended(self) -> None:
        """All networks were visited."""

    def progress(self, fraction: float, text: str) -> None:
        """See `Progress`."""


def sample_networks(
    networks: Mapping[str, Call],
    plan: SamplingPlan | None = None,
    *,
    baselines: Mapping[str, str] | None = None,
    timers: Mapping[str, Timer] | None = None,
    clock: Clock = time.perf_counter_ns,
    listener: SamplingListener | None = None,
    spent: Spent | None = None,
) -> dict[str, NetworkSamples]:
    """Sample all networks by the plan and return what each left, in the order of `networks`.

    `baselines` maps a network to the network its ratio is taken to, a baseline to itself. `timers`
    time single networks; the others are timed with `clock`, which also keeps the budget. `spent` is
    filled in. A network that raises an `Exception` is failed and the others go on. Raises
    `InputError` when a baseline is not a network, and what `listener` raises.

    >>> plan = SamplingPlan(rounds_max=10, min_seconds=0, warmup_max_s=0.01)
    >>> samples = sample_networks({"sum": lambda: sum(range(1000))}, plan)
    >>> samples["sum"].rounds
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
    """
    by_clock = wall_clock_timer(clock)
    session = _Session(
        plan=plan or SamplingPlan(),
        baselines=dict(baselines or {}),
        clock=clock,
        listener=listener or SamplingListener(),
        spent=spent or Spent(),
        networks={
            name: _Network(name=name, call=call, timer=(timers or {}).get(name, by_clock))
            for name, call in networks.items()
        },
    )
    session.warm_up()
    session.sample_in_rounds()
    return {name: network.result() for name, network in session.networks.items()}


@dataclass(kw_only=True)
class _Network:
    """A network at work; becomes `NetworkSamples` at the end."""

    name: str
    call: Call
    timer: Timer
    call_ns: float = math.inf
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

    def drop(self) -> None:
        """Count a sample during which the clock did not advance; raises when that goes on."""
        self.dropped += 1
        self.dropped_in_a_row += 1
        if self.dropped_in_a_row >= _MOST_DROPPED_IN_A_ROW:
            raise RuntimeError(
                f"the clock did not advance in {self.dropped_in_a_row} samples in a row"
            )

    def result(self) -> NetworkSamples:
        return NetworkSamples(
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
    """One run of the engine over its networks."""

    plan: SamplingPlan
    baselines: dict[str, str]
    clock: Clock
    listener: SamplingListener
    spent: Spent
    networks: dict[str, _Network]

    def __post_init__(self) -> None:
        for name in {*self.baselines, *self.baselines.values()} - set(self.networks):
            raise InputError(
                f"baseline {name!r} is not measured; networks: {', '.join(self.networks)}"
            )

    @property
    def alive(self) -> list[_Network]:
        return [network for network in self.networks.values() if network.failure is None]

    def warm_up(self) -> None:
        for network in self.networks.values():
            self.listener.progress(0.0, f"warm-up {network.name}")
            with self._failing(network), _collection_paused():
                self.listener.enter(network.name, "warm-up")
                network.call_ns = warm_up(network.call, network.timer, self.plan, self.clock)
        calls = calls_per_sample(
            {network.name: network.call_ns for network in self.alive}, self.plan.min_sample_ms
        )
        for name, count in calls.items():
            self.networks[name].calls_per_sample = count

    def sample_in_rounds(self) -> None:
        """Sample round by round until the plan says stop."""
        plan, listener, clock = self.plan, self.listener, self.clock
        order, watch, next_check = random.Random(plan.seed), Stopwatch(clock), 0
        visits_of = {name: baseline_visits(self._compared(name)) for name in self.networks}
        for index in range(plan.rounds_max):
            # Order: drawn anew, so that no network always comes after the same other one.
            visits = [network for network in self.alive for _ in range(visits_of[network.name])]
            order.shuffle(visits)
            for network in visits:
                if network.failure is not None:
                    continue  # it raised at an earlier visit of this round
                with self._failing(network), _collection_paused():
                    listener.enter(network.name, "sampling")
                    # Calls: the first ones pay for what the network before left in the caches.
                    start_ns = clock()
                    for _ in range(plan.prime_calls):
                        network.call()
                    primed_ns = clock() - start_ns
                    elapsed_ns = network.timer(network.call, network.calls_per_sample)
                    # Dropping: a clock that was set back, and then a GPU below its usual clock.
                    if elapsed_ns <= 0:
                        network.drop()
                        continue
                    self.spent.forward_ns += max(primed_ns, 0) + elapsed_ns
                    network.dropped_in_a_row = 0
                    if not listener.accepts(network.name):
                        network.refused += 1
                        continue
                    # Pairing: by the index of its round a sample finds those of its baseline.
                    network.samples_ns.append(elapsed_ns / network.calls_per_sample)
                    network.rounds.append(index)
                    listener.sampled(network.name, index, network.samples_ns[-1])
            listener.round_ended()
            # Stopping: all together, when all are converged or the budget of all is spent.
            budget_ns = plan.budget_s * 1e9 * len(self.alive)
            share = watch.elapsed_ns() / max(budget_ns, 1)
            last = (share >= 1 and index + 1 >= LEAST_ROUNDS) or index + 1 == plan.rounds_max
            if index >= next_check or last:
                # Rarer as rounds grow, so that checking stays a small part of the session.
                next_check = int(index * _CHECK_GROWTH)
                for network in self.alive:
                    network.converged = self._is_converged(network)
            if last or all(network.converged for network in self.alive):
                break
            self._report(share, index)
        self.spent.total_ns += watch.elapsed_ns()
        listener.progress(1.0, "done")

    def _compared(self, name: str) -> int:
        """Return how many other networks are compared to that one."""
        return sum(base == name != other for other, base in self.baselines.items())

    @contextmanager
    def _failing(self, network: _Network) -> Iterator[None]:
        """Within it an error fails the network and nothing else."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - a network is foreign code; the others must go on
            # As text: the error's frames would keep the tensors of a network that ran out of
            # memory.
            network.failure = one_line(error)
            network.traceback = traceback.format_exc()
            # Python 3.12's context managers hold an error longer than this clause does.
            traceback.clear_frames(error.__traceback__)
        # Out of the clause above, in which the error is still held.
        if network.failure is not None and network.traceback is not None:
            self.listener.failed(network.name, network.failure, network.traceback)

    def _is_converged(self, network: _Network) -> bool:
        """Tell whether enough is known of the network: of its ratio, if that is what stops."""
        # A baseline's own ratio is 1 from the start; what a verdict needs of it is its median.
        plan, baseline = self.plan, self.networks.get(self.baselines.get(network.name, ""))
        if len(set(network.rounds)) < plan.min_rounds or network.seconds < plan.min_seconds:
            return False
        by_median = plan.stop_on == "median" or (plan.stop_on == "verdict" and baseline is network)
        if by_median or baseline is None or baseline.failure:
            return is_within(np.array(network.samples_ns), plan.target_relative_interval)
        ratios = paired_ratios(network.result(), baseline.result())
        if not len(ratios):
            return False  # every sample of a round may have been dropped
        if plan.stop_on == "ratio":
            return is_within(ratios, plan.target_relative_interval)
        return is_within(ratios, needed_half_width(float(np.median(ratios)), plan))

    def _report(self, share: float, index: int) -> None:
        networks = self.alive
        converged = sum(network.converged for network in networks)
        rounds = (index + 1) / self.plan.rounds_max
        text = f"round {index + 1}, {converged} of {len(networks)} converged"
        self.listener.progress(min(max(share, rounds, converged / len(networks)), 1.0), text)


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
