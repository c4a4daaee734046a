"""Are verdicts on one block against itself ever false, on this machine? A/A runs of real networks.

    python benchmarks/aa_runs.py --runs 20 --output benchmarks/results/aa_runs.json

Each run is a session of fresh processes with the settings of `blockzoo benchmark`: two copies of a
scaffold in folded deploy form under two names, one of them the baseline. "same" and "undecided" are
right; "faster" and "slower" are false. `latency_aa.py` also has a network that is 5% heavier, and
`simulated_aa.py` says what is to be expected of noise that is known.
"""

from __future__ import annotations

import argparse
import copy
import json
from collections import Counter
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from blockzoo.blocks import to_folded
from blockzoo.measure.machine.environment import describe_environment
from blockzoo.measure.timing.preparing import Network
from blockzoo.measure.timing.session import measure_networks
from blockzoo.measure.timing.settings import LatencySettings
from blockzoo.scaffold.net import ScaffoldConfig, ScaffoldNet

KEPT = ("verdict", "verdict_reason", "ratio", "ratio_interval", "median_ms", "flags")
FALSE = ("faster", "slower")


def main() -> None:
    """Count the verdicts, print them and save the record."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--block", default="ResNetBasicBlock")
    parser.add_argument("--position", default="mid")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--depth", type=int, default=3)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--processes", type=int, default=LatencySettings().processes)
    parser.add_argument("--budget-s", type=float, default=LatencySettings().budget_s)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    config = ScaffoldConfig(width=arguments.width, depth=arguments.depth)
    example = torch.randn(1, *config.input_shape)
    net = to_folded(ScaffoldNet(arguments.block, arguments.position, config), example)
    settings = LatencySettings(processes=arguments.processes, budget_s=arguments.budget_s)
    runs: list[dict[str, Any]] = []
    for index in range(arguments.runs):
        runs.append(_run(net, example, replace(settings, seed=index)))
        told = f"{runs[-1]['verdict']} {runs[-1]['ratio']:.4f} {runs[-1]['verdict_reason']}"
        print(f"run {index + 1} of {arguments.runs}: {told.rstrip()}", flush=True)
    counts = Counter(str(run["verdict"]) for run in runs)
    print(f"{dict(counts)}: false in {sum(counts[each] for each in FALSE)} of {len(runs)}")
    if arguments.output:
        record = {
            "created_at": datetime.now(timezone.utc).isoformat(),
            "environment": {**describe_environment(), "threads": 1},
            "instructions": torch.backends.cpu.get_cpu_capability(),
            "settings": {k: v for k, v in vars(arguments).items() if k != "output"},
            "verdicts": counts,
            "false": sum(counts[each] for each in FALSE),
            "runs": runs,
        }
        arguments.output.write_text(json.dumps(record, indent=1) + "\n")


def _run(net: nn.Module, example: Tensor, settings: LatencySettings) -> dict[str, Any]:
    """Return what a session says of the copy that is not the baseline."""
    networks = [
        Network(name=name, model=copy.deepcopy(net), example=example, baseline="first")
        for name in ("first", "second")
    ]
    result = measure_networks(networks, settings)["second"]
    if result.failure is not None:
        raise SystemExit(result.failure)
    return {name: getattr(result, name) for name in KEPT}


if __name__ == "__main__":
    main()
