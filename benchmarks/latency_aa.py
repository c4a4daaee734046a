"""Does BlockZoo call the same network the same, and one with 5% more work slower? On this machine.

    python benchmarks/latency_aa.py --runs 20 --output aa.json

Each run times, in one session of fresh processes: a scaffold, the same scaffold under another name,
and that scaffold with added convolutions that were calibrated to take 5% of its time. The verdicts
are counted. "same" and "undecided" are right for the first, "slower" for the second.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from blockzoo.blocks import to_folded
from blockzoo.measure.machine.environment import describe_environment
from blockzoo.measure.timing.latency import LatencyResult
from blockzoo.measure.timing.preparing import Network
from blockzoo.measure.timing.session import measure_networks
from blockzoo.measure.timing.settings import LatencySettings
from blockzoo.scaffold.net import ScaffoldConfig, ScaffoldNet

CALIBRATION_CALLS = 60


class WithMoreWork(nn.Module):
    """A network, and convolutions beside it whose output is thrown away."""

    def __init__(self, net: nn.Module, channels: int) -> None:
        super().__init__()
        self.net = net
        self.work = nn.Conv2d(3, channels, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """Map images as the network does."""
        self.work(images)
        output: Tensor = self.net(images)
        return output


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is timed, and by how much the heavier one turned out heavier when calibrated."""

    net: nn.Module
    heavier: nn.Module
    added_share: float


def main() -> None:
    """Count verdicts, print them, save the record."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--block", default="ResNetBasicBlock")
    parser.add_argument("--position", default="mid")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--processes", type=int, default=5)
    parser.add_argument("--budget-s", type=float, default=5.0)
    parser.add_argument("--share", type=float, default=0.05, help="of work to add")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    config = ScaffoldConfig(width=arguments.width)
    example = torch.randn(1, *config.input_shape)
    net = to_folded(ScaffoldNet(arguments.block, arguments.position, config), example)
    subject = _calibrated(net, example, arguments.share)
    print(f"added work takes {subject.added_share:.1%} of the network's time")
    settings = LatencySettings(processes=arguments.processes, budget_s=arguments.budget_s)
    runs = []
    for index in range(arguments.runs):
        runs.append(_run(subject, example, replace(settings, seed=index)))
        texts = [f"{name} {run['verdict']} {run['ratio']:.4f}" for name, run in runs[-1].items()]
        print(f"run {index + 1} of {arguments.runs}: {', '.join(texts)}", flush=True)
    counts = {name: Counter(run[name]["verdict"] for run in runs) for name in ("twin", "heavier")}
    right = {
        "twin": counts["twin"]["same"] + counts["twin"]["undecided"],
        "heavier": counts["heavier"]["slower"],
    }
    for name, number in right.items():
        print(f"{name}: {dict(counts[name])}, right in {number} of {arguments.runs}")
    if arguments.output:
        record = {
            "created_at": datetime.now(timezone.utc).isoformat(),
            "environment": {**describe_environment(), "threads": 1},
            "settings": {k: v for k, v in vars(arguments).items() if k != "output"},
            "added_share": subject.added_share,
            "verdicts": counts,
            "right": right,
            "runs": runs,
        }
        arguments.output.write_text(json.dumps(record, indent=1) + "\n")


def _calibrated(net: nn.Module, example: Tensor, share: float) -> Subject:
    """Add as many channels of work as take `share` of the network's time, by bisection."""
    least, most = 1, 4096
    while most - least > 1 and most / least > 1.02:
        channels = (least + most) // 2
        if _share_of(WithMoreWork(nn.Identity(), channels), net, example) < share:
            least = channels
        else:
            most = channels
    found = _share_of(WithMoreWork(nn.Identity(), most), net, example)
    return Subject(net=net, heavier=WithMoreWork(net, most).eval(), added_share=found)


def _share_of(work: nn.Module, net: nn.Module, example: Tensor) -> float:
    """Return the time of `work` over that of `net`, the median of calls in turn."""
    shares = []
    with torch.inference_mode():
        for _ in range(CALIBRATION_CALLS):
            start = time.perf_counter()
            net(example)
            middle = time.perf_counter()
            work(example)
            shares.append((time.perf_counter() - middle) / (middle - start))
    return sorted(shares)[len(shares) // 2]


def _run(subject: Subject, example: Tensor, settings: LatencySettings) -> dict[str, Any]:
    models = {"first": subject.net, "twin": subject.net, "heavier": subject.heavier}
    cells = [
        Network(name=name, model=model, example=example, baseline="first")
        for name, model in models.items()
    ]
    results = measure_networks(cells, settings)
    return {name: _told(results[name]) for name in ("twin", "heavier")}


def _told(result: LatencyResult) -> dict[str, Any]:
    if result.failure is not None:
        raise SystemExit(result.failure)
    return {
        "verdict": result.verdict,
        "ratio": result.ratio,
        "ratio_interval": result.ratio_interval,
        "median_ms": result.median_ms,
        "flags": result.flags,
    }


if __name__ == "__main__":
    main()
