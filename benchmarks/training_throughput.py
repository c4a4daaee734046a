"""Training images/s in bfloat16 and channels-last against fp32 and contiguous, side by side.

Usage: python benchmarks/training_throughput.py [--rounds N] [--steps N] [--threads N] [--output F]

Each round trains both, in alternating order, for one epoch of the same random images through
`blockzoo.training.fit`; the first round warms up and is dropped. Prints a table and saves every
sample with the environment. On a busy machine use `--threads 1`: two threads wait for each other.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch

from blockzoo.data import ImageDataset
from blockzoo.measure.environment import describe_environment
from blockzoo.scaffold import ScaffoldConfig, ScaffoldNet
from blockzoo.training.fit import fit
from blockzoo.training.recipe import Recipe, get_recipe

CLASSES = 10
BASE = replace(get_recipe("v1"), epochs=1, warmup_epochs=0.0)
RECIPES = {
    "fp32, contiguous": replace(BASE, precision="fp32", channels_last=False),
    "bf16, channels last": replace(BASE, precision="bf16", channels_last=True),
}
SCAFFOLD = ScaffoldConfig(context="classic/ResNetBasicBlock", stem_bias=True)


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


def images_per_s(options: argparse.Namespace, data: ImageDataset, recipe: Recipe) -> float:
    """Train a fresh network for one epoch and return its training speed."""
    net = ScaffoldNet(options.block, options.position, SCAFFOLD)
    recipe = replace(recipe, batch_size=options.batch_size)
    return fit(net, data, recipe, seed=0, device=options.device, progress=False).images_per_s


def measure(options: argparse.Namespace) -> dict[str, list[float]]:
    """Return the samples of each arithmetic, round by round."""
    data = random_images(options.steps * options.batch_size)
    samples: dict[str, list[float]] = {name: [] for name in RECIPES}
    for index in range(options.rounds + 1):
        order = list(RECIPES) if index % 2 else list(reversed(RECIPES))
        for name in order:
            speed = images_per_s(options, data, RECIPES[name])
            if index:
                samples[name].append(speed)
    return samples


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--block", default="classic/ResNetBasicBlock")
    parser.add_argument("--position", default="mid")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=6, help="batches per round")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    default = Path("benchmarks/results/training_throughput.json")
    parser.add_argument("--output", type=Path, default=default)
    return parser.parse_args()


def main() -> None:
    """Measure, print, save."""
    options = parse()
    torch.set_num_threads(options.threads)
    samples = measure(options)
    slow, fast = samples.values()
    ratios = [b / a for a, b in zip(slow, fast, strict=True)]
    for name, values in samples.items():
        low, high = min(values), max(values)
        print(f"{name:20}  {median(values):8.1f} images/s  ({low:.1f} to {high:.1f})")
    print(f"{'ratio':20}  {median(ratios):8.2f}           ({min(ratios):.2f} to {max(ratios):.2f})")
    record = {
        "options": {key: str(value) for key, value in vars(options).items() if key != "output"},
        "images_per_s": samples,
        "ratios": ratios,
        "median_ratio": median(ratios),
        "environment": describe_environment(options.device),
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(record, indent=2) + "\n")
    print(f"saved {options.output}")


if __name__ == "__main__":
    main()
