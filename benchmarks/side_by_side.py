"""Do small trainings pay side by side on one device? Images/s of 1, 2, 4... at once.

    python benchmarks/side_by_side.py --device cuda --compile --output side_by_side.json

Each training has a process of its own, as `blockzoo sweep --workers N` has it. All of a row
first train one epoch, which compiles and warms up, and are then timed together over `--epochs`
epochs of random images: the images that all trained over the wall seconds from the first start to
the last end, set-up and validation included. The last column is the gain over one alone.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import torch
from training_throughput import random_images

from blockzoo.experiments.execution.base import Executor
from blockzoo.experiments.execution.pool import PoolExecutor
from blockzoo.measure.machine.environment import describe_environment
from blockzoo.scaffold.net import ScaffoldConfig, ScaffoldNet
from blockzoo.training.fit import fit
from blockzoo.training.recipe import get_recipe
from blockzoo.training.settings import TrainingSettings


@dataclass(frozen=True)
class Training:
    """What one process trains: `block` of `width` for `epochs` of `images` random images."""

    block: str
    position: str
    width: int
    recipe: str
    images: int
    epochs: int
    device: str
    compiled: bool


def train(task: Training) -> int:
    """Train it; return how many images it trained on."""
    recipe = replace(get_recipe(task.recipe).lasting(task.epochs), warmup_epochs=0.0)
    net = ScaffoldNet(task.block, task.position, ScaffoldConfig(width=task.width))
    settings = TrainingSettings(
        dataset=random_images(task.images),
        recipe=recipe,
        seed=0,
        device=task.device,
        compiled=task.compiled,
    )
    result = fit(net, settings)
    if result.not_compiled:
        raise SystemExit(f"{task.block} was not compiled: {result.not_compiled}")
    return task.images * task.epochs


def images_per_s(executor: Executor, task: Training, count: int) -> float:
    """Return images/s of `count` trainings that start together and of which all are waited for."""
    started = time.perf_counter()
    futures = [executor.submit(train, task) for _ in range(count)]
    trained = sum(future.result() for future in futures)
    return trained / (time.perf_counter() - started)


def main() -> None:
    """Measure every count, print, save."""
    options = parse()
    task = Training(
        block=options.block,
        position=options.position,
        width=options.width,
        recipe=options.recipe,
        images=options.images,
        epochs=options.epochs,
        device=options.device,
        compiled=options.compile,
    )
    speeds: dict[int, list[float]] = {}
    for count in options.counts:
        threads = max(1, torch.get_num_threads() // count)
        with PoolExecutor(count, threads=threads) as executor:
            images_per_s(executor, replace(task, epochs=1), count)
            speeds[count] = [images_per_s(executor, task, count) for _ in range(options.rounds)]
        alone = median(speeds[options.counts[0]])
        each_round = ", ".join(f"{speed:,.0f}" for speed in speeds[count])
        gain = median(speeds[count]) / alone
        print(f"{count:3} at once: {each_round} images/s together, x {gain:.2f}", flush=True)
    record = {
        "images_per_s": speeds,
        "options": {key: str(value) for key, value in vars(options).items() if key != "output"},
        "environment": describe_environment(options.device),
    }
    if options.output:
        options.output.write_text(json.dumps(record, indent=1) + "\n")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--block", default="ResNetBasicBlock")
    parser.add_argument("--position", default="mid")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--recipe", default="v1")
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--images", type=int, default=45_000, help="training images of each")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compile", action="store_true", help="compile the training step")
    parser.add_argument("--output", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
