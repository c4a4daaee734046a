"""The verb `train`: put a block into the scaffold, train it, return a `TrainingRecord`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from blockzoo.blocks import BlockLike
from blockzoo.core.files import replacing
from blockzoo.core.position import Position
from blockzoo.data import ImageDataset
from blockzoo.experiments.recording import common_fields, recorded_environment, training_fields
from blockzoo.experiments.trial_identity import scaffold_settings, training_trial_id
from blockzoo.measure.machine.devices import resolve_device
from blockzoo.results.records import EpochMetrics, RobustnessMetrics, TrainingRecord
from blockzoo.scaffold.net import ScaffoldConfig
from blockzoo.scaffold.placement import Placement
from blockzoo.training.checkpoint import checkpoint_path
from blockzoo.training.fit import FitResult, fit
from blockzoo.training.log import TrainingLog
from blockzoo.training.loggers import Run
from blockzoo.training.recipe import Recipe
from blockzoo.training.robustness import evaluate_robustness
from blockzoo.training.run_options import RunOptions
from blockzoo.training.settings import TrainingSettings

Event = TypeVar("Event")
OnStart = Callable[[Sequence[EpochMetrics]], None]
OnEpoch = Callable[[EpochMetrics], None]


def train_block(
    block: BlockLike,
    position: Position | str,
    *,
    dataset: ImageDataset,
    recipe: Recipe,
    seed: int,
    config: ScaffoldConfig | None = None,
    device: str = "auto",
    options: RunOptions | None = None,
) -> TrainingRecord:
    """Train `block` at `position` once and return what it learned.

    Args:
        block: A name, path, class or spec, see `get_block`.
        position: Which stage holds it: "early", "mid" or "late".
        dataset: The images; the test set is read once, at the end.
        recipe: How the network is trained.
        seed: Determines the initial weights, the data order, the augmentation and the network's own
            randomness; for one seed all but the block's weights are the same whatever the block.
        config: The scaffold around it, whose classes and input shape are replaced by the data
            set's.
        device: "auto", "cpu", "cuda" or "cuda:N".
        options: What changes no number: checkpoints, loggers, memory, labels.

    Returns:
        The record; accuracies are fractions of 1.

    Raises:
        UnknownNameError: For a block or position that is not known.
        InputError: For a seed that no generator takes.
        BlockError: When the block cannot be built, or raises in the training.
        DivergenceError: When the loss is no longer finite.
        DeviceError: For a device that is not there.
        DeviceMemoryError: When not even small parts of a batch fit into memory.

    Example:
        >>> from blockzoo.data import load_dataset
        >>> from blockzoo.training.recipe import get_recipe
        >>> recipe, small = get_recipe("quick").lasting(1), ScaffoldConfig(width=4, depth=1)
        >>> digits = load_dataset("digits")
        >>> record = train_block(
        ...     "Identity", "mid", dataset=digits, recipe=recipe, seed=0, config=small
        ... )
        >>> record.dataset, record.seed, len(record.epochs)
        ('digits', 0, 1)
    """
    placement = Placement.of(block, position, scaffold_for(config or ScaffoldConfig(), dataset))
    settings = TrainingSettings(dataset=dataset, recipe=recipe, seed=seed, device=device)
    return train_placement(placement, settings, options)


def train_placement(
    placement: Placement,
    settings: TrainingSettings,
    options: RunOptions | None = None,
    *,
    on_start: OnStart | None = None,
    on_epoch: OnEpoch | None = None,
) -> TrainingRecord:
    """Train the placement's network once and return the record; see `train_block`.

    `on_start` is called with the epochs that a checkpoint had, `on_epoch` after each that is
    trained. `remove_checkpoint` removes the checkpoint once the record is safe. Where the network
    cannot be compiled though it was asked for, or batches were computed in parts, the record's
    notes say so. Uses torch's current number of threads. Raises what `ScaffoldNet` and
    `training.fit.fit` raise, and `DeviceError`.
    """
    options = options or RunOptions()
    identity = training_trial_id(placement, settings)
    device = resolve_device(settings.device)
    net = placement.build(seed=settings.seed)
    with TrainingLog(options.log_to, _run(placement, settings, identity)) as log:
        result = fit(
            net,
            settings,
            options,
            subject=f"block {placement.label}",
            checkpoint=checkpoint_path(options.checkpoints, identity),
            on_start=to_all(log.start, on_start),
            on_epoch=to_all(log.epoch, on_epoch),
        )
        # Told only here: a training that raises is closed as failed and has no figures of a test.
        log.end(result)
    folder = options.save_weights
    weights = None if folder is None else _save_weights(net, folder, identity)
    return TrainingRecord(
        trial_id=identity,
        experiment_name=options.experiment_name,
        notes=_remarks(options.notes, settings.recipe.batch_size, result),
        weights_path=weights,
        robustness=_robustness(net, settings) if options.robustness else None,
        **common_fields(placement, recorded_environment(device)),
        **training_fields(settings),
        **_learned(result),
    )


def scaffold_for(scaffold: ScaffoldConfig, dataset: ImageDataset) -> ScaffoldConfig:
    """Return the scaffold with as many classes and the input shape that the data set has.

    >>> from blockzoo.data import load_dataset
    >>> scaffold = scaffold_for(ScaffoldConfig(classes=2), load_dataset("digits"))
    >>> scaffold.classes, scaffold.input_shape
    (10, (3, 32, 32))
    """
    return replace(scaffold, classes=dataset.num_classes, input_shape=dataset.image_shape)


def to_all(*listeners: Callable[[Event], None] | None) -> Callable[[Event], None]:
    """Return a function that calls all the listeners there are, one after the other.

    >>> heard: list[int] = []
    >>> to_all(heard.append, None, heard.append)(3)
    >>> heard
    [3, 3]
    """

    def call(event: Event) -> None:
        for listener in listeners:
            if listener is not None:
                listener(event)

    return call


def _run(placement: Placement, settings: TrainingSettings, identity: str) -> Run:
    """Return the training as loggers know it."""
    return Run(
        block=placement.spec.name,
        position=str(placement.position),
        dataset=settings.dataset.name,
        seed=settings.seed,
        trial_id=identity,
        settings={
            "protocol": settings.protocol,
            "recipe": asdict(settings.recipe),
            "scaffold": scaffold_settings(placement.scaffold).model_dump(),
        },
    )


def _learned(result: FitResult) -> dict[str, Any]:
    """Return what a record keeps of the result: every field that both have."""
    shared = {field.name for field in fields(FitResult)} & set(TrainingRecord.model_fields)
    return {name: getattr(result, name) for name in shared}


def _robustness(net: nn.Module, settings: TrainingSettings) -> RobustnessMetrics:
    return evaluate_robustness(
        net,
        settings.dataset,
        device=resolve_device(settings.device),
        seed=settings.seed,
        validation_fraction=settings.validation_fraction,
        split_seed=settings.split_seed,
    )


def _save_weights(net: nn.Module, folder: Path, trial: str) -> str:
    """Write the weights, on the CPU, and return the file's path."""
    path = folder / f"{trial}.pt"
    with replacing(path) as scratch:
        # From the CPU, so that they load where there is no GPU.
        torch.save({name: value.cpu() for name, value in net.state_dict().items()}, scratch)
    return str(path)


def _remarks(notes: str, batch_size: int, result: FitResult) -> str:
    """Return the notes, and what else was done: parts of batches, no compiled code, graphs."""
    remarks = [notes] if notes else []
    if result.micro_batch_size is not None:
        remarks.append(
            f"for lack of memory, batches of {batch_size} were computed in parts of "
            f"{result.micro_batch_size}; batch statistics are of the parts"
        )
    if result.not_compiled:
        remarks.append(f"not compiled: {result.not_compiled}")
    if result.in_graphs:
        remarks.append("training steps were replayed as CUDA graphs")
    return "; ".join(remarks)
