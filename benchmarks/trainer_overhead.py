"""Training images/s of `fit` against a bare loop over the same batches, side by side in one run.

Usage: python benchmarks/trainer_overhead.py [--rounds N] [--threads N] [--compile] [--output F]

The bare loop has the same network, recipe, arithmetic, batches and keeping of freed memory, and
nothing else: no metrics, no norms, no moving average, no checkpoint. With `--compile` both run
compiled. Rounds alternate; the first warms up and is dropped. `fit` should reach 95% of the bare
loop's speed.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau
from training_throughput import random_images

from blockzoo.data import ImageDataset
from blockzoo.data.batches import DeviceImages, channel_statistics
from blockzoo.data.split import split_train_validation
from blockzoo.measure.machine.environment import describe_environment
from blockzoo.scaffold.net import ScaffoldConfig, ScaffoldNet
from blockzoo.training.arithmetic import resolve_arithmetic
from blockzoo.training.fit import fit
from blockzoo.training.optimisation import build_optimizer, build_scheduler
from blockzoo.training.process import freed_memory_kept
from blockzoo.training.recipe import Recipe, get_recipe
from blockzoo.training.settings import TrainingSettings


def bare_images_per_s(data: ImageDataset, recipe: Recipe, options: argparse.Namespace) -> float:
    """Return images/s of a bare loop, the process's memory kept as `fit` has it kept."""
    with freed_memory_kept(torch.device(options.device)):
        return bare_loop(data, recipe, options)


def bare_loop(data: ImageDataset, recipe: Recipe, options: argparse.Namespace) -> float:
    """Train a fresh network for one epoch with as little as it takes and return images/s."""
    device = torch.device(options.device)
    net = ScaffoldNet(options.block, "mid", ScaffoldConfig(width=options.width)).to(device)
    arithmetic = resolve_arithmetic(recipe, device, net)
    layout = torch.channels_last if arithmetic.channels_last else torch.contiguous_format
    net.to(memory_format=layout)
    train, _ = split_train_validation(data.y_train)
    images = data.x_train[train]
    placed = DeviceImages(
        images,
        data.y_train[train],
        channel_statistics(images),
        device=device,
        channels_last=arithmetic.channels_last,
    )
    batches = placed.epoch(0, seed=0, batch_size=recipe.batch_size, crop_padding=4, flip=True)
    optimizer = build_optimizer(net, recipe)
    scheduler = build_scheduler(optimizer, recipe, len(batches))
    assert not isinstance(scheduler, ReduceLROnPlateau)
    forward = torch.compile(call, fullgraph=True, dynamic=False) if options.compile else call
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=arithmetic.precision == "bf16"):
        example = torch.randn(recipe.batch_size, 3, 32, 32, device=device)
        logits = forward(net, example.contiguous(memory_format=layout))
    torch.autograd.backward(logits.float().sum())
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    started = time.perf_counter()
    for inputs, labels in batches:
        with torch.autocast(
            device.type, dtype=torch.bfloat16, enabled=arithmetic.precision == "bf16"
        ):
            logits = (forward if len(inputs) == recipe.batch_size else call)(net, inputs)
        loss = F.cross_entropy(logits.float(), labels, label_smoothing=recipe.label_smoothing)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(net.parameters(), recipe.gradient_clip_norm)
        optimizer.step()
        scheduler.step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return len(train) / (time.perf_counter() - started)


def call(net: nn.Module, images: Tensor) -> Tensor:
    """Return the logits; a function, so that what is compiled does not hold one network."""
    logits: Tensor = net(images)
    return logits


def fit_images_per_s(data: ImageDataset, recipe: Recipe, options: argparse.Namespace) -> float:
    """Return images/s of `fit` on the same."""
    net = ScaffoldNet(options.block, "mid", ScaffoldConfig(width=options.width))
    settings = TrainingSettings(
        dataset=data, recipe=recipe, seed=0, device=options.device, compiled=options.compile
    )
    result = fit(net, settings)
    if result.not_compiled:
        raise SystemExit(f"{options.block} was not compiled: {result.not_compiled}")
    return result.images_per_s


def main() -> None:
    """Measure, print, save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--block", default="ResNetBasicBlock")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=12, help="batches per round")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compile", action="store_true", help="compile the training step")
    default = Path("benchmarks/results/trainer_overhead.json")
    parser.add_argument("--output", type=Path, default=default)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    data = random_images(options.steps * options.batch_size)
    recipe = replace(get_recipe("v1"), epochs=1, warmup_epochs=0.0, batch_size=options.batch_size)
    shares = []
    for index in range(options.rounds + 1):
        order = [bare_images_per_s, fit_images_per_s]
        speeds = {
            measure: measure(data, recipe, options)
            for measure in (order if index % 2 else order[::-1])
        }
        if index:
            shares.append(speeds[fit_images_per_s] / speeds[bare_images_per_s])
    low, high = min(shares), max(shares)
    print(f"fit reaches {median(shares):.1%} of a bare loop ({low:.1%} to {high:.1%})")
    record = {
        "options": {key: str(value) for key, value in vars(options).items() if key != "output"},
        "shares": shares,
        "median_share": median(shares),
        "environment": describe_environment(options.device),
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(record, indent=2) + "\n")
    print(f"saved {options.output}")


if __name__ == "__main__":
    main()
