"""Training images/s of BlockZoo against the early version's loop, side by side in one run.

Usage: python benchmarks/training_throughput.py [--rounds N] [--threads N] [--modes MODE...]

The early loop (`early_loop.py`): torchvision transforms in DataLoader workers, fp32, contiguous,
Adam, the loss read at each step. BlockZoo's is `blockzoo.training.fit` with recipe `v1`, at the
same batch size and with the validation that it always does left out of the time. Modes are `plain`,
`compiled` (on CUDA in CUDA graphs) and `launched`, which is compiled without graphs; the compiling
is left out of the time too. Each round times both on one epoch of the same random images, in
alternating order; the first round warms up and is dropped. The data pipelines are also timed alone.
MFU is training FLOPs (3 x forward) per second over the measured peak of a matrix product in the
same precision. On CUDA the published table (11 blocks x 3 positions x 5 seeds x 50 epochs of 45,000
images) is projected from the slowest block in its fastest mode.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

import early_loop
import torch

from blockzoo.data import ImageDataset
from blockzoo.data.batches import DeviceImages, channel_statistics
from blockzoo.measure.environment import describe_environment
from blockzoo.profile import profile_blocks
from blockzoo.scaffold import ScaffoldConfig, ScaffoldNet
from blockzoo.training import compilation
from blockzoo.training.fit import fit
from blockzoo.training.precision import resolve_arithmetic
from blockzoo.training.recipe import get_recipe

CLASSES = 10
SCAFFOLD = ScaffoldConfig(context="classic/ResNetBasicBlock", stem_bias=True)
TABLE_IMAGES = 11 * 3 * 5 * 50 * 45_000
GRAPHS = dict(compilation.MODES)
Timed = Callable[[], float]


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


def cells(options: argparse.Namespace) -> dict[tuple[str, str], tuple[Timed, Timed]]:
    """Return what is compared: by name and mode the early version's measurement and BlockZoo's."""
    device = torch.device(options.device)
    data = random_images(options.steps * options.batch_size)
    batches = early_loop.loader(data, options.batch_size, options.workers)
    recipe = replace(get_recipe("v1"), epochs=1, warmup_epochs=0.0, batch_size=options.batch_size)
    placed = DeviceImages(
        data.x_train, data.y_train, channel_statistics(data.x_train), device=device
    )

    def pipeline() -> float:
        started = time.perf_counter()
        count = sum(
            len(labels)
            for _, labels in placed.epoch(
                0, seed=0, batch_size=options.batch_size, crop_padding=4, flip=True
            )
        )
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds: float = time.perf_counter() - started
        return count / seconds

    def trained(block: str, mode: str) -> tuple[Timed, Timed]:
        def early() -> float:
            net = ScaffoldNet(block, options.position, SCAFFOLD)
            return early_loop.train_epoch(net, batches, device)

        def ours() -> float:
            net = ScaffoldNet(block, options.position, SCAFFOLD)
            compiled = mode != "plain"
            found = fit(net, data, recipe, seed=0, device=device, progress=False, compiled=compiled)
            if found.not_compiled:
                raise SystemExit(f"{block} was not compiled: {found.not_compiled}")
            return found.images_per_s

        return early, ours

    alone = (lambda: early_loop.pipeline_images_per_s(batches, device), pipeline)
    rows = [(block, mode) for block in options.blocks for mode in options.modes]
    return {("data pipeline", ""): alone, **{row: trained(*row) for row in rows}}


def choose(mode: str) -> None:
    """Have compiled trainings use CUDA graphs, or not, from here on."""
    compilation._function.cache_clear()
    compilation.MODES.clear()
    compilation.MODES.update({} if mode == "launched" else GRAPHS)


def measure(rounds: int, pair: tuple[Timed, Timed]) -> tuple[list[float], list[float]]:
    """Return images/s of both, round by round, the first round dropped."""
    samples: tuple[list[float], list[float]] = ([], [])
    for index in range(rounds + 1):
        for which in (0, 1) if index % 2 else (1, 0):
            speed = pair[which]()
            if index:
                samples[which].append(speed)
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
    for (name, mode), pair in cells(options).items():
        choose(mode)
        early, ours = measure(options.rounds, pair)
        ratios = [b / a for a, b in zip(early, ours, strict=True)]
        mfu, label = "", f"{name} {mode}".strip()
        results[label] = {"early": early, "blockzoo": ours, "ratios": ratios}
        if mode:
            share = utilisation(options, name, median(ours))
            fastest[name] = max(fastest.get(name, 0.0), median(ours))
            results[label]["mfu"], mfu = share, f"{share:.1%}"
        results[label]["median_ratio"] = median(ratios)
        spread = f"{median(ratios):5.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        speeds = f"{median(early):10.1f}  {median(ours):10.1f}"
        print(f"{label:36}  {speeds}  {spread:20} {mfu}", flush=True)
        if options.device.startswith("cuda") and fastest:
            record["table_hours"] = TABLE_IMAGES / min(fastest.values()) / 3600
        options.output.write_text(json.dumps(record, indent=2) + "\n")
    if "table_hours" in record:
        print(
            f"the published table at the slowest block's speed: {record['table_hours']:.1f} hours"
        )
    print(f"saved {options.output}")


if __name__ == "__main__":
    main()
