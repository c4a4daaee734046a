"""What a sweep has to do: from a protocol to trials, less those the store already holds.

A trial knows the ids its records will have before it runs. Costs are one trial per (block,
position), latencies one per position with all its missing blocks, because they are measured
against each other, and trainings one per network and seed: a network that is the same at several
positions is trained once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Literal

from blockzoo.core.position import Position
from blockzoo.core.run_way import RunWay
from blockzoo.data import ImageDataset, Progress, load_dataset
from blockzoo.experiments.protocol import Protocol
from blockzoo.experiments.trial_identity import cost_trial_id, latency_trial_id, training_trial_id
from blockzoo.measure.machine.devices import resolve_device
from blockzoo.measure.timing.settings import LatencySettings
from blockzoo.results.store.database import Store
from blockzoo.scaffold.net import ScaffoldConfig
from blockzoo.scaffold.placement import Placement
from blockzoo.training.run_options import RunOptions
from blockzoo.training.settings import TrainingSettings

Kind = Literal["cost", "latency", "training"]

# First guesses, of a small network on a few cores, for the time left that is shown.
_EXPECTED_COST_S = 0.1
_EXPECTED_IMAGES_PER_S = 2000.0


@dataclass(frozen=True, kw_only=True)
class SweepRequest:
    """What is asked for: a protocol and where to run it; raises `DeviceError` at once.

    `data_dir` and `skip_bad_images`: see `load_dataset`. `compiled`: see `TrainingSettings`.
    `options` say how trainings are run and what their records are named.
    """

    protocol: Protocol
    data_dir: Path | None = None
    skip_bad_images: bool = False
    device: str = "auto"
    compiled: bool = False
    options: RunOptions = field(default_factory=RunOptions)

    def __post_init__(self) -> None:
        resolve_device(self.device)

    @property
    def dataset(self) -> ImageDataset:
        """The protocol's data set, loaded once per process."""
        return self.load_dataset()

    def load_dataset(self, progress: Progress | None = None) -> ImageDataset:
        """Return the data set; `progress(fraction, text)` is called while images are decoded."""
        listener = _DecodingListener(progress=progress)
        return _loaded(self.protocol.dataset, self.data_dir, self.skip_bad_images, listener)

    @property
    def scaffold(self) -> ScaffoldConfig:
        """The protocol's scaffold for that data set."""
        data = self.dataset
        return self.protocol.scaffold(classes=data.num_classes, input_shape=data.image_shape)

    def placement(self, block: str, position: Position) -> Placement:
        """Return the placement of that block in the sweep's scaffold."""
        return Placement.of(block, position, self.scaffold)

    def training_settings(self, seed: int) -> TrainingSettings:
        """Return how a network of the sweep is trained with that seed."""
        return self.protocol.training_settings(
            self.dataset, seed=seed, device=self.device, compiled=self.compiled
        )

    @property
    def latency(self) -> LatencySettings:
        """The settings of the latency measurement."""
        return LatencySettings(
            way=RunWay(device=self.device, batch_size=self.protocol.latency_batch_size),
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
    """What is to be run, in order, and how many results the store already holds.

    `asked`: by trial id, all positions at which its result is wanted; one network may be the same
    at several.
    """

    trials: tuple[Trial, ...]
    done: int
    asked: Mapping[str, tuple[Position, ...]] = field(default_factory=dict)


def make_plan(request: SweepRequest, store: Store) -> Plan:
    """Return the trials of `request` whose results are missing from `store`, or failed there.

    Raises `UnknownNameError` for an unknown block and `DataError` for a data set that cannot be
    used. A block that cannot be built gets the one trial that records why.

    >>> import tempfile
    >>> from blockzoo.experiments.protocol import get_protocol
    >>> quick = get_protocol("quick").changed(blocks=("Identity",), seeds=(0,))
    >>> with tempfile.TemporaryDirectory() as folder, Store(folder, create=True) as store:
    ...     plan = make_plan(SweepRequest(protocol=quick, device="cpu"), store)
    >>> [trial.label for trial in plan.trials][::3]
    ['cost Identity early', 'latency Identity early', 'training Identity early, seed 0']
    """
    done = store.ok_ids()
    wanted: dict[tuple[str, ...], Trial] = {}
    asked: dict[str, tuple[Position, ...]] = defaultdict(tuple)
    for trial in (*_costs(request), *_latencies(request, done), *_trainings(request)):
        for identity in trial.trial_ids:
            asked[identity] = tuple(dict.fromkeys((*asked[identity], trial.position)))
        # A network that is the same at several positions has one training: that of the first.
        wanted.setdefault(trial.trial_ids, trial)
    missing = [trial for trial in wanted.values() if not done.issuperset(trial.trial_ids)]
    return Plan(trials=tuple(missing), done=len(wanted) - len(missing), asked=dict(asked))


def _placements(request: SweepRequest) -> Iterator[Placement]:
    for position in request.protocol.positions:
        for block in request.protocol.blocks:
            yield request.placement(block, position)


def _costs(request: SweepRequest) -> Iterator[Trial]:
    for placement in _placements(request):
        # The training step whose memory is counted is the one that is trained.
        identity = cost_trial_id(placement, training_batch_size=request.protocol.recipe.batch_size)
        yield Trial(
            kind="cost",
            blocks=(placement.spec.name,),
            position=placement.position,
            trial_ids=(identity,),
            expected_s=_EXPECTED_COST_S,
        )


def _latencies(request: SweepRequest, done: set[str]) -> Iterator[Trial]:
    protocol = request.protocol
    for position in protocol.positions:
        baseline = request.placement(protocol.blocks[0], position)
        placements = [request.placement(block, position) for block in protocol.blocks]
        ids = {
            placement.spec.name: latency_trial_id(
                placement, settings=request.latency, baseline=baseline
            )
            for placement in placements
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
        for placement in _placements(request):
            # Of one that cannot be built the cost trial records why.
            if placement.fingerprints.block:
                yield training_trial(request, placement, seed)


def training_trial(request: SweepRequest, placement: Placement, seed: int) -> Trial:
    """Return the trial that trains that placement; its id is known without training."""
    identity = training_trial_id(placement, request.training_settings(seed))
    images = len(request.dataset.x_train) * request.protocol.recipe.epochs
    return Trial(
        kind="training",
        blocks=(placement.spec.name,),
        position=placement.position,
        seed=seed,
        trial_ids=(identity,),
        expected_s=images / _EXPECTED_IMAGES_PER_S,
    )


@dataclass(frozen=True, kw_only=True)
class _DecodingListener:
    """Who hears of the decoding; all are equal, so that the cache does not tell them apart."""

    progress: Progress | None = field(compare=False)


@lru_cache(maxsize=2)
def _loaded(
    name: str, data_dir: Path | None, skip_bad_images: bool, listener: _DecodingListener
) -> ImageDataset:
    return load_dataset(
        name, data_dir=data_dir, skip_bad_images=skip_bad_images, progress=listener.progress
    )
