"""How well do latencies repeat? `blockzoo benchmark` against a naive mean of 100 calls.

    python benchmarks/latency_repeatability.py --runs 5 --output repeatability.json

Each run is the whole command, eleven blocks at three positions by default, in a process of its own,
and then the naive method on the same networks in the same form, so that both meet the same weather
(with `--naive after` only once all runs have ended, with `--naive none` not at all).
The naive method is what many scripts do: one process per network, ten calls to warm up, the mean of
100 calls. The spread of a figure over the runs is (max - min) / median. All on one thread, batch 1.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from blockzoo.core.position import POSITIONS
from blockzoo.experiments.protocol import ELEVEN_BLOCKS

NAIVE_WARMUP, NAIVE_CALLS = 10, 100
Figures = dict[str, dict[str, float]]
"""By cell, "block/position": its milliseconds and its ratio to the first block."""


def main() -> None:
    """Run both methods in turn, print the tables and save the record."""
    arguments = _arguments()
    if arguments.naive_child:
        print(json.dumps(_mean_ms(arguments)))
        return
    runs: list[dict[str, Any]] = []
    for index in range(arguments.runs):
        found, about = _by_blockzoo(arguments, index)
        runs.append({"blockzoo": found, **about})
        if arguments.naive == "in-turn":
            runs[-1]["naive"] = _by_mean(arguments, found)
        print(f"run {index + 1} of {arguments.runs}: {about}", flush=True)
        _save(arguments, runs)
    if arguments.naive == "after":
        for run in runs:
            run["naive"] = _by_mean(arguments, run["blockzoo"])
        _save(arguments, runs)
    _print_table(_summary(runs))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--blocks", nargs="+", default=list(ELEVEN_BLOCKS))
    parser.add_argument("--positions", nargs="+", default=[str(p) for p in POSITIONS])
    parser.add_argument("--protocol", default="v1")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--budget-s", type=float, default=6.0, help="seconds per cell and run")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--keep", type=Path, help="folder to keep each run's results in")
    when = ("in-turn", "after", "none")
    parser.add_argument("--naive", choices=when, default=when[0], help="when to take naive means")
    parser.add_argument("--naive-child", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


def _by_blockzoo(arguments: argparse.Namespace, index: int) -> tuple[Figures, dict[str, Any]]:
    """Run the command; return its figures, and its wall seconds, overhead and flags."""
    from blockzoo.results.records import LatencyRecord
    from blockzoo.results.store.database import Store

    with tempfile.TemporaryDirectory() as scratch:
        folder = str(arguments.keep / f"run{index}") if arguments.keep else scratch
        command = [sys.executable, "-m", "blockzoo", "benchmark", *arguments.blocks]
        for position in arguments.positions:
            command += ["--position", position]
        command += ["--protocol", arguments.protocol, "--budget", str(arguments.budget_s)]
        command += ["--processes", str(arguments.processes), "--results", folder]
        start_s = time.perf_counter()
        subprocess.run([*command, "--device", "cpu"], check=True, stdout=subprocess.DEVNULL)
        wall_s = time.perf_counter() - start_s
        with Store(folder) as store:
            records = [r for r in store.records() if isinstance(r, LatencyRecord)]
    figures = {
        f"{record.block}/{record.positions[0]}": {"ms": record.median_ms, "ratio": record.ratio}
        for record in records
        if record.median_ms is not None and record.ratio is not None
    }
    flags = [flag for record in records for flag in record.flags]
    overhead = max(record.overhead_fraction or 0.0 for record in records)
    counted = {flag: flags.count(flag) for flag in sorted(set(flags))}
    return figures, {"wall_s": round(wall_s, 1), "overhead": round(overhead, 4), "flags": counted}


def _by_mean(arguments: argparse.Namespace, cells: Iterable[str]) -> Figures:
    means = {}
    for cell in cells:
        command = [sys.executable, __file__, "--protocol", arguments.protocol, "--naive-child"]
        block, _, position = cell.rpartition("/")
        done = subprocess.run([*command, block, position], check=True, stdout=subprocess.PIPE)
        means[cell] = float(json.loads(done.stdout))
    baseline = means[next(iter(means))]
    return {cell: {"ms": mean, "ratio": mean / baseline} for cell, mean in means.items()}


def _mean_ms(arguments: argparse.Namespace) -> float:
    import torch

    from blockzoo.blocks import to_folded
    from blockzoo.experiments.protocol import get_protocol
    from blockzoo.scaffold.net import ScaffoldNet

    torch.set_num_threads(1)
    config = get_protocol(arguments.protocol).scaffold(classes=10, input_shape=(3, 32, 32))
    block, position = arguments.naive_child
    example = torch.randn(1, *config.input_shape)
    net = to_folded(ScaffoldNet(block, position, config), example)
    seconds = []
    with torch.inference_mode():
        for _ in range(NAIVE_WARMUP):
            net(example)
        for _ in range(NAIVE_CALLS):
            start = time.perf_counter()
            net(example)
            seconds.append(time.perf_counter() - start)
    return statistics.mean(seconds) * 1e3


def _summary(runs: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """Return per method that was run median and spread of every figure of every cell."""
    methods = [name for name in ("blockzoo", "naive") if all(name in run for run in runs)]
    return {method: _spreads(run[method] for run in runs) for method in methods}


def _spreads(runs: Iterable[Figures]) -> dict[str, dict[str, dict[str, float]]]:
    """Return median and spread of every figure of every cell."""
    every = list(runs)
    return {
        cell: {
            figure: spread([run[cell][figure] for run in every if cell in run])
            for figure in ("ms", "ratio")
        }
        for cell in every[0]
    }


def spread(values: list[float]) -> dict[str, float]:
    """Return the median of a figure over the runs, its spread and the number of runs."""
    middle = statistics.median(values)
    return {"median": middle, "spread": (max(values) - min(values)) / middle, "n": len(values)}


def _print_table(summary: dict[str, dict[str, dict[str, dict[str, float]]]]) -> None:
    print("\n" + " ".join([f"{'spread over runs':42}", *(f"{method:>26}" for method in summary)]))
    print(" ".join([f"{'cell':42}", *[f"{'ms':>10} {'':>7} {'ratio':>7}"] * len(summary)]))
    for cell in summary["blockzoo"]:
        cells = [of_method[cell] for of_method in summary.values()]
        texts = [
            f"{c['ms']['median']:10.3f} {c['ms']['spread']:7.1%} {c['ratio']['spread']:7.1%}"
            for c in cells
        ]
        print(f"{cell:42} {' '.join(texts)}")
    for figure in ("ms", "ratio"):
        worst = {
            method: max(cell[figure]["spread"] for cell in cells.values())
            for method, cells in summary.items()
        }
        print(f"worst spread of {figure}: " + ", ".join(f"{m} {w:.1%}" for m, w in worst.items()))


def _save(arguments: argparse.Namespace, runs: list[dict[str, Any]]) -> None:
    """Write what there is so far, should a later run be stopped."""
    if arguments.output:
        arguments.output.write_text(json.dumps(_record(arguments, runs), indent=1) + "\n")


def _record(arguments: argparse.Namespace, runs: list[dict[str, Any]]) -> dict[str, Any]:
    from blockzoo.measure.machine.environment import describe_environment

    settings = ("blocks", "positions", "protocol", "processes", "budget_s")
    return {
        "created_at": datetime.now(timezone.utc).isoformat(),
        "environment": {**describe_environment(), "threads": 1},
        "settings": {name: getattr(arguments, name) for name in settings},
        "naive": {"warmup": NAIVE_WARMUP, "calls": NAIVE_CALLS, "when": arguments.naive},
        "summary": _summary(runs),
        "runs": runs,
    }


if __name__ == "__main__":
    main()
