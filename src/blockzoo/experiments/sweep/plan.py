"""What a sweep has to do: from a protocol to trials, less those the store already holds.

A trial knows the ids its records will have before it runs. Costs are one trial per (block,
position). Latencies are one per position with all its missing blocks, because they are measured
against each other, or one for all positions where the protocol says so. Trainings are one per
network and seed: a network that is the same at several positions is trained once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import NamedTuple

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


class Part(NamedTuple):
    """A block of a trial, its position, and the id that its record will have."""

    block: str
    position: Position
    trial_id: str


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One unit of work. `expected_s` is a first guess of its seconds, for the time left.

    `places`: of a session of latencies over several positions that of each block, the first of
    which is `position`; without them all blocks are there.
    """

    kind: Kind
    blocks: tuple[str, ...]
    position: Position
    places: tuple[Position, ...] = ()
    seed: int | None = None
    trial_ids: tuple[str, ...]
    expected_s: float

    @property
    def parts(self) -> tuple[Part, ...]:
        """Each block with its position and its id."""
        places = self.places or (self.position,) * len(self.blocks)
        return tuple(map(Part, self.blocks, places, self.trial_ids))

    @property
    def positions(self) -> tuple[Position, ...]:
        """The positions of all its blocks, each once."""
        return tuple(dict.fromkeys(self.places or (self.position,)))

    @property
    def label(self) -> str:
        """A short name for people."""
        names = tuple(dict.fromkeys(self.blocks))
        blocks = names[0] if len(names) == 1 else f"{len(names)} blocks"
        seed = "" if self.seed is None else f", seed {self.seed}"
        return f"{self.kind} {blocks} {'/'.join(map(str, self.positions))}{seed}"

    def narrowed(self, trial_ids: Collection[str]) -> Trial:
        """Return the trial with those of its blocks alone whose ids are given.

        Args:
            trial_ids: All of the trial's, or some.
        """
        if len(trial_ids) == len(self.trial_ids):
            return self
        return self._of([part for part in self.parts if part.trial_id in trial_ids])

    def _of(self, parts: Sequence[Part]) -> Trial:
        places = tuple(part.position for part in parts)
        return replace(
            self,
            blocks=tuple(part.block for part in parts),
            position=places[0],
            places=places if self.places else (),
            trial_ids=tuple(part.trial_id for part in parts),
        )


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
    sessions = _sessions(request)
    others = *_costs(request, placements), *_trainings(request, placements)
    every = [identity for trial in others for identity in trial.trial_ids]
    every += [part.trial_id for session in sessions for part in session]
    # Of these alone: however much the store holds, it is asked for no more than this sweep has.
    done = store.ok_ids(every)
    failed = set() if request.choice.retry_failed else _failed(store, every) - done
    latencies = _latencies(request, sessions, done | failed, unsure)
    mine = _mine(request, others, sessions)
    wanted: dict[tuple[str, ...], Trial] = {}
    for trial in sorted((*others, *latencies), key=lambda trial: _ORDER[trial.kind]):
        # A network that is the same at several positions has one training: that of the first.
        if request.choice.takes(trial.kind) and _key(trial, sessions) in mine:
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
        asked=_asked((*(part for trial in others for part in trial.parts), *chain(*sessions))),
    )


def _asked(parts: Iterable[Part]) -> dict[str, tuple[Position, ...]]:
    asked: dict[str, tuple[Position, ...]] = defaultdict(tuple)
    for part in parts:
        asked[part.trial_id] = tuple(dict.fromkeys((*asked[part.trial_id], part.position)))
    return dict(asked)


def _failed(store: Store, among: Collection[str]) -> set[str]:
    wanted = {*among}
    return {each.trial_id for each in store.listed(status="failed") if each.trial_id in wanted}


def _mine(
    request: SweepRequest, others: Sequence[Trial], sessions: Sequence[_Session]
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
    for session in sessions:
        rounds[_ORDER["latency"]][_ids(session)] = len(session) * budget_s
    if choice.shard is None:
        return {key for each in rounds.values() for key in each}
    return choice.shard.mine(rounds[turn] for turn in sorted(rounds))


def _key(trial: Trial, sessions: Sequence[_Session]) -> str:
    """Return by what a trial is dealt; one of latencies by all that its session has."""
    if trial.kind != "latency":
        return trial.trial_ids[0]
    # Not by those that are missing: what is timed together stays in one shard.
    (session,) = (each for each in sessions if trial.parts[0] in each)
    return _ids(session)


def _ids(session: _Session) -> str:
    return " ".join(part.trial_id for part in session)


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
    timed = trial.positions if trial.kind == "latency" else ()
    baselines = (request.blocks_at(position)[0] for position in timed)
    return any(block in unsure for block in (*trial.blocks, *baselines))


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


_Session = tuple[Part, ...]
"""What is timed together, also what is the same network as another part."""


def _sessions(request: SweepRequest) -> list[_Session]:
    """Return what is timed together, the baselines first."""
    sessions = [_session(request, position) for position in request.protocol.positions]
    # Blocks that are fitted to a budget are others at each position.
    together = request.protocol.latency_together and request.protocol.match is None
    return [tuple(chain(*sessions))] if together else sessions


def _session(request: SweepRequest, position: Position) -> _Session:
    placements = [request.placement(block, position) for block in request.blocks_at(position)]
    return tuple(
        Part(
            each.spec.name,
            position,
            latency_trial_id(each, settings=request.latency, baseline=placements[0]),
        )
        for each in placements
    )


def _latencies(
    request: SweepRequest,
    sessions: Sequence[_Session],
    done: Container[str],
    unsure: Container[str],
) -> Iterator[Trial]:
    for session in sessions:
        # A network that is the same at several positions is timed once.
        once: dict[str, Part] = {}
        for part in session:
            once.setdefault(part.trial_id, part)
        baseline = session[0].block
        missing = [
            part
            for part in once.values()
            if part.trial_id not in done or part.block in unsure or baseline in unsure
        ]
        # All that is there is one trial found done; what is missing is measured together.
        chosen = missing or list(once.values())
        places = tuple(part.position for part in chosen)
        yield Trial(
            kind="latency",
            blocks=tuple(part.block for part in chosen),
            position=places[0],
            places=places if len({part.position for part in session}) > 1 else (),
            trial_ids=tuple(part.trial_id for part in chosen),
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
