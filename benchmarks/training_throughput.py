"""Training images/s of BlockZoo against the early version's loop, side by side in one run.

Usage: python benchmarks/training_throughput.py [--rounds N] [--threads N] [--modes MODE...]

The early loop (`early_loop.py`): torchvision transforms in DataLoader workers, fp32, contiguous,
Adam, the loss read at each step. BlockZoo's is `blockzoo.training.fit` with recipe `v1`, at the
same batch size and with the validation that it always does left out of the time. Modes are `plain`,
`compiled` (on CUDA in CUDA graphs) and `launched`, which is compiled without graphs; the compiling
is left out of the time too. In each round both have a fresh process, in alternating order, that
trains two epochs of the same random images; the first warms up and is dropped. The data pipelines
are also timed alone.
MFU is training FLOPs (3 x forward) per second over the measured peak of a matrix product in the
same precision. On CUDA the published table (11 blocks x 3 positions x 5 seeds x 50 epochs of 45,000
images) is projected from the slowest block in its fastest mode.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import replace
from itertools import product
from pathlib import Path
from statistics import median

import early_loop
import torch

from blockzoo.data import ImageDataset
from blockzoo.data.batches import DeviceImages, channel_statistics
from blockzoo.experiments.profile import profile_blocks
from blockzoo.measure.machine.environment import describe_environment
from blockzoo.scaffold.net import ScaffoldConfig, ScaffoldNet
from blockzoo.training import compilation
from blockzoo.training.arithmetic import resolve_arithmetic
from blockzoo.training.fit import fit
from blockzoo.training.recipe import get_recipe
from blockzoo.training.settings import TrainingSettings

CLASSES = 10
SCAFFOLD = ScaffoldConfig(context="classic/ResNetBasicBlock", stem_bias=True)
TABLE_IMAGES = 11 * 3 * 5 * 50 * 45_000
EPOCHS = 2  # the first warms up


def random_images(count: int) -> ImageDataset:
    """Return that many training images, give or take the validation split's rounding."""
    total = CLASSES * round(count / 0.9 / CLASSES)
    images = torch.randint(0, 256, (total, 3, 32, 32), dtype=torch.uint8)
    labels = torch.arange(total) % CLASSES
    return ImageDataset(
        name="random",
        x_train=images,
        y_train=labels,
        x_test=images[:CLASSES],
        y_test=labels[:CLASSES],
        classes=tuple(map(str, range(CLASSES))),
        flip=True,
    )


def early(options: argparse.Namespace, data: ImageDataset) -> list[float]:
    """Return the early loop's images/s, epoch by epoch; with no block, of its data alone."""
    device = torch.device(options.device)
    batches = early_loop.loader(data, options.batch_size, options.workers)
    if not options.block:
        return [early_loop.pipeline_images_per_s(batches, device) for _ in range(EPOCHS)]
    net = ScaffoldNet(options.block, options.position, SCAFFOLD)
    return early_loop.train(net, batches, device, EPOCHS)


def ours(options: argparse.Namespace, data: ImageDataset) -> list[float]:
    """Return BlockZoo's images/s, epoch by epoch; with no block, of its data alone."""
    if not options.block:
        return [pipeline_images_per_s(data, options) for _ in range(EPOCHS)]
    if options.mode == "launched":
        compilation.MODES.clear()
    recipe = get_recipe("v1")
    recipe = replace(recipe, epochs=EPOCHS, warmup_epochs=0.0, batch_size=options.batch_size)
    net = ScaffoldNet(options.block, options.position, SCAFFOLD)
    compiled = options.mode != "plain"
    result = fit(
        net,
        TrainingSettings(
            dataset=data, recipe=recipe, seed=0, device=options.device, compiled=compiled
        ),
    )
    if result.not_compiled:
        raise SystemExit(f"{options.block} was not compiled: {result.not_compiled}")
    return [epoch.images_per_s or 0.0 for epoch in result.epochs]


def pipeline_images_per_s(data: ImageDataset, options: argparse.Namespace) -> float:
    """Return images/s of an epoch's batches alone."""
    device = torch.device(options.device)
    statistics = channel_statistics(data.x_train)
    placed = DeviceImages(data.x_train, data.y_train, statistics, device=device)
    how = {"batch_size": options.batch_size, "crop_padding": 4, "flip": True}
    started = time.perf_counter()
    count = sum(len(labels) for _, labels in placed.epoch(0, seed=0, **how))
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    seconds: float = time.perf_counter() - started
    return count / seconds


SIDES = {"early": early, "blockzoo": ours}


def in_process(side: str, options: argparse.Namespace, block: str, mode: str) -> float:
    """Return images/s of the last epoch of a side that has a fresh process."""
    side_options = {**vars(options), "block": block, "mode": mode, "output": ""}
    ended = subprocess.run(
        [sys.executable, __file__, "--one", side, json.dumps(side_options)],
        stdout=subprocess.PIPE,
        check=True,
    )
    return float(json.loads(ended.stdout.splitlines()[-1])[-1])


def run_one(side: str, side_options: str) -> None:
    """Print what the side measures, in this process."""
    options = argparse.Namespace(**json.loads(side_options))
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    data = random_images(options.steps * options.batch_size)
    print(json.dumps(SIDES[side](options, data)))


def measure(options: argparse.Namespace, block: str, mode: str) -> dict[str, list[float]]:
    """Return images/s of both sides, round by round."""
    samples: dict[str, list[float]] = {side: [] for side in SIDES}
    for index in range(options.rounds):
        for side in list(SIDES)[:: -1 if index % 2 else 1]:
            samples[side].append(in_process(side, options, block, mode))
    return samples


def peak_flops(device: torch.device, precision: str) -> float:
    """Return FLOP/s of the fastest of a few large matrix products."""
    size = 8192 if device.type == "cuda" else 1024
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best = 0.0
    for _ in range(10):
        started = time.perf_counter()
        product = left @ right
        float(product[0, 0])  # waits for the device
        best = max(best, 2 * size**3 / (time.perf_counter() - started))
    return best


def utilisation(options: argparse.Namespace, block: str, images_per_s: float) -> float:
    """Return training FLOP/s as a share of the measured peak."""
    device = torch.device(options.device)
    (cost,) = profile_blocks([block], [options.position], config=SCAFFOLD)
    assert cost.train is not None
    net = ScaffoldNet(block, options.position, SCAFFOLD)
    precision = resolve_arithmetic(get_recipe("v1"), device, net).precision
    return 3 * cost.train.flops * images_per_s / peak_flops(device, precision)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    blocks = ["classic/ResNetBasicBlock", "classic/InvertedResidual"]
    parser.add_argument("--blocks", nargs="+", default=blocks)
    parser.add_argument("--position", default="mid")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=12, help="batches per round")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    modes = ("plain", "compiled", "launched")
    parser.add_argument("--modes", nargs="+", choices=modes, default=["plain"])
    default = Path("benchmarks/results/training_throughput.json")
    parser.add_argument("--output", type=Path, default=default)
    return parser.parse_args()


def main() -> None:
    """Measure, print, and save what there is after each row, should a later one be stopped."""
    options = parse()
    torch.set_num_threads(options.threads)
    results: dict[str, dict[str, object]] = {}
    fastest: dict[str, float] = {}
    record: dict[str, object] = {
        "images_per_s": results,
        "options": {k: str(v) for k, v in vars(options).items() if k != "output"},
        "environment": describe_environment(options.device),
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    print(f"{'':36}  {'early':>10}  {'BlockZoo':>10}  ratio (range)        MFU")
    for block, mode in [("", ""), *product(options.blocks, options.modes)]:
        speeds = measure(options, block, mode)
        ratios = [b / a for a, b in zip(speeds["early"], speeds["blockzoo"], strict=True)]
        early_speed, our_speed = (median(speeds[side]) for side in SIDES)
        mfu, label = "", f"{block} {mode}".strip() or "data pipeline"
        results[label] = {**speeds, "ratios": ratios, "median_ratio": median(ratios)}
        if block:
            share = utilisation(options, block, our_speed)
            fastest[block] = max(fastest.get(block, 0.0), our_speed)
            results[label]["mfu"], mfu = share, f"{share:.1%}"
        spread = f"{median(ratios):5.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"{label:36}  {early_speed:10.1f}  {our_speed:10.1f}  {spread:20} {mfu}", flush=True)
        if options.device.startswith("cuda") and fastest:
            record["table_hours"] = TABLE_IMAGES / min(fastest.values()) / 3600
        options.output.write_text(json.dumps(record, indent=2) + "\n")
    if "table_hours" in record:
        print(
            f"the published table at the slowest block's speed: {record['table_hours']:.1f} hours"
        )
    print(f"saved {options.output}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        run_one(*sys.argv[2:])
    else:
        main()
