"""Do ratio intervals cover, and are verdicts right, where what is timed is known? By simulation.

    python benchmarks/simulated_aa.py --sessions 200 --output simulated_aa.json

Networks of one and the same true time are sampled by the real engine on a clock that only they
move, in several processes, and summarised as `blockzoo benchmark` does. A call takes its time with
lognormal noise, and every network is a little faster or slower in every process. Only the first is
a baseline. "faster" and "slower" are false verdicts; the interval of the ratio should hold 1 in 95%
of the sessions. `--quiet` shows instead how often the default budget ends in "same" on a machine
with little noise.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockzoo.measure.timing.latency import LatencyResult, summarize
from blockzoo.measure.timing.sampling import sample_networks
from blockzoo.measure.timing.session import share_of
from blockzoo.measure.timing.settings import LatencySettings
from blockzoo.stats.paired_rounds import NetworkSamples

_DRAWN_AT_ONCE = 1024


@dataclass(frozen=True, kw_only=True)
class Machine:
    """`call_ms` of a call; `noise` (sigma of the logarithm) of calls, `offset` of processes."""

    call_ms: float = 5.0
    noise: float = 0.10
    offset: float = 0.02


class SimulatedNetwork:
    """A call that takes its time on a clock of its session; draws are made many at a time."""

    def __init__(self, machine: Machine, generator: np.random.Generator, clock: Clock) -> None:
        self._machine, self._generator, self._clock = machine, generator, clock
        self._factor = 1e6 * machine.call_ms * (1 + machine.offset * generator.standard_normal())
        self._drawn: NDArray[np.float64] = np.empty(0)
        self._next = 0

    def __call__(self) -> None:
        """Let the time of one call pass."""
        if self._next == len(self._drawn):
            normal = self._generator.standard_normal(_DRAWN_AT_ONCE)
            self._drawn, self._next = self._factor * np.exp(self._machine.noise * normal), 0
        self._clock.now_ns += int(self._drawn[self._next])
        self._next += 1


class Clock:
    """Nanoseconds that pass only while a network is called."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        """Return the time."""
        return self.now_ns


def simulated_session(
    machines: list[Machine], settings: LatencySettings, seed: int
) -> list[LatencyResult]:
    """Return the results of networks on such machines, the first being the baseline of all."""
    generator = np.random.default_rng(seed)
    names = [f"network {index}" for index in range(len(machines))]
    processes: list[dict[str, NetworkSamples]] = []
    for index in range(settings.processes):
        clock = Clock()
        networks: dict[str, Callable[[], object]] = {
            name: SimulatedNetwork(machine, generator, clock)
            for name, machine in zip(names, machines, strict=True)
        }
        plan = share_of(replace(settings, seed=seed), index)
        baselines = dict.fromkeys(names, names[0])
        processes.append(sample_networks(networks, plan, baselines=baselines, clock=clock))
    of = {name: [process[name] for process in processes] for name in names}
    return [summarize(of[name], of[names[0]], is_baseline=name == names[0]) for name in names]


@dataclass(kw_only=True)
class Tally:
    """What came of all ratios of one kind of session."""

    ratios: list[float]
    covered: int
    verdicts: Counter[str]

    @property
    def coverage(self) -> float:
        """Share of the intervals that hold the true ratio."""
        return self.covered / len(self.ratios)

    @property
    def false_verdicts(self) -> float:
        """Share of "faster" and "slower"."""
        return (self.verdicts["faster"] + self.verdicts["slower"]) / len(self.ratios)

    def row(self) -> dict[str, Any]:
        """Return the figures of a table."""
        return {
            "ratios": len(self.ratios),
            "median_ratio": float(np.median(self.ratios)),
            "coverage": self.coverage,
            "false_verdicts": self.false_verdicts,
            "same": self.verdicts["same"] / len(self.ratios),
        }


def tally(
    cells: int, machine: Machine, settings: LatencySettings, *, sessions: int, seed: int = 0
) -> Tally:
    """Return what came of that many sessions, each of `cells` networks beside the baseline."""
    found = Tally(ratios=[], covered=0, verdicts=Counter())
    for session in range(sessions):
        machines = [machine] * (cells + 1)
        _, *compared = simulated_session(machines, settings, 1_000_003 * seed + session)
        for result in compared:
            assert result.ratio is not None
            assert result.ratio_interval is not None
            low, high = result.ratio_interval
            found.ratios.append(result.ratio)
            found.covered += low <= 1 <= high
            found.verdicts[result.verdict or ""] += 1
    return found


def main() -> None:
    """Simulate, print the table and save the record."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--cells", type=int, nargs="+", default=list(range(1, 13)))
    parser.add_argument("--processes", type=int, nargs="+", default=[3, 5, 10])
    parser.add_argument("--noise", type=float, nargs="+")
    parser.add_argument("--offset", type=float, nargs="+")
    parser.add_argument("--call-ms", type=float, nargs="+", default=[5.0])
    parser.add_argument("--budget-s", type=float, help="per cell. (default: that of benchmark)")
    parser.add_argument("--rounds", type=int, help="per process, instead of the stopping rule")
    parser.add_argument("--quiet", action="store_true", help="little noise, no offsets")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    noises = arguments.noise or ([0.005, 0.01] if arguments.quiet else [0.10])
    offsets = arguments.offset or ([0.0] if arguments.quiet else [0.02])
    rows = []
    print(f"{'cells':>5} {'proc.':>5} {'ms':>5} {'noise':>6} {'offset':>6} ", end="")
    print(f"{'ratios':>6} {'median':>7} {'coverage':>8} {'false':>6} {'same':>6}")
    for cells, processes, call_ms, noise, offset in (
        (cells, processes, call_ms, noise, offset)
        for processes in arguments.processes
        for call_ms in arguments.call_ms
        for noise in noises
        for offset in offsets
        for cells in arguments.cells
    ):
        settings = _settings(processes, arguments.budget_s, arguments.rounds)
        machine = Machine(call_ms=call_ms, noise=noise, offset=offset)
        row = tally(cells, machine, settings, sessions=arguments.sessions, seed=cells).row()
        about = {"cells": cells, "processes": processes, "call_ms": call_ms}
        rows.append({**about, "noise": noise, "offset": offset, **row})
        print(
            f"{cells:5} {processes:5} {call_ms:5g} {noise:6.1%} {offset:6.1%} {row['ratios']:6} "
            f"{row['median_ratio']:7.4f} {row['coverage']:8.1%} {row['false_verdicts']:6.1%} "
            f"{row['same']:6.1%}",
            flush=True,
        )
    if arguments.output:
        arguments.output.write_text(json.dumps({"rows": rows}, indent=1) + "\n")


def _settings(processes: int, budget_s: float | None, rounds: int | None) -> LatencySettings:
    settings = LatencySettings(processes=processes)
    if budget_s is not None:
        settings = replace(settings, budget_s=budget_s)
    if rounds is not None:
        each = rounds * processes  # shared by all of them
        settings = replace(settings, min_rounds=rounds, rounds_max=each, budget_s=1e6)
    return settings


if __name__ == "__main__":
    main()
