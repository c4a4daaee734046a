"""The train verb: put a block into the scaffold, train it, return a `TrainingRecord`.

`python -m blockzoo.train BLOCK --position P ...` is the early version's entry to the command line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import torch
from torch import nn

from blockzoo.blocks import BlockSpec, get_block
from blockzoo.core.files import replacing
from blockzoo.core.position import Position
from blockzoo.core.seeding import checked_seed
from blockzoo.data import ImageDataset
from blockzoo.data.residence import Residence
from blockzoo.data.split import SPLIT_SEED, VALIDATION_FRACTION
from blockzoo.measure.machine.devices import resolve_device
from blockzoo.measure.machine.environment import describe_environment
from blockzoo.results.records import Environment, EpochMetrics, TrainingRecord, trial_id
from blockzoo.scaffold.net import ScaffoldConfig, ScaffoldNet
from blockzoo.scaffold.placement import (
    fingerprints,
    network_without_data,
    recorded_fingerprint,
    same_positions,
    scaffold_identity,
    scaffold_settings,
)
from blockzoo.training.arithmetic import resolve_arithmetic
from blockzoo.training.log import TrainingLog
from blockzoo.training.loggers import LogTo, Run
from blockzoo.training.recipe import Recipe

if TYPE_CHECKING:
    from blockzoo.training.fit import FitResult

from blockzoo.training.checkpoint import checkpoint_path

Told = TypeVar("Told")


def train_block(
    block: str | BlockSpec,
    position: Position | str,
    *,
    config: ScaffoldConfig | None = None,
    dataset: ImageDataset,
    recipe: Recipe,
    seed: int,
    validation_fraction: float = VALIDATION_FRACTION,
    split_seed: int = SPLIT_SEED,
    device: str = "auto",
    resident: Residence = "auto",
    protocol: str = "custom",
    progress: bool = True,
    on_start: Callable[[Sequence[EpochMetrics]], None] | None = None,
    on_epoch: Callable[[EpochMetrics], None] | None = None,
    checkpoints: Path | None = None,
    resume: bool = True,
    on_oom: Literal["split", "fail"] = "split",
    save_weights: Path | None = None,
    log_to: LogTo | None = None,
    experiment_name: str = "",
    notes: str = "",
    robustness: bool = False,
    compiled: bool = False,
) -> TrainingRecord:
    """Train `block` at `position` once and return what it learned.

    Classes and input shape of `config` are replaced by those of `dataset`. `seed` determines the
    initial weights, the data order, the augmentation and the network's own randomness; for one
    seed all but the block's weights are the same whatever the block. `device` is "auto", "cpu",
    "cuda" or "cuda:N"; `resident` says whether the images lie on it. `progress` shows a bar;
    `on_start` is called with the epochs that a checkpoint had, `on_epoch` after each that is
    trained. With `robustness` the final weights are also evaluated on changed test images. Neither
    `resident` nor that is part of the trial's identity. Uses torch's current number of threads.

    After each epoch all state goes into a file in the folder `checkpoints`, from which a training
    that was stopped goes on (unless `resume` is False); `remove_checkpoint` removes it once the
    record is safe. `on_oom` "split" computes batches that do not fit into memory in parts and says
    so in the record's notes. The final weights go into the folder `save_weights`. `log_to` says
    which loggers are told of epochs and final figures; it is no part of the identity either.
    `compiled` has the training step compiled, once for all seeds of a network in this process;
    where that is not possible the record's notes say why.

    Raises what `ScaffoldNet` and `training.fit.fit` raise, and
    `DeviceError`.
    """
    from blockzoo.training.fit import fit  # Lightning takes seconds to import
    from blockzoo.training.robustness import evaluate_robustness

    spec, position = _spec(block), Position.parse(str(position))
    config, seed = _for_dataset(config, dataset), checked_seed(seed)
    split: dict[str, Any] = {"validation_fraction": validation_fraction, "split_seed": split_seed}
    identity = training_trial_id(
        spec,
        position,
        config=config,
        dataset=dataset,
        recipe=recipe,
        seed=seed,
        device=device,
        protocol=protocol,
        compiled=compiled,
        **split,
    )
    where = resolve_device(device)
    net = ScaffoldNet(spec, position, config, seed=seed)
    run = Run(
        block=spec.name,
        position=str(position),
        dataset=dataset.name,
        seed=seed,
        trial_id=identity,
        settings=_shown(protocol, recipe, config),
    )
    with TrainingLog(log_to, run) as log:
        result = fit(
            net,
            dataset,
            recipe,
            seed=seed,
            device=where,
            progress=progress,
            subject=f"block {spec.name} ({position})",
            on_start=each(log.start, on_start),
            on_epoch=each(log.epoch, on_epoch),
            checkpoint=None if checkpoints is None else checkpoint_path(checkpoints, identity),
            resume=resume,
            on_oom=on_oom,
            resident=resident,
            compiled=compiled,
            **split,
        )
        log.end(result)
    weights = None if save_weights is None else _save_weights(net, save_weights, identity)
    stood = None
    if robustness:
        stood = evaluate_robustness(net, dataset, device=where, seed=seed, **split)
    return TrainingRecord(
        trial_id=identity,
        block=spec.name,
        block_fingerprint=recorded_fingerprint(spec, position, config),
        positions=same_positions(spec, position, config),
        scaffold=scaffold_settings(config),
        environment=Environment.model_validate(describe_environment(where)),
        experiment_name=experiment_name,
        notes=_with_remarks(notes, recipe.batch_size, result),
        weights_path=weights,
        protocol=protocol,
        dataset=dataset.name,
        dataset_fingerprint=dataset.fingerprint,
        recipe=asdict(recipe),
        seed=seed,
        device=where.type,
        robustness=stood,
        **{name: getattr(result, name) for name in _RESULT_FIELDS},
    )


_RESULT_FIELDS = (
    "precision",
    "channels_last",
    "compiled",
    "best_epoch",
    "val_loss",
    "val_accuracy",
    "test_loss",
    "test_accuracy",
    "test_top5_accuracy",
    "test_calibration_error",
    "test_class_accuracy",
    "peak_memory_bytes",
    "micro_batch_size",
    "training_seconds",
    "images_per_s",
    "epochs",
)


def training_trial_id(
    block: str | BlockSpec,
    position: Position | str,
    *,
    config: ScaffoldConfig | None = None,
    dataset: ImageDataset,
    recipe: Recipe,
    seed: int,
    validation_fraction: float = VALIDATION_FRACTION,
    split_seed: int = SPLIT_SEED,
    device: str = "auto",
    protocol: str = "custom",
    compiled: bool = False,
) -> str:
    """Return the identity of the record that `train_block` would return, without training.

    It is the same for positions at which the network is the same. "auto" precision and layout
    count as what they come to on `device`. A block that cannot be built has one too, for the record
    that says why.
    """
    spec, config = _spec(block), _for_dataset(config, dataset)
    where = resolve_device(device)
    place = Position.parse(str(position))
    arithmetic = resolve_arithmetic(recipe, where, network_without_data(spec, place, config))
    resolved = replace(recipe, **asdict(arithmetic))
    # Only where it is so, so that trials from before there was the choice keep their ids.
    compilation = {"compiled": True} if compiled else {}
    return trial_id(
        "training",
        **compilation,
        block=spec.name,
        network=fingerprints(spec, place, config).network,
        initialisation=(spec.initialisation, get_block(config.context).initialisation),
        scaffold=scaffold_identity(config),
        protocol=protocol,
        recipe={k: value for k, value in resolved.determinants().items() if k != "name"},
        dataset=(dataset.name, dataset.fingerprint),
        split=(validation_fraction, split_seed),
        seed=checked_seed(seed),
        device=where.type,
    )


def _save_weights(net: nn.Module, folder: Path, trial: str) -> str:
    """Write the weights, on the CPU, and return the file's path."""
    path = folder / f"{trial}.pt"
    with replacing(path) as scratch:
        torch.save({name: value.cpu() for name, value in net.state_dict().items()}, scratch)
    return str(path)


def _with_remarks(notes: str, batch_size: int, result: FitResult) -> str:
    """Return the notes, and what was not as asked for: batches in parts, no compiled code."""
    said = [notes] if notes else []
    if result.micro_batch_size is not None:
        said.append(
            f"for lack of memory, batches of {batch_size} were computed in parts of "
            f"{result.micro_batch_size}; batch statistics are of the parts"
        )
    if result.not_compiled:
        said.append(f"not compiled: {result.not_compiled}")
    return "; ".join(said)


def _shown(protocol: str, recipe: Recipe, config: ScaffoldConfig) -> dict[str, Any]:
    """Return what loggers show of how it was trained."""
    scaffold = scaffold_settings(config).model_dump()
    return {"protocol": protocol, "recipe": asdict(recipe), "scaffold": scaffold}


def each(*told: Callable[[Told], None] | None) -> Callable[[Told], None]:
    """Return a function that calls all of `told`, those that are there, one after the other."""

    def tell(value: Told) -> None:
        for one in told:
            if one is not None:
                one(value)

    return tell


def _spec(block: str | BlockSpec) -> BlockSpec:
    return block if isinstance(block, BlockSpec) else get_block(block)


def _for_dataset(config: ScaffoldConfig | None, dataset: ImageDataset) -> ScaffoldConfig:
    return replace(
        config or ScaffoldConfig(), classes=dataset.num_classes, input_shape=dataset.image_shape
    )


if __name__ == "__main__":
    from blockzoo.cli import train_main

    train_main()
