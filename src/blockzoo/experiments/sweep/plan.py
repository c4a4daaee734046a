"""What a sweep has to do: from a protocol to trials, less those the store already holds.

A trial knows the ids its records will have before it runs. Costs are one trial per (block,
position), latencies one per position with all its missing blocks, because they are measured
against each other, and trainings one per network and seed: a network that is the same at several
positions is trained once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from blockzoo.blocks import get_block
from blockzoo.core.position import Position
from blockzoo.data import ImageDataset, Progress, load_dataset
from blockzoo.data.residence import Residence
from blockzoo.experiments.identity import latency_trial_id
from blockzoo.experiments.profile import cost_trial_id
from blockzoo.experiments.protocol import Protocol
from blockzoo.experiments.train import training_trial_id
from blockzoo.measure.machine.devices import resolve_device
from blockzoo.measure.timing.settings import LatencySettings
from blockzoo.results.store.database import Store
from blockzoo.scaffold.net import ScaffoldConfig
from blockzoo.scaffold.placement import fingerprints
from blockzoo.training.loggers import LogTo

Kind = Literal["cost", "latency", "training"]

_EXPECTED_COST_S = 0.1
_EXPECTED_IMAGES_PER_S = 2000.0


@dataclass(frozen=True, kw_only=True)
class SweepRequest:
    """What is asked for: a protocol and where to run it; raises `DeviceError` at once.

    `checkpoints` and `save_weights` are folders, None for neither; `resident` is whether images
    lie on the device, `log_to` which loggers are told; see `train_block`.
    """

    protocol: Protocol
    data_dir: Path | None = None
    skip_bad_images: bool = False
    robustness: bool = False
    device: str = "auto"
    resident: Residence = "auto"
    experiment_name: str = ""
    notes: str = ""
    checkpoints: Path | None = None
    resume: bool = True
    on_oom: Literal["split", "fail"] = "split"
    save_weights: Path | None = None
    compiled: bool = False
    log_to: LogTo | None = None

    def __post_init__(self) -> None:
        resolve_device(self.device)

    @property
    def dataset(self) -> ImageDataset:
        """The protocol's data set, loaded once per process."""
        return self.load_dataset()

    def load_dataset(self, progress: Progress | None = None) -> ImageDataset:
        """Return the data set; `progress(fraction, text)` is told while images are decoded."""
        told = _Told(progress=progress)
        return _loaded(self.protocol.dataset, self.data_dir, self.skip_bad_images, told)

    @property
    def scaffold(self) -> ScaffoldConfig:
        """The protocol's scaffold for that data set."""
        data = self.dataset
        return self.protocol.scaffold(classes=data.num_classes, input_shape=data.image_shape)

    def training_settings(self, seed: int) -> dict[str, Any]:
        """Return the arguments that `train_block` and `training_trial_id` share."""
        settings = self.protocol.training_settings(
            self.dataset, seed=seed, device=self.device, compiled=self.compiled
        )
        return {**settings, "protocol": self.protocol.label}

    @property
    def latency(self) -> LatencySettings:
        """The settings of the latency measurement."""
        return LatencySettings(
            device=self.device,
            batch_size=self.protocol.latency_batch_size,
            budget_s=self.protocol.latency_budget_s,
            processes=self.protocol.latency_processes,
        )


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One unit of work. `expected_s` is a first guess of its seconds, for the time left."""

    kind: Kind
    blocks: tuple[str, ...]
    position: Position
    seed: int | None = None
    trial_ids: tuple[str, ...]
    expected_s: float

    @property
    def label(self) -> str:
        """A short name for people."""
        blocks = self.blocks[0] if len(self.blocks) == 1 else f"{len(self.blocks)} blocks"
        seed = "" if self.seed is None else f", seed {self.seed}"
        return f"{self.kind} {blocks} {self.position}{seed}"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be run, in order, and how many results the store already holds."""

    trials: tuple[Trial, ...]
    done: int


def make_plan(request: SweepRequest, store: Store) -> Plan:
    """Return the trials of `request` whose results are missing from `store`, or failed there.

    Raises `UnknownNameError` for an unknown block and `DataError` for a data set that cannot be
    used. A block that cannot be built gets the one trial that records why.
    """
    done = store.ok_ids()
    wanted: dict[tuple[str, ...], Trial] = {}
    for trial in (*_costs(request), *_latencies(request, done), *_trainings(request)):
        # A network that is the same at several positions has one training; the first stands.
        wanted.setdefault(trial.trial_ids, trial)
    missing = [trial for trial in wanted.values() if not done.issuperset(trial.trial_ids)]
    return Plan(trials=tuple(missing), done=len(wanted) - len(missing))


def _cells(request: SweepRequest) -> Iterator[tuple[str, Position]]:
    for position in request.protocol.positions:
        for block in request.protocol.blocks:
            yield get_block(block).name, position


def _costs(request: SweepRequest) -> Iterator[Trial]:
    for block, position in _cells(request):
        identity = cost_trial_id(
            block,
            position,
            config=request.scaffold,
            training_batch_size=request.protocol.recipe.batch_size,
        )
        yield Trial(
            kind="cost",
            blocks=(block,),
            position=position,
            trial_ids=(identity,),
            expected_s=_EXPECTED_COST_S,
        )


def _latencies(request: SweepRequest, done: set[str]) -> Iterator[Trial]:
    protocol = request.protocol
    for position in protocol.positions:
        ids = {
            get_block(block).name: latency_trial_id(
                block,
                position,
                config=request.scaffold,
                settings=request.latency,
                baseline=protocol.blocks[0],
            )
            for block in protocol.blocks
        }
        missing = {block: identity for block, identity in ids.items() if identity not in done}
        # All that is there is one trial found done; what is missing is measured together.
        chosen = missing or ids
        yield Trial(
            kind="latency",
            blocks=tuple(chosen),
            position=position,
            trial_ids=tuple(chosen.values()),
            expected_s=len(chosen) * protocol.latency_budget_s,
        )


def _trainings(request: SweepRequest) -> Iterator[Trial]:
    for seed in request.protocol.seeds:
        for block, position in _cells(request):
            # Of one that cannot be built the cost trial records why.
            if fingerprints(block, position, request.scaffold).block:
                yield training_trial(request, block, position, seed)


def training_trial(request: SweepRequest, block: str, position: Position, seed: int) -> Trial:
    """Return the trial that trains that cell."""
    identity = training_trial_id(block, position, **request.training_settings(seed))
    images = len(request.dataset.x_train) * request.protocol.recipe.epochs
    return Trial(
        kind="training",
        blocks=(block,),
        position=position,
        seed=seed,
        trial_ids=(identity,),
        expected_s=images / _EXPECTED_IMAGES_PER_S,
    )


@dataclass(frozen=True, kw_only=True)
class _Told:
    """Who is told of the decoding; all are equal, for the data set is the same."""

    progress: Progress | None = field(compare=False)


@lru_cache(maxsize=2)
def _loaded(name: str, data_dir: Path | None, skip_bad_images: bool, told: _Told) -> ImageDataset:
    return load_dataset(
        name, data_dir=data_dir, skip_bad_images=skip_bad_images, progress=told.progress
    )
