"""What Ray adds to a sweep, at 1 and 2 workers, and what that means on up to 64 nodes.

    python benchmarks/ray_scaling.py --output benchmarks/results/ray_scaling.json
    python benchmarks/ray_scaling.py --page benchmarks/results/ray_scaling.json

The first line runs one sweep of small trainings three ways: in this process, on a Ray cluster of
this machine with one worker, and with two. A model of driver and workers (`cluster_model.py`) is
fitted to the first two and must foretell the third. The second line writes the page of the record.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from cluster_model import EFFICIENT, Cluster, drawn

from blockzoo.experiments.execution.executors import ExecutorChoice, executor_for
from blockzoo.experiments.protocol import get_protocol
from blockzoo.experiments.sweep.choice import Choice
from blockzoo.experiments.sweep.plan import SweepRequest, Trial
from blockzoo.experiments.sweep.run import Outcome, SweepListener, run_sweep
from blockzoo.measure.machine.environment import describe_environment
from blockzoo.results.environment import Environment
from blockzoo.results.store.database import Store

NODES = (1, 2, 4, 8, 16, 32, 64)
MEANS_S = (1.0, 10.0, 60.0, 600.0)
"""Of trainings, from a small network on digits to ten minutes on a GPU."""
SIMULATED_TRIALS = 3330
"""111 blocks, 3 positions, 10 seeds."""
_PAGE = Path(__file__).parents[1].joinpath("docs", "measurements", "ray-scaling.md")


@dataclass(frozen=True, kw_only=True)
class Way:
    """A sweep run one way: seconds until a first trial could start, then until the last record."""

    executor: str
    workers: int
    startup_s: float
    wall_s: float
    trials_s: tuple[float, ...]

    @property
    def beside_s(self) -> float:
        """Seconds a trial of a worker's time in which no trial ran, without the start."""
        return (self.wall_s * self.workers - sum(self.trials_s)) / len(self.trials_s)


class _Watch(SweepListener):
    def __init__(self) -> None:
        self.trials_s: list[float] = []
        self.first_s: float | None = None

    def started(self, trial: Trial) -> None:
        """Note when the first trial was handed out."""
        self.first_s = self.first_s or time.perf_counter()

    def finished(self, outcome: Outcome) -> None:
        """Note what it took where it ran."""
        if any(record.status == "failed" for record in outcome.records):
            raise SystemExit(f"{outcome.trial.label}: {outcome.records[0].reason}")
        self.trials_s.append(outcome.seconds)


def _ready(_: None) -> int:
    return torch.get_num_threads()


def run(executor: str, workers: int, seeds: int, epochs: int) -> Way:
    """Run the sweep that way, into a store of its own."""
    protocol = get_protocol("quick").changed(
        blocks=("Identity",),
        positions=("mid",),
        seeds=tuple(range(seeds)),
        width=8,
        depth=1,
        epochs=epochs,
    )
    request = SweepRequest(protocol=protocol, device="cpu", choice=Choice(only=("training",)))
    watch, begun = _Watch(), time.perf_counter()
    with (
        tempfile.TemporaryDirectory() as folder,
        Store(folder, create=True) as store,
        executor_for(ExecutorChoice(name=executor, workers=workers), "cpu") as trainers,
    ):
        # Every worker, with torch imported, before the clock of the trials starts.
        for future in [trainers.submit(_ready, None) for _ in range(workers)]:
            future.result()
        startup_s = time.perf_counter() - begun
        run_sweep(replace(request), store, trainers=trainers, listener=watch)
        assert watch.first_s is not None
        wall_s = time.perf_counter() - watch.first_s
    return Way(
        executor=executor,
        workers=workers,
        startup_s=startup_s,
        wall_s=wall_s,
        trials_s=tuple(watch.trials_s),
    )


def fitted(here: Way, ray: Way) -> Cluster:
    """Return the model that both ways with one worker give."""
    driver_s = max(here.beside_s, 0.0)
    return Cluster(
        startup_s=ray.startup_s,
        driver_s=driver_s,
        round_trip_s=max(ray.beside_s - driver_s, 0.0),
    )


def foretold_s(model: Cluster, way: Way) -> float:
    """Return the seconds of that way by the model, from the first trial to the last record."""
    return replace(model, startup_s=0.0).wall_s(way.trials_s, way.workers)


def simulated(model: Cluster, measured_s: Sequence[float]) -> list[dict[str, Any]]:
    """Return by mean seconds of a training the efficiency by number of nodes, and the knee."""
    rows = []
    for mean_s in MEANS_S:
        durations_s = drawn(measured_s, mean_s=mean_s, count=SIMULATED_TRIALS)
        used = {count: model.efficiency(durations_s, count) for count in NODES}
        row = {"mean_s": mean_s, "efficiency": used, "knee": model.knee(durations_s, NODES)}
        rows.append(row)
    return rows


def measured(seeds: int, epochs: int) -> dict[str, Any]:
    """Return the whole record."""
    torch.set_num_threads(1)
    ways = [run("in-process", 1, seeds, epochs), run("ray", 1, seeds, epochs)]
    ways.append(run("ray", 2, seeds, epochs))
    here, one, two = ways
    model = fitted(here, one)
    return {
        "ways": [asdict(way) for way in ways],
        "model": asdict(model),
        "foretold_s": {"1": foretold_s(model, one), "2": foretold_s(model, two)},
        "simulated": simulated(model, two.trials_s),
        "options": {"seeds": seeds, "epochs": epochs},
        "environment": describe_environment("cpu"),
    }


def page(record: dict[str, Any]) -> str:
    """Return the page of that record, in Markdown."""
    model = record["model"]
    environment = Environment.model_validate(record["environment"])
    ways = "\n".join(
        f"| {way['executor']} | {way['workers']} | {way['startup_s']:.1f} | {way['wall_s']:.1f} | "
        f"{_foretold(record, way)} |"
        for way in record["ways"]
    )
    counts = [str(count) for count in NODES]
    rows = "\n".join(
        f"| {row['mean_s']:g} | "
        + " | ".join(f"{100 * row['efficiency'][count]:.0f}%" for count in _keys(row))
        + f" | {row['knee'] or 'none'} |"
        for row in record["simulated"]
    )
    return f"""# Sweeps on Ray: overhead and scaling

What does Ray add to a sweep, and how many nodes does one driver keep busy?

One sweep of {len(record["ways"][0]["trials_s"])} small trainings was run in this process and on a Ray cluster of one machine.
Record `benchmarks/results/ray_scaling.json`, n = 1, {environment.named_processor}, cores available: {environment.cores},
torch {environment.torch}, Python {environment.python}, commit {environment.commit}.
Run it again by `python benchmarks/ray_scaling.py --output FILE`.

| executor | workers | start-up, s | trials, s | by the model, s |
|---|---|---|---|---|
{ways}

* The driver's own work is {1000 * model["driver_s"]:.0f} ms a trial: the claim, the record, what is told of it.
* Ray adds {1000 * model["round_trip_s"]:.0f} ms a trial on the worker's side.
* Its start, with torch imported in the workers, takes {model["startup_s"]:.1f} s.

The model was fitted to one worker in this process and to one of Ray. The row of two workers is foretold, not fitted.

## Up to 64 nodes, simulated

Nothing here was measured beyond two workers. One worker a node, {SIMULATED_TRIALS:,} trainings, and the model above.
Given is the share of the workers' time in which trainings run. The knee is the largest number of nodes with at least {100 * EFFICIENT:.0f}%.

| a training, s | {" | ".join(counts)} | knee |
|---|{"---|" * len(counts)}---|
{rows}

A driver that takes {1000 * model["driver_s"]:.0f} ms a trial can hand out {_rate(model)} trials a second, whatever the nodes.
The simulation leaves out the network, the disks, and nodes that differ.
"""  # noqa: E501


def _keys(row: dict[str, Any]) -> list[Any]:
    # JSON makes text of numbers that are keys.
    return [key for count in NODES for key in row["efficiency"] if str(key) == str(count)]


def _foretold(record: dict[str, Any], way: dict[str, Any]) -> str:
    if way["executor"] != "ray":
        return "fitted"
    seconds = record["foretold_s"][str(way["workers"])]
    off = 100 * (seconds / way["wall_s"] - 1)
    return f"{seconds:.1f} ({off:+.0f}%)"


def _rate(model: dict[str, float]) -> str:
    return f"{1 / model['driver_s']:.0f}" if model["driver_s"] else "any number of"


def main() -> None:
    """Measure, or write the page of a record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--page", type=Path, metavar="RECORD")
    options = parser.parse_args()
    if options.page:
        _PAGE.write_text(page(json.loads(options.page.read_text())))
        return
    record = measured(options.seeds, options.epochs)
    print(page(record))
    if options.output:
        options.output.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
