"""Which figure of the same samples repeats best from run to run?

    python benchmarks/latency_repeatability.py --runs 5 --keep kept
    python benchmarks/latency_estimators.py kept --save-samples samples.npz --output estimators.json
    python benchmarks/latency_estimators.py samples.npz

Reads the samples of whole runs, of the folder that `latency_repeatability.py --keep` filled or of
what `--save-samples` wrote, and compares what could be reported of a cell. A time is the mean over
processes of a quantile of the milliseconds, 0.5 in BlockZoo; a ratio the quotient of two such times
or, in BlockZoo, the geometric mean over processes of the median of the ratios in each round.
The spread of a figure over the runs is (max - min) / median. Then the cells whose ratios differ
most from process to process, beside what the rounds alone would make of equal processes: more
rounds in a process make the latter smaller, only more processes the former.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from latency_repeatability import spread
from numpy.typing import NDArray

from blockzoo.stats.medians import order_interval
from blockzoo.stats.paired_rounds import NetworkSamples, mean_ratio, paired_ratios

Processes = list[NetworkSamples]
"""What a cell left in one process after the other."""
Runs = list[dict[str, Processes]]
"""By run and cell, "block/position"; the first cell is the others' baseline."""
Figure = Callable[[Processes, Processes], float]

QUANTILES = (0.05, 0.1, 0.25, 0.5)
DEVIATIONS_IN_95 = 2 * 1.96
"""How many standard deviations a 95% interval is wide."""
SHOWN = 5
"""Cells whose processes are shown; the record has all."""


def main() -> None:
    """Read the samples, print how each figure repeats, save what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("samples", type=Path, help="folder of kept runs, or an .npz file")
    parser.add_argument("--save-samples", type=Path, help="write all samples to this .npz file")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    environment, runs = read_samples(arguments.samples)
    if arguments.save_samples:
        save_samples(arguments.save_samples, environment, runs)
    found = compare(runs)
    print(f"spread over {len(runs)} runs, {len(runs[0])} cells: median cell, worst cell")
    for name, of in found.items():
        print(f"{name:34} {of['median']:6.2%} {of['worst']:6.2%}  {of['worst_cell']}")
    processes = between_processes(runs)
    print("\nstandard deviation of the processes' ratios, expected of rounds alone, correlation")
    for cell, of in sorted(processes.items(), key=lambda item: -item[1]["processes"])[:SHOWN]:
        told = f"{of['processes']:6.2%} {of['rounds_alone']:6.2%} {of['correlation']:6.2f}"
        print(f"{cell:34} {told}")
    if arguments.output:
        record = {
            "environment": environment,
            "runs": len(runs),
            "spreads": found,
            "processes": processes,
        }
        arguments.output.write_text(json.dumps(record, indent=1) + "\n")


def compare(runs: Runs) -> dict[str, dict[str, Any]]:
    """Return per figure the spread over the runs of the median cell and of the worst one."""
    figures: dict[str, Figure] = {
        **{f"milliseconds, quantile {q}": partial(_mean_quantile, q) for q in QUANTILES},
        "ratio, median of rounds": _paired_ratio,
        **{f"ratio, of quantiles {q}": partial(_quotient, q) for q in QUANTILES},
    }
    return {name: _worst(runs, figure, "ratio" in name) for name, figure in figures.items()}


def _mean_quantile(q: float, ours: Processes, _: Processes) -> float:
    return float(np.mean([np.quantile(process.samples_ns, q) for process in ours]))


def _quotient(q: float, ours: Processes, base: Processes) -> float:
    return _mean_quantile(q, ours, base) / _mean_quantile(q, base, base)


def _paired_ratio(ours: Processes, base: Processes) -> float:
    return mean_ratio([paired_ratios(*pair) for pair in zip(ours, base, strict=True)])[0]


def between_processes(runs: Runs) -> dict[str, dict[str, float]]:
    """Return per cell how far the processes' ratios of a run lie apart, medians over the runs.

    `processes`: standard deviation of the processes' medians; `rounds_alone`: that of medians of as
    many independent rounds of one process; `correlation` of a round's ratio with the next one's,
    which slow changes within a process would raise. The first two are relative to the mean. Cells
    of one process are left out.
    """
    baseline = next(iter(runs[0]))
    found: dict[str, dict[str, float]] = {}
    several = {cell for cell in runs[0] if all(len(run[cell]) > 1 for run in runs)}
    for cell in (name for name in runs[0] if name in several - {baseline}):
        of_runs = [_apart(run[cell], run[baseline]) for run in runs]
        found[cell] = {key: statistics.median(of[key] for of in of_runs) for key in of_runs[0]}
    return found


def _apart(ours: Processes, base: Processes) -> dict[str, float]:
    ratios = [paired_ratios(*pair) for pair in zip(ours, base, strict=True)]
    medians = [float(np.median(of_process)) for of_process in ratios]
    widths = [high - low for low, high in map(order_interval, ratios)]
    middle = statistics.fmean(medians)
    return {
        "processes": statistics.stdev(medians) / middle,
        "rounds_alone": statistics.fmean(widths) / DEVIATIONS_IN_95 / middle,
        "correlation": statistics.fmean(
            float(np.corrcoef(of_process[:-1], of_process[1:])[0, 1]) for of_process in ratios
        ),
    }


def _worst(runs: Runs, figure: Figure, relative: bool) -> dict[str, Any]:
    """Return the spread of the median and the worst cell; the baseline has no ratio."""
    baseline = next(iter(runs[0]))
    spreads = {
        cell: spread([figure(run[cell], run[baseline]) for run in runs])["spread"]
        for cell in runs[0]
        if not (relative and cell == baseline)
    }
    worst = max(spreads, key=lambda cell: spreads[cell])
    middle = statistics.median(spreads.values())
    return {"median": middle, "worst": spreads[worst], "worst_cell": worst, "cells": spreads}


def read_samples(path: Path) -> tuple[dict[str, Any], Runs]:
    """Return environment and samples of a folder of kept runs or of an .npz file."""
    if not path.exists():
        raise SystemExit(f"{path} is not there; latency_repeatability.py --keep fills a folder")
    return _of_stores(path) if path.is_dir() else _of_file(path)


def _of_stores(folder: Path) -> tuple[dict[str, Any], Runs]:
    from blockzoo.results.records import LatencyRecord
    from blockzoo.results.store.database import Store

    runs: Runs = []
    environment: dict[str, Any] = {}
    for path in sorted(folder.glob("run*")):
        with Store(path) as store:
            records = [record for record in store.records() if isinstance(record, LatencyRecord)]
        for record in records:
            environment = record.environment.model_dump()
        runs.append(
            {
                f"{r.block}/{r.positions[0]}": _split(r.process_counts, r.rounds, r.samples_ms)
                for r in records
            }
        )
    if not runs or not all(runs):
        raise SystemExit(f"{folder} lacks runs; latency_repeatability.py --keep fills it")
    return environment, runs


def _split(counts: Any, rounds: Any, samples_ms: Any) -> Processes:
    """Return the processes of which a record, or a file, holds one after the other."""
    ends = np.cumsum(counts)[:-1]
    samples_ns = np.asarray(samples_ms, dtype=np.float64) * 1e6
    return [
        NetworkSamples(rounds=tuple(its_rounds.tolist()), samples_ns=tuple(its_ns.tolist()))
        for its_rounds, its_ns in zip(
            np.split(np.asarray(rounds), ends), np.split(samples_ns, ends), strict=True
        )
    ]


def save_samples(path: Path, environment: Mapping[str, Any], runs: Runs) -> None:
    """Write the samples, milliseconds in float32, as arrays named `run/block/position/what`."""
    arrays: dict[str, NDArray[Any]] = {"environment": np.array(json.dumps(environment))}
    for index, run in enumerate(runs):
        for cell, processes in run.items():
            counts = [len(process.rounds) for process in processes]
            rounds = np.concatenate([process.rounds for process in processes])
            ms = np.concatenate([process.samples_ns for process in processes]) / 1e6
            arrays[f"{index}/{cell}/counts"] = np.array(counts)
            arrays[f"{index}/{cell}/rounds"] = rounds.astype(np.uint16)
            arrays[f"{index}/{cell}/ms"] = ms.astype(np.float32)
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]


def _of_file(path: Path) -> tuple[dict[str, Any], Runs]:
    runs: Runs = []
    with np.load(path) as arrays:
        for name in arrays.files:
            if not name.endswith("/ms"):
                continue
            which = name.removesuffix("/ms")
            index, _, cell = which.partition("/")
            if int(index) == len(runs):
                runs.append({})
            counts, rounds = arrays[f"{which}/counts"], arrays[f"{which}/rounds"]
            runs[-1][cell] = _split(counts, rounds, arrays[name])
        environment: dict[str, Any] = json.loads(str(arrays["environment"]))
    return environment, runs


if __name__ == "__main__":
    main()
