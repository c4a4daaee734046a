"""What a record says it is of, built here: network, settings and the id that these make.

Only blocks of the zoo and published data sets are built and loaded. A name in somebody else's file
could lead to any file of this machine, and to its code.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from itertools import product
from pathlib import Path
from typing import Any

from blockzoo.blocks.registry import registered
from blockzoo.core.errors import BlockZooError, reason_of
from blockzoo.core.names import published_name
from blockzoo.core.version import VERSION
from blockzoo.data import ImageDataset, load_dataset
from blockzoo.data.datasets import DATASET_NAMES
from blockzoo.experiments.profile import CostSettings
from blockzoo.experiments.protocol import Protocol, get_protocol, protocol_names
from blockzoo.experiments.trial_identity import (
    cost_trial_id,
    latency_trial_id,
    training_trial_id,
)
from blockzoo.measure.costs.memory import SGD_STEP, TrainingStep
from blockzoo.measure.timing.settings import LatencySettings
from blockzoo.results.records import (
    SCHEMA_VERSION,
    AnyRecord,
    CostRecord,
    LatencyRecord,
    TrainingRecord,
)
from blockzoo.scaffold.net import ScaffoldConfig
from blockzoo.scaffold.placement import Placement
from blockzoo.training.optimisation import step_of
from blockzoo.training.recipe import RECIPES, Recipe
from blockzoo.training.settings import TrainingSettings

_STEPS = (SGD_STEP, *(step_of(recipe) for recipe in RECIPES.values()))
_PROCESSES = (0, 1, 3, 20)
_PROTOCOLS = tuple(get_protocol(name) for name in protocol_names())
_BUDGETS_S = tuple(dict.fromkeys((6.0, 10.0, *(each.latency_budget_s for each in _PROTOCOLS))))
"""Seconds that commands and protocols time for; records keep only what came of it."""


class UnknownError(Exception):
    """Something about a record that cannot be told here, and why."""


class UnusualError(UnknownError):
    """A latency whose id is of settings that cannot be guessed, or of another environment."""

    def __str__(self) -> str:
        return "its id covers settings of timing that are none of the usual ones"


class IdentityError(Exception):
    """A record that is not of the trial it says it is of."""


@dataclass(frozen=True, kw_only=True)
class Claims:
    """Builds what records say they are of.

    Args:
        data_dir: Where data sets are found, see `load_dataset`.

    Example:
        >>> Claims(data_dir=Path("data")).data_dir.name
        'data'
    """

    data_dir: Path | None = None
    _datasets: dict[str, ImageDataset] = field(default_factory=dict, init=False, repr=False)

    def check(self, record: AnyRecord) -> None:
        """Compare what a record says it is of with what is built here.

        Args:
            record: Of any kind.

        Raises:
            IdentityError: Where they are not the same.
            UnknownError: Where that cannot be told here, with the reason.
        """
        placement = placement_of(record)
        fingerprint = placement.recorded_fingerprint
        # Failed records tell none; their ids cover the network all the same.
        told = record.block_fingerprint or (fingerprint if record.status == "failed" else "")
        if told != fingerprint:
            raise IdentityError(
                f"its block is not the {record.block} built here (fingerprint "
                f"{record.block_fingerprint[:8] or 'empty'}, here {fingerprint[:8]}; made with "
                f"BlockZoo {record.environment.blockzoo}, here {VERSION})"
            )
        if not {*record.positions} <= {*placement.positions}:
            raise IdentityError("its network is not the same at all positions that it names")
        if isinstance(record, CostRecord):
            cost_settings(record, placement)
        elif isinstance(record, LatencyRecord):
            latency_settings(record, placement)
        else:
            self.training_settings(record, placement)

    def training_settings(self, record: TrainingRecord, placement: Placement) -> TrainingSettings:
        """Return how it was trained.

        Args:
            record: Of the training.
            placement: Its network, see `placement_of`.

        Raises:
            IdentityError: Where these settings do not make its id.
            UnknownError: Where records do not say all of them, or the data are not here.
        """
        dataset = self._dataset(record.dataset)
        recipe = _recipe_of(record)
        settings = TrainingSettings(
            dataset=dataset.with_flip(recipe.flip),
            recipe=recipe,
            seed=record.seed,
            protocol=record.protocol,
            device=record.device,
            compiled=record.compiled,
        )
        protocol = protocol_of(record)
        if protocol is not None:
            split = (protocol.validation_fraction, protocol.split_seed)
            settings = replace(settings, validation_fraction=split[0], split_seed=split[1])
        if settings.dataset.fingerprint != record.dataset_fingerprint:
            raise UnknownError(f"{record.dataset} here holds other images")
        settings = _with_its_arithmetic(settings, record)
        try:
            identity = training_trial_id(placement, settings)
        except BlockZooError as error:
            raise IdentityError(f"it cannot be trained so: {reason_of(error)}") from None
        if identity != record.trial_id:
            self._refuse(record, protocol)
        return settings

    def _refuse(self, record: TrainingRecord, protocol: Protocol | None) -> None:
        if protocol is None and record.protocol.partition("+")[0] not in protocol_names():
            raise UnknownError(f"records do not say all that {record.protocol} has changed")
        raise IdentityError("its id is not that of the seed, recipe and protocol that it names")

    def _dataset(self, name: str) -> ImageDataset:
        if name not in DATASET_NAMES:
            raise UnknownError("its data set is not a published one")
        if name not in self._datasets:
            try:
                self._datasets[name] = load_dataset(name, data_dir=self.data_dir)
            except BlockZooError as error:
                raise UnknownError(f"its data set is not here: {reason_of(error)}") from None
        return self._datasets[name]


def label_of(record: AnyRecord) -> str:
    """Return what a record is of, in short."""
    seed = f", seed {record.seed}" if isinstance(record, TrainingRecord) else ""
    return f"{record.kind} {record.block} {'/'.join(map(str, record.shown))}{seed}"


def protocol_of(record: TrainingRecord) -> Protocol | None:
    """Return the protocol whose label a record carries, with all that was changed in it.

    Records do not keep the split, so a protocol that has another is not found.

    Args:
        record: A training.

    Returns:
        None where what the record says makes another label.
    """
    name = record.protocol.partition("+")[0]
    published = name.partition("~")[0]
    if published not in protocol_names():
        return None
    base, its = get_protocol(published), record.scaffold
    values = {k: v for k, v in record.recipe.items() if k not in ("name", "flip")}
    values |= {"context": its.context, "depth": its.depth, "width": its.width}
    values |= {"stem_bias": its.stem_bias}
    # What data have said of flips, and "auto" of the stem, is told as what it came to.
    choices = product((base.stem, its.stem), (base.recipe.flip, record.recipe.get("flip")))
    for stem, flip in choices:
        try:
            found = base.changed(**values, stem=stem, flip=flip)
        except (BlockZooError, TypeError):
            return None
        if found.label == name:
            return found
    return None


def placement_of(record: AnyRecord) -> Placement:
    """Return the network of a record, built by this BlockZoo.

    Args:
        record: Of any kind.

    Raises:
        UnknownError: For one that cannot be built here, or that is not of the zoo alone.
    """
    if record.schema_version != SCHEMA_VERSION:
        raise UnknownError("it has an identity of an older BlockZoo")
    baseline = record.baseline if isinstance(record, LatencyRecord) else None
    for block in (record.block, record.scaffold.context, baseline):
        if block is not None and registered(published_name(block)) is None:
            raise UnknownError("its block, baseline or context is not one of the zoo")
    try:
        placement = Placement.of(record.block, record.shown[0], scaffold_of(record))
        if not placement.recorded_fingerprint:
            raise UnknownError("its block cannot be built here")
    except BlockZooError as error:
        raise UnknownError(f"its block cannot be built here: {reason_of(error)}") from None
    return placement


def scaffold_of(record: AnyRecord) -> ScaffoldConfig:
    """Return the scaffold of a record, as networks are built in it."""
    return ScaffoldConfig(**record.scaffold.model_dump())


def _recipe_of(record: TrainingRecord) -> Recipe:
    known = {each.name for each in fields(Recipe)}
    if not {*record.recipe} <= known:
        raise IdentityError("its recipe has settings that there are not")
    values: dict[str, Any] = dict(record.recipe)
    try:
        return Recipe(**values)
    except (BlockZooError, TypeError) as error:
        raise IdentityError(f"its recipe cannot be: {error}") from None


def _with_its_arithmetic(settings: TrainingSettings, record: TrainingRecord) -> TrainingSettings:
    """Return the settings with precision and layout as they were there, whatever is usual here."""
    arithmetic: dict[str, Any] = {"precision": record.precision}
    try:
        recipe = replace(settings.recipe, **arithmetic, channels_last=record.channels_last)
    except BlockZooError:
        raise IdentityError(f"nothing is trained in {record.precision}, its precision") from None
    return replace(settings, recipe=recipe)


def cost_settings(record: CostRecord, placement: Placement) -> CostSettings:
    """Return what of a cost was found out.

    Args:
        record: Of the cost.
        placement: Its network, see `placement_of`.

    Raises:
        IdentityError: Where no such settings make its id.
        UnknownError: Where records do not say all of them.
    """
    memory = record.memory_training
    images = CostSettings().training_batch_size if memory is None else memory.batch_size
    for step in _steps(record):
        identity = cost_trial_id(
            placement,
            training_batch_size=images,
            memory=memory is not None or record.status != "ok",
            training_step=step,
        )
        if identity == record.trial_id:
            return CostSettings(
                training_batch_size=images, memory=memory is not None, training_step=step
            )
    if record.status != "ok" or (memory and memory.optimizer not in {s.label for s in _STEPS}):
        raise UnknownError("of its training step not all is known")
    raise IdentityError("its id is not that of the network, scaffold and step that it names")


def _steps(record: CostRecord) -> list[TrainingStep]:
    """Return the training steps that the record may be of."""
    memory = record.memory_training
    named = None if memory is None else memory.optimizer
    return [step for step in _STEPS if named is None or step.label == named]


def latency_settings(record: LatencyRecord, placement: Placement) -> LatencySettings:
    """Return how a latency was measured; its id covers the environment that it names.

    Args:
        record: Of the latency.
        placement: Its network, see `placement_of`.

    Raises:
        UnusualError: Where no usual settings make its id: they were others, or it was changed.
    """
    baseline = replace(placement, spec=Placement.of(record.baseline or record.block, "mid").spec)
    for settings in _usual_settings(record):
        identity = latency_trial_id(
            placement, settings=settings, baseline=baseline, environment=record.environment
        )
        if identity == record.trial_id:
            return settings
    raise UnusualError


def _usual_settings(record: LatencyRecord) -> Iterator[LatencySettings]:
    for processes, budget_s in product((len(record.process_counts), *_PROCESSES), _BUDGETS_S):
        yield LatencySettings(way=record.way, processes=processes, budget_s=budget_s)
