"""What keeping freed memory gives a training on the CPU: images/s and peak memory with and without.

Usage: python benchmarks/freed_memory.py [--rounds N] [--threads N] [--width N] [--output F]

Each training of random images by `fit` has a fresh process; without, its environment has a setting
of glibc's malloc that changes nothing, so that it is left alone. The two alternate.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch
from rich.console import Console
from rich.table import Table
from training_throughput import random_images

from blockzoo.measure.machine.environment import describe_environment
from blockzoo.scaffold.net import ScaffoldConfig, ScaffoldNet
from blockzoo.training.fit import fit
from blockzoo.training.recipe import get_recipe
from blockzoo.training.settings import TrainingSettings


class Training(NamedTuple):
    """What is trained in one process."""

    block: str
    recipe: str
    batch_size: int


TRAININGS = (
    Training("ResNetBasicBlock", "v1", 128),
    Training("ConvNeXtBlock", "v1", 128),
    Training("InvertedResidual", "v1", 128),
    Training("ResNetBasicBlock", "classic", 256),
    Training("InvertedResidual", "classic", 256),
)
EPOCHS = 3
# glibc's own default. Setting a threshold, even to its default, would keep glibc from moving it.
LEFT_ALONE = {"MALLOC_ARENA_TEST_": "8"}


def train(training: Training, width: int, steps: int) -> dict[str, float]:
    """Return images/s and the peak of resident memory in bytes."""
    recipe = replace(get_recipe(training.recipe).lasting(EPOCHS), batch_size=training.batch_size)
    net = ScaffoldNet(training.block, "mid", ScaffoldConfig(width=width))
    data = random_images(steps * training.batch_size)
    result = fit(net, TrainingSettings(dataset=data, recipe=recipe, seed=0, device="cpu"))
    return {"images_per_s": result.images_per_s, "peak_memory_bytes": result.peak_memory_bytes}


def in_process(training: Training, options: argparse.Namespace, kept: bool) -> dict[str, float]:
    """Return what `train` does in a fresh process."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    sizes = (options.threads, options.width, options.steps)
    ended = subprocess.run(
        [sys.executable, __file__, "--one", *map(str, (*training, *sizes))],
        env=environment if kept else {**environment, **LEFT_ALONE},
        stdout=subprocess.PIPE,
        check=True,
    )
    figures: dict[str, float] = json.loads(ended.stdout)
    return figures


def main() -> None:
    """Measure, print, save."""
    if sys.argv[1:2] == ["--one"]:
        block, recipe, *sizes = sys.argv[2:]
        batch_size, threads, width, steps = map(int, sizes)
        torch.set_num_threads(threads)
        print(json.dumps(train(Training(block, recipe, batch_size), width, steps)))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4, help="batches per epoch")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    default = Path("benchmarks/results/freed_memory.json")
    parser.add_argument("--output", type=Path, default=default)
    options = parser.parse_args()
    table = Table("block", "recipe", "batch", "speed", "range", "peak memory", title="kept / not")
    rows: list[dict[str, object]] = []
    for training in TRAININGS:
        pairs = []
        for index in range(options.rounds):
            both = {
                k: in_process(training, options, k) for k in ((True, False)[:: 1 - index % 2 * 2])
            }
            pairs.append((both[True], both[False]))
        speeds = [kept["images_per_s"] / not_kept["images_per_s"] for kept, not_kept in pairs]
        peaks = [kept["peak_memory_bytes"] / other["peak_memory_bytes"] for kept, other in pairs]
        rows.append({**training._asdict(), "kept_and_not": pairs})
        span = f"{min(speeds):.2f} to {max(speeds):.2f}"
        table.add_row(*map(str, training), f"{median(speeds):.2f}", span, f"{median(peaks):.2f}")
    Console().print(table)
    settings = {name: str(value) for name, value in vars(options).items() if name != "output"}
    record = {"rows": rows, "options": settings, "environment": describe_environment()}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(record, indent=2) + "\n")
    print(f"saved {options.output}")


if __name__ == "__main__":
    main()
