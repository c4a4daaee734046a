"""Does `lite` rank blocks as a training of five times its epochs does, and what do seeds spread?

    python benchmarks/lite_choice.py STORE --output benchmarks/results/lite_choice.json
    python benchmarks/lite_choice.py STORE --no-run --page PAGE.md

Trains blocks at one position by the protocol and by the same with more epochs. The two sides have
other seeds, so that the noise of one is not that of the other. Trainings go into a store as a sweep
puts them there, so a run that was stopped goes on; `--also` names stores that hold some of them
already. What may be said of them is on the page, see `lite_choice_page.py`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
from lite_choice_page import lite_choice_page

from blockzoo.core.position import Position
from blockzoo.experiments.protocol import Protocol, get_protocol
from blockzoo.experiments.sweep.choice import Choice
from blockzoo.experiments.sweep.plan import SweepRequest, Trial
from blockzoo.experiments.sweep.run import Outcome, SweepListener, run_sweep
from blockzoo.measure.machine.environment import describe_environment
from blockzoo.results.records import AnyRecord, TrainingRecord
from blockzoo.results.store.database import Store

LEAST_BLOCKS = 8
FIRST_LONG_SEED = 100
"""Seeds of the longer trainings begin here, so that no side shares one with the other."""


def main() -> None:
    """Train what is missing, then save the record and write the page."""
    options = parse()
    torch.set_num_threads(options.threads)
    sides = protocols(options)
    if options.run:
        with Store(options.store, create=True) as store:
            for protocol in sides.values():
                run(protocol, options, store)
    record = summarised(sides, trained_in([options.store, *options.also]), options)
    if options.output:
        options.output.write_text(json.dumps(record, indent=1) + "\n")
    page = lite_choice_page(record)
    print(page)
    if options.page:
        options.page.write_text(page)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("store", type=Path, help="where trainings are kept")
    parser.add_argument("--also", type=Path, nargs="+", default=[], help="stores that are read too")
    parser.add_argument("--protocol", default="lite")
    parser.add_argument("--times", type=int, default=5, help="epochs of the longer one, times")
    parser.add_argument("--blocks", nargs="+", help="the protocol's by default")
    parser.add_argument("--position", default="mid", choices=list(map(str, Position)))
    parser.add_argument("--seeds", type=int, default=5, help="of the protocol itself")
    parser.add_argument("--long-seeds", type=int, default=3, help="of the longer one")
    parser.add_argument("--dataset", help="the protocol's by default")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-run", dest="run", action="store_false", help="read what is there")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--page", type=Path)
    options = parser.parse_args(arguments)
    if min(options.seeds, options.long_seeds, options.times) < 2:
        parser.error("--seeds, --long-seeds and --times must be 2 or more")
    blocks = options.blocks or get_protocol(options.protocol).blocks
    if options.run and len(blocks) < LEAST_BLOCKS:
        parser.error(f"{len(blocks)} blocks; a rank agreement needs {LEAST_BLOCKS} or more")
    return options


def protocols(options: argparse.Namespace) -> dict[str, Protocol]:
    """Return the protocol itself, `short`, and the longer one, `long`."""
    short = get_protocol(options.protocol).changed(
        blocks=options.blocks and tuple(options.blocks),
        positions=(Position.parse(options.position),),
        dataset=options.dataset,
        seeds=tuple(range(options.seeds)),
    )
    seeds = tuple(range(FIRST_LONG_SEED, FIRST_LONG_SEED + options.long_seeds))
    long = short.changed(epochs=options.times * short.recipe.epochs, seeds=seeds)
    return {"short": short, "long": long}


def run(protocol: Protocol, options: argparse.Namespace, store: Store) -> None:
    """Train what the store lacks of the protocol."""
    request = SweepRequest(
        protocol=protocol,
        data_dir=options.data_dir,
        device="cpu",
        choice=Choice(only=("training",), retry_failed=False),
    )
    run_sweep(request, store, listener=_Printing())


class _Printing(SweepListener):
    def started(self, trial: Trial) -> None:
        print(f"{datetime.now():%H:%M:%S} {trial.label}", flush=True)

    def finished(self, outcome: Outcome) -> None:
        print(f"    {outcome.records[0].status}, {outcome.seconds:.0f} s", flush=True)


def trained_in(stores: Iterable[Path]) -> Iterator[TrainingRecord]:
    """Yield the trainings of the stores, each once."""
    seen = set[str]()
    for path in stores:
        with Store(path, create=False) as store:
            for record in store.each(kind="training"):
                if isinstance(record, TrainingRecord) and record.trial_id not in seen:
                    seen.add(record.trial_id)
                    yield record


def summarised(
    sides: dict[str, Protocol], records: Iterable[AnyRecord], options: argparse.Namespace
) -> dict[str, Any]:
    """Return what is published of the trainings: of each side every seed's figures by block."""
    found = [record for record in records if isinstance(record, TrainingRecord)]
    of_sides = {name: side(protocol, found) for name, protocol in sides.items()}
    used = [each for name, protocol in sides.items() for each in of_protocol(protocol, found)]
    return {
        "made": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "position": options.position,
        "datasets": sorted({(each.dataset, each.dataset_fingerprint) for each in used}),
        "environment": used[-1].environment.model_dump() if used else describe_environment(),
        "commits": sorted({str(each.environment.commit) for each in used}),
        "processors": sorted({each.environment.named_processor for each in used}),
        **of_sides,
    }


def side(protocol: Protocol, records: Iterable[TrainingRecord]) -> dict[str, Any]:
    """Return the figures of one protocol's trainings by block and seed."""
    mine = list(of_protocol(protocol, records))
    good = [record for record in mine if record.status == "ok"]
    figures: dict[str, Callable[[TrainingRecord], float | None]] = {
        "test_accuracy": lambda each: each.test_accuracy,
        "sum_of_train_losses": lambda each: sum(epoch.train_loss for epoch in each.epochs),
        "training_seconds": lambda each: each.training_seconds,
    }
    return {
        "label": protocol.label,
        "epochs": protocol.recipe.epochs,
        "failed": sorted({record.block for record in mine if record.status == "failed"}),
        **{
            name: {
                block: {str(each.seed): figure(each) for each in good if each.block == block}
                for block in protocol.blocks
            }
            for name, figure in figures.items()
        },
    }


def of_protocol(protocol: Protocol, records: Iterable[TrainingRecord]) -> Iterator[TrainingRecord]:
    """Yield those of its label, blocks, positions and seeds, by seed."""
    (position,) = protocol.positions
    mine = [
        record
        for record in records
        if record.protocol == protocol.label
        and record.block in protocol.blocks
        and position in record.positions
        and record.seed in protocol.seeds
    ]
    yield from sorted(mine, key=lambda record: (record.seed, record.block))


if __name__ == "__main__":
    main()
