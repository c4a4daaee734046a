"""Which figure of the same samples repeats best from run to run?

    python benchmarks/latency_repeatability.py --runs 5 --keep kept
    python benchmarks/latency_estimators.py kept --save-samples samples.npz --output estimators.json
    python benchmarks/latency_estimators.py samples.npz

Reads the samples of whole runs, of the folder that `latency_repeatability.py --keep` filled or of
what `--save-samples` wrote, and compares what could be reported of a cell. A time is the mean over
processes of a quantile of the milliseconds, 0.5 in BlockZoo; a ratio the quotient of two such times
or, in BlockZoo, the mean over processes of the median of the ratios to the baseline in each round.
The spread of a figure over the runs is (max - min) / median.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Milliseconds = NDArray[np.float64]
Process = tuple[NDArray[np.int64], Milliseconds]
"""The round and the milliseconds of every sample of a cell in one process."""
Runs = list[dict[str, list[Process]]]
"""By run and cell, "block/position", the processes; the first cell is the others' baseline."""
Figure = Callable[[list[Process], list[Process]], float]

QUANTILES = (0.05, 0.1, 0.25, 0.5)


def main() -> None:
    """Read the samples, print how each figure repeats, save what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("samples", type=Path, help="folder of kept runs, or an .npz file")
    parser.add_argument("--save-samples", type=Path, help="write all samples to this .npz file")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    environment, runs = read_samples(arguments.samples)
    if arguments.save_samples:
        _save(arguments.save_samples, environment, runs)
    found = compare(runs)
    print(f"spread over {len(runs)} runs, {len(runs[0])} cells: median cell, worst cell")
    for name, spread in found.items():
        print(f"{name:34} {spread['median']:6.2%} {spread['worst']:6.2%}  {spread['worst_cell']}")
    if arguments.output:
        record = {"environment": environment, "runs": len(runs), "spreads": found}
        arguments.output.write_text(json.dumps(record, indent=1) + "\n")


def compare(runs: Runs) -> dict[str, dict[str, Any]]:
    """Return per figure the spread over the runs of the median cell and of the worst one."""
    figures: dict[str, Figure] = {
        **{f"milliseconds, quantile {q}": partial(_mean_quantile, q) for q in QUANTILES},
        "ratio, median of rounds": _paired_ratio,
        **{f"ratio, of quantiles {q}": partial(_quotient, q) for q in QUANTILES},
    }
    return {name: _worst(runs, figure, "ratio" in name) for name, figure in figures.items()}


def _mean_quantile(q: float, ours: Sequence[Process], _: Sequence[Process] = ()) -> float:
    return float(np.mean([np.quantile(ms, q) for _, ms in ours]))


def _quotient(q: float, ours: Sequence[Process], base: Sequence[Process]) -> float:
    return _mean_quantile(q, ours) / _mean_quantile(q, base)


def _paired_ratio(ours: Sequence[Process], base: Sequence[Process]) -> float:
    """Return what BlockZoo reports: the mean over processes of the median ratio in a round."""
    medians = []
    for (our_rounds, our_ms), (base_rounds, base_ms) in zip(ours, base, strict=True):
        rounds = np.intersect1d(our_rounds, base_rounds)
        ratios = [
            np.median(our_ms[our_rounds == index]) / np.median(base_ms[base_rounds == index])
            for index in rounds
        ]
        medians.append(np.median(ratios))
    return float(np.mean(medians))


def _worst(runs: Runs, figure: Figure, relative: bool) -> dict[str, Any]:
    """Return the spread of the median and the worst cell; the baseline has no ratio."""
    baseline, *others = runs[0]
    spreads = {}
    for cell in others if relative else (baseline, *others):
        values = [figure(run[cell], run[baseline]) for run in runs]
        spreads[cell] = float((max(values) - min(values)) / np.median(values))
    worst = max(spreads, key=lambda cell: spreads[cell])
    middle = float(np.median(list(spreads.values())))
    return {"median": middle, "worst": spreads[worst], "worst_cell": worst, "cells": spreads}


def read_samples(path: Path) -> tuple[dict[str, Any], Runs]:
    """Return environment and samples of a folder of kept runs or of an .npz file."""
    return _of_stores(path) if path.is_dir() else _of_file(path)


def _of_stores(folder: Path) -> tuple[dict[str, Any], Runs]:
    """Return environment and samples of the runs kept in `folder`."""
    from blockzoo.results.records import LatencyRecord
    from blockzoo.results.store import Store

    runs: Runs = []
    environment: dict[str, Any] = {}
    for path in sorted(folder.glob("run*")):
        with Store(path) as store:
            records = [record for record in store.records() if isinstance(record, LatencyRecord)]
        environment = records[0].environment.model_dump() if records else environment
        runs.append({f"{r.block}/{r.positions[0]}": _processes(r) for r in records})
    if not runs:
        raise SystemExit(f"{folder} holds no runs; fill it with latency_repeatability.py --keep")
    return environment, runs


def _processes(record: Any) -> list[Process]:
    return _split(record.process_counts, np.array(record.rounds), np.array(record.samples_ms))


def _split(counts: Any, rounds: NDArray[Any], ms: NDArray[Any]) -> list[Process]:
    """Return the processes whose numbers of samples, rounds and samples are those, in a row."""
    ends = np.cumsum(counts)[:-1]
    return list(zip(np.split(rounds, ends), np.split(ms, ends), strict=True))


def _save(path: Path, environment: Mapping[str, Any], runs: Runs) -> None:
    """Write the samples, to float32, as arrays named `run/block/position/what`."""
    arrays: dict[str, NDArray[Any]] = {"environment": np.array(json.dumps(environment))}
    for index, run in enumerate(runs):
        for cell, processes in run.items():
            rounds, ms = (np.concatenate(column) for column in zip(*processes, strict=True))
            arrays[f"{index}/{cell}/counts"] = np.array([len(rounds) for rounds, _ in processes])
            arrays[f"{index}/{cell}/rounds"] = rounds.astype(np.uint16)
            arrays[f"{index}/{cell}/ms"] = ms.astype(np.float32)
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]


def _of_file(path: Path) -> tuple[dict[str, Any], Runs]:
    """Return environment and samples of a file that `_save` wrote."""
    runs: Runs = []
    with np.load(path) as arrays:
        for name in arrays.files:
            if not name.endswith("/ms"):
                continue
            cell = name.removesuffix("/ms")
            index, _, block = cell.partition("/")
            if int(index) == len(runs):
                runs.append({})
            counts, rounds = arrays[f"{cell}/counts"], arrays[f"{cell}/rounds"]
            runs[-1][block] = _split(counts, rounds, arrays[name].astype(np.float64))
        environment: dict[str, Any] = json.loads(str(arrays["environment"]))
    return environment, runs


if __name__ == "__main__":
    main()
