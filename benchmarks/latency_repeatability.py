"""How well do latency ratios repeat? BlockZoo's benchmark against a naive mean of 100 calls.

    python benchmarks/latency_repeatability.py --runs 5 --output repeatability.json

Both methods time the same networks in deploy form on one thread, every run in fresh processes, and
the two methods take turns so that both meet the same weather. The naive method is what many scripts
do: one process per block, ten calls to warm up, the mean of 100 calls. The spread of a figure over
the runs is (max - min) / median.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

NAIVE_WARMUP, NAIVE_CALLS = 10, 100


def main() -> None:
    """Run both methods in turn, print the table and save the record."""
    arguments = _arguments()
    if arguments.child:
        print(json.dumps(_child(arguments)))
        return
    runs = []
    for index in range(arguments.runs):
        runs.append({"blockzoo": _run_blockzoo(arguments), "naive": _run_naive(arguments)})
        ratios = ", ".join(f"{name} {run['ratio']:.4f}" for name, run in runs[-1].items())
        print(f"run {index + 1} of {arguments.runs}: ratio by {ratios}", flush=True)
    summary = {method: _summary(method, runs) for method in ("blockzoo", "naive")}
    _print_table(summary, arguments)
    if arguments.output:
        record = _record(arguments, runs, summary)
        arguments.output.write_text(json.dumps(record, indent=1), encoding="utf-8")
        print(f"saved {arguments.output}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--baseline", default="classic/ResNetBasicBlock")
    parser.add_argument("--block", default="classic/MobileOneBlock")
    parser.add_argument("--position", default="mid")
    parser.add_argument("--context", default="classic/ResNetBasicBlock")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--budget-s", type=float, default=20.0, help="seconds per block and run")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--child", choices=("blockzoo", "naive"), help=argparse.SUPPRESS)
    return parser.parse_args()


def _run_blockzoo(arguments: argparse.Namespace) -> dict[str, Any]:
    return _in_fresh_process(arguments, "blockzoo", arguments.block)


def _run_naive(arguments: argparse.Namespace) -> dict[str, Any]:
    baseline = _in_fresh_process(arguments, "naive", arguments.baseline)["mean_ms"]
    block = _in_fresh_process(arguments, "naive", arguments.block)["mean_ms"]
    return {"baseline_ms": baseline, "block_ms": block, "ratio": block / baseline}


def _in_fresh_process(arguments: argparse.Namespace, method: str, block: str) -> dict[str, Any]:
    command = [sys.executable, __file__, "--child", method, "--block", block]
    for name in ("baseline", "position", "context", "budget_s"):
        command += [f"--{name.replace('_', '-')}", str(getattr(arguments, name))]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(answer.stdout)
    return result


def _child(arguments: argparse.Namespace) -> dict[str, Any]:
    return _by_blockzoo(arguments) if arguments.child == "blockzoo" else _by_mean(arguments)


def _by_blockzoo(arguments: argparse.Namespace) -> dict[str, Any]:
    from blockzoo.benchmark import benchmark_blocks
    from blockzoo.measure.latency import LatencySettings
    from blockzoo.scaffold import ScaffoldConfig

    baseline, block = benchmark_blocks(
        [arguments.baseline, arguments.block],
        [arguments.position],
        config=ScaffoldConfig(context=arguments.context),
        settings=LatencySettings(budget_s=arguments.budget_s),
        on_error="raise",
    )
    return {
        "baseline_ms": baseline.median_ms,
        "block_ms": block.median_ms,
        "ratio": block.ratio,
        "ratio_interval": block.ratio_interval,
        "rounds": len(block.samples_ms),
        "flags": {"baseline": baseline.flags, "block": block.flags},
    }


def _by_mean(arguments: argparse.Namespace) -> dict[str, Any]:
    import torch

    from blockzoo.blocks import to_deploy
    from blockzoo.scaffold import ScaffoldConfig, ScaffoldNet

    torch.set_num_threads(1)
    config = ScaffoldConfig(context=arguments.context)
    net = to_deploy(ScaffoldNet(arguments.block, arguments.position, config))
    example = torch.randn(1, *config.input_shape)
    seconds = []
    with torch.inference_mode():
        for _ in range(NAIVE_WARMUP):
            net(example)
        for _ in range(NAIVE_CALLS):
            start = time.perf_counter()
            net(example)
            seconds.append(time.perf_counter() - start)
    return {"mean_ms": statistics.mean(seconds) * 1e3}


def _summary(method: str, runs: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    figures = {}
    for name in ("ratio", "baseline_ms", "block_ms"):
        values = [run[method][name] for run in runs]
        middle = statistics.median(values)
        low, high = min(values), max(values)
        figures[name] = {"median": middle, "min": low, "max": high, "spread": (high - low) / middle}
    return figures


def _print_table(
    summary: dict[str, dict[str, dict[str, float]]], arguments: argparse.Namespace
) -> None:
    print(f"\n{arguments.block} / {arguments.baseline}, {arguments.position}, n={arguments.runs}")
    print(f"{'method':10} {'figure':12} {'median':>9} {'min':>9} {'max':>9} {'spread':>8}")
    for method, figures in summary.items():
        for name, figure in figures.items():
            numbers = " ".join(f"{figure[key]:9.4f}" for key in ("median", "min", "max"))
            print(f"{method:10} {name:12} {numbers} {figure['spread']:8.1%}")


def _record(
    arguments: argparse.Namespace,
    runs: list[dict[str, Any]],
    summary: dict[str, dict[str, dict[str, float]]],
) -> dict[str, Any]:
    from blockzoo.measure.environment import describe_environment

    return {
        "created_at": datetime.now(timezone.utc).isoformat(),
        "environment": {**describe_environment(), "threads": 1},
        "settings": {
            name: getattr(arguments, name)
            for name in ("baseline", "block", "position", "context", "budget_s", "runs")
        },
        "naive": {"warmup": NAIVE_WARMUP, "calls": NAIVE_CALLS},
        "summary": summary,
        "runs": runs,
    }


if __name__ == "__main__":
    main()
