"""Test accuracy of recipe `v1` against `classic`: same blocks, data, epochs and seeds, in pairs.

    python benchmarks/recipes.py cifar100-q95.npz --epochs 15 --width 16 --output recipes.json

Trains every block with every seed by both recipes, in the scaffold of one protocol; checkpoint and
plateau are decided on validation and the test set is read once per training, at the end. Records
are kept in the results folder as each training ends, so that a run that was stopped goes on. The
tables show mean test accuracies and calibration errors, and the paired differences, with Student-t
intervals of 95% over the seeds.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path

import torch

from blockzoo.data import load_dataset
from blockzoo.experiments.protocol import get_protocol
from blockzoo.experiments.train import train_placement
from blockzoo.experiments.trial_identity import training_trial_id
from blockzoo.results.records import TrainingRecord
from blockzoo.results.store.database import Store
from blockzoo.scaffold.placement import Placement
from blockzoo.stats.paired_seeds import MeanInterval, mean_interval
from blockzoo.training.recipe import get_recipe
from blockzoo.training.settings import TrainingSettings

RECIPES = ("classic", "v1")
FIGURES = ("test_accuracy", "test_calibration_error")
Figures = dict[str, dict[str, dict[int, float]]]
"""One figure of every training, by block, recipe and seed."""


def main() -> None:
    """Train what the store does not hold yet, print the table, save the record."""
    options = parse()
    torch.set_num_threads(options.threads)
    records = list(trained(options))
    by_figure = {figure: figures(records, figure) for figure in FIGURES}
    summary = {
        figure: {block: summarised(of_recipe) for block, of_recipe in of_block.items()}
        for figure, of_block in by_figure.items()
    }
    for figure in FIGURES:
        print_table(figure, summary[figure])
    if options.output:
        saved = {
            "created_at": datetime.now(timezone.utc).isoformat(),
            "environment": records[-1].environment.model_dump(),
            "commits": sorted({str(record.environment.commit) for record in records}),
            "settings": {k: v for k, v in vars(options).items() if k not in ("output", "results")}
            | {"data": Path(options.data).name},
            "dataset": [records[0].dataset, records[0].dataset_fingerprint],
            "recipes": {name: asdict(get_recipe(name).lasting(options.epochs)) for name in RECIPES},
            "summary": summary,
            **by_figure,
        }
        options.output.write_text(json.dumps(saved, indent=1) + "\n")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", help="a data set as `blockzoo train --dataset` takes it")
    blocks = ["ResNetBasicBlock", "InvertedResidual", "MBConvLNBlock", "RepMixer"]
    parser.add_argument("--blocks", nargs="+", default=blocks)
    parser.add_argument("--position", default="mid")
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--protocol", default="v1", help="whose scaffold")
    parser.add_argument("--width", type=int, help="the protocol's by default")
    parser.add_argument("--depth", type=int, help="the protocol's by default")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compile", action="store_true", help="compile the training step")
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--output", type=Path)
    return parser.parse_args()


def trained(options: argparse.Namespace) -> Iterator[TrainingRecord]:
    """Yield a record per seed, block and recipe, from the store or from a training."""
    # CIFAR's images, whatever file they come in.
    dataset = load_dataset(options.data).with_flip(True)
    protocol = get_protocol(options.protocol).changed(width=options.width, depth=options.depth)
    scaffold = protocol.scaffold(classes=dataset.num_classes, input_shape=dataset.image_shape)
    with Store(options.results, create=True) as store:
        for seed in range(options.seeds):
            for block in options.blocks:
                for name in RECIPES:
                    placement = Placement.of(block, options.position, scaffold)
                    settings = TrainingSettings(
                        dataset=dataset,
                        recipe=get_recipe(name).lasting(options.epochs),
                        seed=seed,
                        device=options.device,
                        compiled=options.compile,
                    )
                    record = store.get(training_trial_id(placement, settings))
                    if not isinstance(record, TrainingRecord):
                        record = train_placement(placement, settings)
                        store.put_all([record])
                    print(f"{time.strftime('%H:%M:%S')} {block} {name} seed {seed}", end=" ")
                    print(
                        f"{record.test_accuracy:.4f}, {record.training_seconds:.0f} s", flush=True
                    )
                    yield record


def figures(records: list[TrainingRecord], figure: str) -> Figures:
    """Return that field of the records by block, recipe and seed."""
    by_block: Figures = {}
    for record in records:
        of_block = by_block.setdefault(record.block, {})
        of_block.setdefault(str(record.recipe["name"]), {})[record.seed] = getattr(record, figure)
    return by_block


def summarised(of_recipe: dict[str, dict[int, float]]) -> dict[str, dict[str, float | None]]:
    """Return mean and interval of each recipe and of `v1` minus `classic` over shared seeds."""
    first, second = (of_recipe[name] for name in RECIPES)
    differences = [second[seed] - first[seed] for seed in first.keys() & second.keys()]
    intervals: dict[str, MeanInterval] = {
        **{name: mean_interval(list(of_recipe[name].values())) for name in RECIPES},
        "v1 minus classic": mean_interval(differences),
    }
    return {name: asdict(interval) for name, interval in intervals.items()}


def print_table(figure: str, summary: dict[str, dict[str, dict[str, float | None]]]) -> None:
    """Print the figure in per cent, and the differences in points."""
    title = figure.replace("_", " ")
    print(f"\n{title:28} {'classic':>22} {'v1':>22} {'v1 minus classic':>24}  n")
    for block, of_name in summary.items():
        texts = [f"{in_per_cent(mean)}" for mean in of_name.values()]
        print(f"{block:28} {texts[0]:>22} {texts[1]:>22} {texts[2]:>24}  {of_name['v1']['n']}")


def in_per_cent(mean: dict[str, float | None]) -> str:
    """Return a mean with its interval, in per cent."""
    low, high = mean["low"], mean["high"]
    text = f"{100 * (mean['mean'] or 0):.1f}"
    return text if low is None or high is None else f"{text} ({100 * low:.1f} to {100 * high:.1f})"


if __name__ == "__main__":
    main()
