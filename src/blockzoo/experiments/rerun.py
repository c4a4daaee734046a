"""A record of others made again: its trial rebuilt of what it says, run here, and compared.

Only blocks of the zoo and published data sets are run. A name in somebody else's file could lead
to any file of this machine, and to its code.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import torch

from blockzoo.blocks.registry import registered
from blockzoo.core.errors import BlockZooError, reason_of
from blockzoo.core.names import published_name
from blockzoo.data import ImageDataset, load_dataset
from blockzoo.data.datasets import DATASET_NAMES
from blockzoo.experiments.benchmark import benchmark_blocks
from blockzoo.experiments.profile import CostSettings, profile_blocks
from blockzoo.experiments.protocol import Protocol, get_protocol, protocol_names
from blockzoo.experiments.recording import recorded_environment
from blockzoo.experiments.train import train_placement
from blockzoo.experiments.trial_identity import (
    cost_trial_id,
    trained_arithmetic,
    training_trial_id,
)
from blockzoo.measure.costs.memory import SGD_STEP, TrainingStep
from blockzoo.measure.machine.devices import resolve_device
from blockzoo.measure.timing.settings import LatencySettings
from blockzoo.results.environment import Environment
from blockzoo.results.records import (
    SCHEMA_VERSION,
    AnyRecord,
    CostRecord,
    LatencyRecord,
    TrainingRecord,
)
from blockzoo.results.submissions.verification import Rerun, Result
from blockzoo.scaffold.net import ScaffoldConfig
from blockzoo.scaffold.placement import Placement
from blockzoo.stats.detection import LEAST_OTHERS, interval_of_one_more
from blockzoo.training.optimisation import step_of
from blockzoo.training.recipe import RECIPES, Recipe
from blockzoo.training.settings import TrainingSettings

PLATFORM = (
    *("blockzoo", "python", "torch", "numpy", "system", "processor", "instructions"),
    *("mkl", "onednn", "openmp", "accelerator", "driver", "cuda", "cudnn"),
)
"""Fields of an environment with which the same trial gives the same bits, threads being equal."""
_HARDWARE = ("processor", "instructions", "cores", "accelerator")
"""What has to be the same for ratios of latencies to be compared."""
_STEPS = (SGD_STEP, *(step_of(recipe) for recipe in RECIPES.values()))
_COUNTED = ("train", "deploy", "parts", "training_macs", "uncounted", "uncounted_macs")
_MEMORY = ("memory_inference", "memory_training")
_LEARNED = ("val_loss", "val_accuracy", "test_loss", "test_accuracy", "test_correct")
_MOST_THREADS = 1024


class NotRerunError(Exception):
    """A trial that cannot be made again here, and why."""


class IdentityError(Exception):
    """A record that is not of the trial it says it is of."""


@dataclass(frozen=True, kw_only=True)
class Rerunner:
    """Makes trials of one bundle again, on one machine.

    Args:
        records: All records of the bundle: other seeds say how far results vary.
        data_dir: Where data sets are found, see `load_dataset`.
        device: The one that trainings on that kind of device run on.
        confidence: Of the intervals that results elsewhere are to lie in.

    Example:
        >>> Rerunner(records=()).environment_of("cpu").python[:2]
        '3.'
    """

    records: Sequence[AnyRecord]
    data_dir: Path | None = None
    device: str = "auto"
    confidence: float = 0.99
    _datasets: dict[str, ImageDataset] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def _kind_of_device(self) -> str:
        return resolve_device(self.device).type

    def environment_of(self, device: str) -> Environment:
        """Return what results are made with here on that device."""
        return recorded_environment(device)

    def check_identity(self, record: AnyRecord) -> None:
        """Compare what a record says it is of with the block that is built here.

        Args:
            record: Of any kind.

        Raises:
            IdentityError: Where they are not the same.
            NotRerunError: Where that cannot be told here, with the reason.
        """
        placement = _placement_of(record)
        fingerprint = placement.recorded_fingerprint
        if record.block_fingerprint != fingerprint:
            raise IdentityError(
                f"its block is not the {record.block} built here (fingerprint "
                f"{record.block_fingerprint[:8] or 'empty'}, here {fingerprint[:8]}; made with "
                f"BlockZoo {record.environment.blockzoo}, here "
                f"{recorded_environment().blockzoo})"
            )
        if not {*record.positions} <= {*placement.positions}:
            raise IdentityError("its network is not the same at all positions that it names")
        if isinstance(record, CostRecord):
            _cost_settings(record, placement)
        elif isinstance(record, TrainingRecord):
            self._settings_of(record, placement)

    def require_rerunnable(self, record: AnyRecord) -> None:
        """Raise `NotRerunError` for what cannot be made again here, and what would say nothing.

        Args:
            record: Of any kind.
        """
        if record.status != "ok":
            raise NotRerunError("it failed")
        if isinstance(record, LatencyRecord):
            self._require_timed_here(record)
        elif isinstance(record, TrainingRecord):
            if torch.device(record.device).type != self._kind_of_device:
                raise NotRerunError(f"it was trained on {record.device}")
            if record.micro_batch_size is not None:
                raise NotRerunError("its batches were computed in parts, for lack of memory there")

    def _require_timed_here(self, record: LatencyRecord) -> None:
        if record.ratio is None or record.ratio_interval is None or record.baseline is None:
            raise NotRerunError("it is a baseline, or was timed without one")
        if record.verdict == "baseline" or record.baseline == record.block:
            raise NotRerunError("it is a baseline, whose ratio is 1")
        _require_of_zoo(record.baseline)
        here = self.environment_of(record.device)
        other = [n for n in _HARDWARE if getattr(here, n) != getattr(record.environment, n)]
        if other:
            raise NotRerunError(f"it was timed on another kind of device ({', '.join(other)})")

    def rerun(self, record: AnyRecord) -> Rerun:
        """Make a trial again and say what came of it.

        Args:
            record: One that `require_rerunnable` lets pass.

        Returns:
            Its outcome; "differs" also where it raised here.
        """
        device = record.device if not isinstance(record, CostRecord) else "cpu"
        threads = record.environment.threads
        with _threads(threads if isinstance(record, TrainingRecord) else None):
            here = self.environment_of(device)
            same = _same_platform(record.environment, here)
            try:
                result, detail = self._compared(record, same)
            except (BlockZooError, IdentityError) as error:
                said = reason_of(error) if isinstance(error, BlockZooError) else str(error)
                result, detail = "differs", said
            except NotRerunError as error:
                result, detail = "not told", str(error)
        return Rerun(
            trial_id=record.trial_id,
            label=label_of(record),
            result=result,
            same_platform=same,
            detail=detail,
        )

    def _compared(self, record: AnyRecord, same: bool) -> tuple[Result, str]:
        placement = _placement_of(record)
        if isinstance(record, CostRecord):
            return _compared_costs(record, placement, same_torch=self._same_torch(record))
        if isinstance(record, LatencyRecord):
            return _compared_latency(record)
        settings = self._settings_of(record, placement)
        return self._compared_trainings(record, train_placement(placement, settings), same)

    def _same_torch(self, record: AnyRecord) -> bool:
        return record.environment.torch == self.environment_of("cpu").torch

    def _compared_trainings(
        self, told: TrainingRecord, made: TrainingRecord, same: bool
    ) -> tuple[Result, str]:
        names = [name for name in _LEARNED if getattr(told, name) != getattr(made, name)]
        both = f"{_percent(told.test_accuracy)} told, {_percent(made.test_accuracy)} here"
        if not names and (
            told.test_logits_sha256 is None or told.test_logits_sha256 == made.test_logits_sha256
        ):
            return "equal", both
        if same:
            what = ", ".join(names) or "the logits"
            return "differs", f"{both}; on the same platform {what} should be the same bits"
        return self._within(told, made, both)

    def _within(self, told: TrainingRecord, made: TrainingRecord, both: str) -> tuple[Result, str]:
        others = [
            each.test_accuracy
            for each in self.records
            if isinstance(each, TrainingRecord)
            and each.test_accuracy is not None
            and each.seed != told.seed
            and _network_of(each) == _network_of(told)
        ]
        step = 1 / told.test_images if told.test_images else 0.0
        interval = interval_of_one_more(others, self.confidence, step=step)
        if interval is None:
            few = f"another platform, and {len(others)} other seeds; it takes {LEAST_OTHERS}"
            return "not told", f"{both}; {few}"
        low, high = interval
        inside = all(
            value is not None and low <= value <= high
            for value in (told.test_accuracy, made.test_accuracy)
        )
        where = f"{_percent(low)} to {_percent(high)} by {len(others)} other seeds"
        return ("within" if inside else "differs"), f"{both}; {where}"

    def _settings_of(self, record: TrainingRecord, placement: Placement) -> TrainingSettings:
        """Return how it was trained; raises unless these make its identity."""
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
            raise NotRerunError(f"{record.dataset} here holds other images")
        settings = _with_its_arithmetic(settings, record, placement)
        if training_trial_id(placement, settings) != record.trial_id:
            self._refuse_identity(record, protocol)
        return settings

    def _refuse_identity(self, record: TrainingRecord, protocol: Protocol | None) -> None:
        published = record.protocol.partition("+")[0] in protocol_names()
        if protocol is None and not published:
            raise NotRerunError(f"records do not say all that {record.protocol} has changed")
        raise IdentityError("its id is not that of the seed, recipe and protocol that it names")

    def _dataset(self, name: str) -> ImageDataset:
        if name not in DATASET_NAMES:
            raise NotRerunError("its data set is not a published one")
        if name not in self._datasets:
            try:
                self._datasets[name] = load_dataset(name, data_dir=self.data_dir)
            except BlockZooError as error:
                raise NotRerunError(f"its data set is not here: {reason_of(error)}") from None
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


def _placement_of(record: AnyRecord) -> Placement:
    """Return the network of a record, built by this BlockZoo."""
    if record.schema_version != SCHEMA_VERSION:
        raise NotRerunError("it has an identity of an older BlockZoo")
    _require_of_zoo(record.block)
    _require_of_zoo(record.scaffold.context)
    try:
        placement = Placement.of(record.block, record.shown[0], _scaffold_of(record))
        if not placement.recorded_fingerprint:
            raise NotRerunError("its block cannot be built here")
    except BlockZooError as error:
        raise NotRerunError(f"its block cannot be built here: {reason_of(error)}") from None
    return placement


def _require_of_zoo(block: str) -> None:
    if registered(published_name(block)) is None:
        raise NotRerunError("its block, baseline or context is not one of the zoo")


def _scaffold_of(record: AnyRecord) -> ScaffoldConfig:
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


def _with_its_arithmetic(
    settings: TrainingSettings, record: TrainingRecord, placement: Placement
) -> TrainingSettings:
    """Return the settings with precision and layout as they were there, whatever is usual here."""
    usual = trained_arithmetic(placement, settings)
    if record.status != "ok" or (usual.precision, usual.channels_last) == (
        record.precision,
        record.channels_last,
    ):
        return settings
    if record.precision not in ("fp32", "bf16"):
        raise IdentityError(f"its precision is {record.precision}, in which nothing is trained")
    recipe = replace(
        settings.recipe, precision=record.precision, channels_last=record.channels_last
    )
    return replace(settings, recipe=recipe)


def _cost_settings(record: CostRecord, placement: Placement) -> CostSettings:
    """Return what was asked for; raises `IdentityError` unless the record's id is of that."""
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
        raise NotRerunError("of its training step not all is known")
    raise IdentityError("its id is not that of the network, scaffold and step that it names")


def _steps(record: CostRecord) -> Iterable[TrainingStep]:
    """Return the training steps that the record may be of."""
    memory = record.memory_training
    named = None if memory is None else memory.optimizer
    return [step for step in _STEPS if named is None or step.label == named]


def _compared_costs(
    told: CostRecord, placement: Placement, *, same_torch: bool
) -> tuple[Result, str]:
    settings = _cost_settings(told, placement)
    (made,) = profile_blocks(
        [told.block], [told.shown[0]], config=placement.scaffold, settings=settings
    )
    # How memory is used is decided by torch's operations, which change from version to version.
    names = (*_COUNTED, *(_MEMORY if same_torch else ()))
    different = [name for name in names if getattr(told, name) != getattr(made, name)]
    different += [
        f"stage_{form}" for form in ("train", "deploy") if _stage(told, form) != _stage(made, form)
    ]
    if different:
        return "differs", f"{', '.join(different)} should be exactly the same"
    macs = made.deploy.macs if made.deploy else 0
    return "equal", f"{macs:,} MACs{'' if same_torch else '; memory not compared'}"


def _stage(record: CostRecord, form: str) -> object:
    return getattr(record, f"stage_{form}")


def _compared_latency(told: LatencyRecord) -> tuple[Result, str]:
    settings = LatencySettings(way=told.way, processes=max(1, len(told.process_counts)))
    made = benchmark_blocks(
        [told.block],
        [told.shown[0]],
        config=_scaffold_of(told),
        settings=settings,
        baseline=told.baseline,
    )[-1]
    if made.status != "ok" or made.ratio_interval is None or told.ratio_interval is None:
        return "differs", f"it could not be timed here: {made.reason or 'no interval'}"
    (low, high), (lowest, highest) = told.ratio_interval, made.ratio_interval
    overlap = low <= highest and lowest <= high
    detail = f"ratio {low:.3f} to {high:.3f} told, {lowest:.3f} to {highest:.3f} here"
    return ("within" if overlap else "differs"), detail


def _network_of(record: TrainingRecord) -> tuple[object, ...]:
    """Return what trainings of other seeds have in common."""
    of_data = (record.protocol, record.dataset_fingerprint, record.device, record.compiled)
    return (record.block, record.block_fingerprint, record.positions, record.scaffold, *of_data)


def _same_platform(told: Environment, here: Environment) -> bool:
    """Tell whether equal trials are equal bits on both."""
    return told.threads == here.threads and all(
        getattr(told, name) == getattr(here, name) for name in PLATFORM
    )


def _percent(accuracy: float | None) -> str:
    return "none" if accuracy is None else f"{100 * accuracy:.2f}%"


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Have torch use that many threads, on which the order of sums depends."""
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(max(1, min(count, _MOST_THREADS)))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def platform_text(here: Environment) -> str:
    """Return a platform in one line."""
    known: Mapping[str, object] = {name: getattr(here, name) for name in PLATFORM}
    return ", ".join(f"{name} {value}" for name, value in known.items() if value is not None)
