"""What a sweep has to do: from a protocol to trials, less those the store already holds.

A trial knows the ids its records will have before it runs. Costs are one trial per (block,
position), latencies one per position with all its missing blocks, because they are measured
against each other, and trainings one per network and seed: a network that is the same at several
positions is trained once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from blockzoo.core.errors import InputError
from blockzoo.core.position import Position
from blockzoo.core.run_way import RunWay
from blockzoo.data import ImageDataset, Progress, load_dataset
from blockzoo.experiments.matching import Fit, fit
from blockzoo.experiments.protocol import Protocol
from blockzoo.experiments.sweep.choice import Choice, Kind
from blockzoo.experiments.trial_identity import (
    cost_trial_id,
    latency_trial_id,
    trained_arithmetic,
    training_trial_id,
    training_trial_ids,
)
from blockzoo.measure.machine.devices import resolve_device
from blockzoo.measure.timing.settings import LatencySettings
from blockzoo.results.store.database import Store
from blockzoo.scaffold.net import ScaffoldConfig
from blockzoo.scaffold.placement import Placement
from blockzoo.training.optimisation import step_of
from blockzoo.training.run_options import RunOptions
from blockzoo.training.settings import TrainingSettings

_ORDER: dict[Kind, int] = {"cost": 0, "latency": 1, "training": 2}
"""What takes seconds comes first."""

# First guesses, of a small network on a few cores, for the time left that is shown.
_EXPECTED_COST_S = 0.1
_EXPECTED_IMAGES_PER_S = 2000.0


@dataclass(frozen=True, kw_only=True)
class SweepRequest:
    """What is asked for: a protocol and where to run it.

    Args:
        protocol: What is held fixed, and what is compared.
        data_dir: See `load_dataset`.
        skip_bad_images: See `load_dataset`.
        flip: Whether images are flipped left to right, in the place of what the data set says.
        trust_unsure: Whether what the store holds also stands of blocks whose identity is unsure.
        device: "auto", "cpu", "cuda" or "cuda:N".
        compiled: Whether whole batches are trained by `torch.compile`, which changes numbers within
            rounding.
        timed: By position the blocks as they were fitted by timing, where they are matched by
            latency.
        choice: Which of the trials are run here; by default all.
        options: How trainings are run and what their records are named.

    Raises:
        DeviceError: For a device that is not there, at once.

    Example:
        >>> from blockzoo import get_protocol
        >>> SweepRequest(protocol=get_protocol("quick"), device="cpu").scaffold.classes
        10
    """

    protocol: Protocol
    data_dir: Path | None = None
    skip_bad_images: bool = False
    flip: bool | None = None
    trust_unsure: bool = False
    device: str = "auto"
    compiled: bool = False
    timed: Mapping[Position, tuple[Fit, ...]] = field(default_factory=dict)
    choice: Choice = field(default_factory=Choice)
    options: RunOptions = field(default_factory=RunOptions)

    def __post_init__(self) -> None:
        resolve_device(self.device)

    @property
    def dataset(self) -> ImageDataset:
        """The protocol's data set, loaded once per process."""
        return self.load_dataset()

    def load_dataset(self, progress: Progress | None = None) -> ImageDataset:
        """Return the data set.

        Args:
            progress: Called as `progress(fraction, text)` while images are decoded.
        """
        listener = _DecodingListener(progress=progress)
        data = _loaded(self.protocol.dataset, self.data_dir, self.skip_bad_images, listener)
        return data if self.flip is None else data.with_flip(self.flip)

    @property
    def scaffold(self) -> ScaffoldConfig:
        """The protocol's scaffold for that data set."""
        data = self.dataset
        return self.protocol.scaffold(classes=data.num_classes, input_shape=data.image_shape)

    def placement(self, block: str, position: Position) -> Placement:
        """Return the placement of that block in the sweep's scaffold.

        Args:
            block: A name or path.
            position: Which stage holds it.
        """
        return Placement.of(block, position, self.scaffold)

    def fits(self, position: Position) -> list[Fit]:
        """Return every block of the protocol fitted to its budget there; none without a budget.

        Args:
            position: Which stage holds them.

        Raises:
            InputError: Where they are matched by latency and were not timed yet.
        """
        match = self.protocol.match
        if match is None:
            return []
        if match.cost != "latency":
            return [fit(self.placement(block, position), match) for block in self.protocol.blocks]
        known = {each.block: each for each in self.timed.get(position, ())}
        if not known.keys() >= {*self.protocol.blocks}:
            raise InputError(
                "blocks are matched by latency only where they are timed first, which `compare`, "
                "`sweep` and `train` do"
            )
        return [known[block] for block in self.protocol.blocks]

    def blocks_at(self, position: Position) -> tuple[str, ...]:
        """Return the names by which blocks are run there; without those that reach no budget.

        Args:
            position: Which stage holds them.

        Raises:
            InputError: Where none reaches its budget.
        """
        if self.protocol.match is None:
            return self.protocol.blocks
        fits = self.fits(position)
        if not any(each.reached for each in fits):
            reasons = "; ".join(each.reason for each in fits)
            raise InputError(f"no block reaches its budget at {position}: {reasons}")
        return tuple(each.fitted for each in fits if each.reached)

    def placements(self) -> Iterator[Placement]:
        """Yield every block at every position, by position."""
        for position in self.protocol.positions:
            # Blocks innermost: where a sweep is stopped, those that are done share positions.
            for block in self.blocks_at(position):
                yield self.placement(block, position)

    def training_settings(self, seed: int) -> TrainingSettings:
        """Return how a network of the sweep is trained.

        Args:
            seed: Of weights, order and augmentation.
        """
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

    def narrowed(self, trial_ids: Collection[str]) -> Trial:
        """Return the trial with those of its blocks alone whose ids are given.

        Args:
            trial_ids: All of the trial's, or some.
        """
        if len(trial_ids) == len(self.trial_ids):
            return self
        kept = [
            each for each in zip(self.blocks, self.trial_ids, strict=True) if each[1] in trial_ids
        ]
        blocks, ids = zip(*kept, strict=True)
        return replace(self, blocks=blocks, trial_ids=ids)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be run, in order, and how many results the store already holds.

    `failed`: how many trials failed before and are not tried again.
    `unsure`: by block, what its identity does not cover. Its results are not taken from the store.
    `asked`: by trial id, all positions at which its result is wanted; one network may be the same
    at several.
    """

    trials: tuple[Trial, ...]
    done: int
    failed: int = 0
    unsure: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    asked: Mapping[str, tuple[Position, ...]] = field(default_factory=dict)


def make_plan(request: SweepRequest, store: Store) -> Plan:
    """Return the trials of `request` whose results are missing from `store`, or failed there.

    Raises `UnknownNameError` for an unknown block and `DataError` for a data set that cannot be
    used. A block that cannot be built gets the one trial that records why. What the store holds of
    a block whose identity is unsure counts as missing, for the block may have changed, unless
    `request.trust_unsure`.

    >>> import tempfile
    >>> from blockzoo.experiments.protocol import get_protocol
    >>> quick = get_protocol("quick").changed(blocks=("Identity",), seeds=(0,))
    >>> with tempfile.TemporaryDirectory() as folder, Store(folder, create=True) as store:
    ...     plan = make_plan(SweepRequest(protocol=quick, device="cpu"), store)
    >>> [trial.label for trial in plan.trials][::3]
    ['cost Identity early', 'latency Identity early', 'training Identity early, seed 0']
    """
    placements = _identified(request)
    unsure = {} if request.trust_unsure else _unsure(placements)
    timed = _timed(request)
    others = *_costs(request, placements), *_trainings(request, placements)
    every = [identity for trial in others for identity in trial.trial_ids]
    every += [identity for ids in timed.values() for identity in ids.values()]
    # Of these alone: however much the store holds, it is asked for no more than this sweep has.
    done = store.ok_ids(every)
    failed = set() if request.choice.retry_failed else _failed(store, every) - done
    latencies = _latencies(request, timed, done | failed, unsure)
    mine = _mine(request, others, timed)
    wanted: dict[tuple[str, ...], Trial] = {}
    asked: dict[str, tuple[Position, ...]] = defaultdict(tuple)
    for trial in sorted((*others, *latencies), key=lambda trial: _ORDER[trial.kind]):
        for identity in trial.trial_ids:
            asked[identity] = tuple(dict.fromkeys((*asked[identity], trial.position)))
        # A network that is the same at several positions has one training: that of the first.
        if request.choice.takes(trial.kind) and _key(trial, timed) in mine:
            wanted.setdefault(trial.trial_ids, trial)
    left = {ids for ids in wanted if not failed.isdisjoint(ids) and (done | failed).issuperset(ids)}
    missing = [
        trial
        for ids, trial in wanted.items()
        if ids not in left and (not done.issuperset(ids) or _rests_on(unsure, request, trial))
    ]
    return Plan(
        trials=tuple(missing),
        done=len(wanted) - len(missing) - len(left),
        failed=len(left),
        unsure=unsure,
        asked=dict(asked),
    )


def _failed(store: Store, among: Collection[str]) -> set[str]:
    wanted = {*among}
    return {each.trial_id for each in store.listed(status="failed") if each.trial_id in wanted}


def _mine(
    request: SweepRequest, others: Sequence[Trial], timed: Mapping[Position, Mapping[str, str]]
) -> Container[str]:
    """Return the keys of the trials of this shard, whatever the store holds.

    Nothing of a store is asked: each shard has one of its own, and all must deal alike.
    """
    choice = request.choice
    rounds: dict[int, dict[str, float]] = defaultdict(dict)
    for trial in others:
        takes = choice.seconds_of_training.get(trial.blocks[0], trial.expected_s)
        seconds = takes if trial.kind == "training" else trial.expected_s
        # Of a seed all trainings are dealt before the next: a table of one seed is whole first.
        turn = _ORDER[trial.kind] + (trial.seed or 0)
        rounds[turn].setdefault(trial.trial_ids[0], seconds)
    budget_s = request.protocol.latency_budget_s
    for ids in timed.values():
        rounds[_ORDER["latency"]][_session(ids)] = len(ids) * budget_s
    if choice.shard is None:
        return {key for each in rounds.values() for key in each}
    return choice.shard.mine(rounds[turn] for turn in sorted(rounds))


def _key(trial: Trial, timed: Mapping[Position, Mapping[str, str]]) -> str:
    """Return by what a trial is dealt; one of latencies by all that its position has."""
    # Not by those that are missing: what is timed together at one position stays in one shard.
    return _session(timed[trial.position]) if trial.kind == "latency" else trial.trial_ids[0]


def _session(ids: Mapping[str, str]) -> str:
    return " ".join(ids.values())


def _identified(request: SweepRequest) -> list[Placement]:
    """Return the placements, of which all is known now that identities need of their networks."""
    settings = request.training_settings(seed=0)
    placements = list(request.placements())
    for placement in placements:
        # Of one at a time, because only the networks of a few are kept.
        if placement.fingerprints.block:
            trained_arithmetic(placement, settings)
    return placements


def _unsure(placements: Iterable[Placement]) -> dict[str, tuple[str, ...]]:
    """Return by block what the identities of its placements do not cover."""
    unsure: dict[str, tuple[str, ...]] = {}
    for placement in placements:
        reasons = placement.fingerprints.unsure
        if reasons:
            unsure.setdefault(placement.spec.name, reasons)
    return unsure


def _rests_on(unsure: Container[str], request: SweepRequest, trial: Trial) -> bool:
    """Tell whether one of the blocks, or of a latency the baseline, is among the unsure."""
    baseline = request.blocks_at(trial.position)[:1] if trial.kind == "latency" else ()
    return any(block in unsure for block in (*trial.blocks, *baseline))


def _costs(request: SweepRequest, placements: Iterable[Placement]) -> Iterator[Trial]:
    for placement in placements:
        # The training step whose memory is counted is the one that is trained.
        recipe = request.protocol.recipe
        identity = cost_trial_id(
            placement, training_batch_size=recipe.batch_size, training_step=step_of(recipe)
        )
        yield Trial(
            kind="cost",
            blocks=(placement.spec.name,),
            position=placement.position,
            trial_ids=(identity,),
            expected_s=_EXPECTED_COST_S,
        )


def _timed(request: SweepRequest) -> dict[Position, dict[str, str]]:
    """Return the ids of latencies by position and block."""
    settings = request.latency
    found: dict[Position, dict[str, str]] = {}
    for position in request.protocol.positions:
        placements = [request.placement(b, position) for b in request.blocks_at(position)]
        found[position] = {
            each.spec.name: latency_trial_id(each, settings=settings, baseline=placements[0])
            for each in placements
        }
    return found


def _latencies(
    request: SweepRequest,
    timed: Mapping[Position, Mapping[str, str]],
    done: Container[str],
    unsure: Container[str],
) -> Iterator[Trial]:
    for position, ids in timed.items():
        baseline = next(iter(ids))
        missing = {
            block: identity
            for block, identity in ids.items()
            if identity not in done or block in unsure or baseline in unsure
        }
        # All that is there is one trial found done; what is missing is measured together.
        chosen = missing or ids
        yield Trial(
            kind="latency",
            blocks=tuple(chosen),
            position=position,
            trial_ids=tuple(chosen.values()),
            expected_s=len(chosen) * request.protocol.latency_budget_s,
        )


def _trainings(request: SweepRequest, placements: Iterable[Placement]) -> Iterator[Trial]:
    settings = {seed: request.training_settings(seed) for seed in request.protocol.seeds}
    # Of one that cannot be built the cost trial records why.
    built = [placement for placement in placements if placement.fingerprints.block]
    identities = [training_trial_ids(each, settings) for each in built]
    images = len(request.dataset.x_train) * request.protocol.recipe.epochs
    for seed in settings:
        for placement, of_seed in zip(built, identities, strict=True):
            yield _training_trial(placement, seed, of_seed[seed], images)


def training_trial(request: SweepRequest, placement: Placement, seed: int) -> Trial:
    """Return the trial that trains that placement; its id is known without training."""
    identity = training_trial_id(placement, request.training_settings(seed))
    images = len(request.dataset.x_train) * request.protocol.recipe.epochs
    return _training_trial(placement, seed, identity, images)


def _training_trial(placement: Placement, seed: int, identity: str, images: int) -> Trial:
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
