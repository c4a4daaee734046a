"""`fit`: train one network on one data set by one recipe, and read the test set once."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor, nn

from blockzoo.data.batches import DeviceImages, batch_sizes, channel_statistics
from blockzoo.data.image_dataset import ImageDataset
from blockzoo.data.residence import Residence, resolve_residence
from blockzoo.data.split import SPLIT_SEED, VALIDATION_FRACTION, split_train_validation
from blockzoo.results.records import EpochMetrics
from blockzoo.training.module import Classifier, SplitData
from blockzoo.training.precision import Arithmetic, resolve_arithmetic
from blockzoo.training.quiet import interruptible, quiet_lightning
from blockzoo.training.recipe import Recipe

OnEpoch = Callable[[EpochMetrics], None]


@dataclass(frozen=True, kw_only=True)
class FitResult:
    """What a training gave. Epochs count from 1; losses are mean cross-entropy in nats.

    `best_epoch` was chosen on validation; `val_*` are of that epoch, `test_*` of its weights.
    `training_seconds`: all epochs with their validation, without set-up and test.
    `images_per_s`: training images over the seconds of training alone.
    """

    best_epoch: int
    val_loss: float
    val_accuracy: float
    test_loss: float
    test_accuracy: float
    training_seconds: float
    images_per_s: float
    epochs: tuple[EpochMetrics, ...]
    precision: Literal["fp32", "bf16"]
    channels_last: bool


def fit(
    net: nn.Module,
    dataset: ImageDataset,
    recipe: Recipe,
    *,
    seed: int,
    device: torch.device | str = "cpu",
    progress: bool = True,
    validation_fraction: float = VALIDATION_FRACTION,
    split_seed: int = SPLIT_SEED,
    subject: str = "the network",
    on_epoch: OnEpoch | None = None,
    resident: Residence = "auto",
) -> FitResult:
    """Train `net`, images (N, 3, H, W) to logits (N, classes), in place.

    Afterwards `net` is on `device` and holds the weights of the best epoch: the one of the highest
    validation accuracy, then of the lowest validation loss, then the first. Everything random
    follows from `seed`: data order and augmentation by generators of their own, dropout and the
    like by torch's, which is seeded here and given back as it was. Twice the same call on a CPU
    gives the same numbers, bit for bit. `subject` names the network in messages. `resident` says
    whether the images lie on `device`, which changes no number.

    Raises `DivergenceError` when a loss is not finite, `BlockError` when the network raises or its
    first output is not finite. `KeyboardInterrupt` passes through.
    """
    device = torch.device(device)
    arithmetic = resolve_arithmetic(recipe, device, net)
    resident = resolve_residence(resident, dataset.images_bytes, device)
    data, steps = _data(
        dataset, recipe, device, arithmetic, seed, (validation_fraction, split_seed), resident
    )
    net.to(device).to(memory_format=_layout(arithmetic))
    module = Classifier(net, recipe, steps, subject=subject, on_epoch=on_epoch)
    with ExitStack() as stack:
        for context in (quiet_lightning(), interruptible(), _seeded(seed), _deterministic()):
            stack.enter_context(context)
        trainer = _trainer(recipe, device, arithmetic, progress)
        trainer.fit(module, datamodule=data)
        best = module.restore_best()
        trainer.test(module, datamodule=data, verbose=False)
    net.to(device)
    return _result(module, best, arithmetic)


def _data(
    dataset: ImageDataset,
    recipe: Recipe,
    device: torch.device,
    arithmetic: Arithmetic,
    seed: int,
    split: tuple[float, int],
    resident: bool,
) -> tuple[SplitData, int]:
    """Return the data on the device and the steps per epoch.

    Images are normalised by the statistics of those trained on, without the validation images.
    """
    fraction, split_seed = split
    train, val = split_train_validation(dataset.y_train, fraction=fraction, seed=split_seed)
    statistics = channel_statistics(dataset.x_train, train)

    def place(images: Tensor, labels: Tensor, rows: Tensor | None = None) -> DeviceImages:
        return DeviceImages(
            images,
            labels,
            statistics,
            device=device,
            channels_last=arithmetic.channels_last,
            rows=rows,
            resident=resident,
        )

    data = SplitData(
        train=place(dataset.x_train, dataset.y_train, train),
        val=place(dataset.x_train, dataset.y_train, val),
        test=lambda: place(dataset.x_test, dataset.y_test),
        recipe=recipe,
        flip=recipe.flip and dataset.flip,
        seed=seed,
    )
    return data, len(batch_sizes(len(train), recipe.batch_size))


def _layout(arithmetic: Arithmetic) -> torch.memory_format:
    return torch.channels_last if arithmetic.channels_last else torch.contiguous_format


def _trainer(
    recipe: Recipe, device: torch.device, arithmetic: Arithmetic, progress: bool
) -> Trainer:
    """Return a Trainer that writes no file and keeps to one device."""
    return Trainer(
        accelerator=device.type,
        devices=[device.index or 0] if device.type == "cuda" else 1,
        precision="bf16-mixed" if arithmetic.precision == "bf16" else "32-true",
        max_epochs=recipe.epochs,
        reload_dataloaders_every_n_epochs=1,
        callbacks=[RichProgressBar(leave=False)] if progress else [],
        enable_progress_bar=progress,
        enable_model_summary=False,
        enable_checkpointing=False,
        logger=False,
        num_sanity_val_steps=0,
        # One process is meant, even where a cluster's variables are set.
        plugins=[LightningEnvironment()],
    )


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the global generators and give them back as they were."""
    with isolate_rng():
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        yield


@contextmanager
def _deterministic() -> Iterator[None]:
    """Have cuDNN choose the same algorithms each time, and compute fp32 as fp32."""
    with torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    ):
        yield


def _result(module: Classifier, best: EpochMetrics, arithmetic: Arithmetic) -> FitResult:
    return FitResult(
        best_epoch=best.epoch,
        val_loss=best.val_loss,
        val_accuracy=best.val_accuracy,
        test_loss=module.test.loss,
        test_accuracy=module.test.accuracy,
        training_seconds=sum(epoch.seconds for epoch in module.history),
        images_per_s=module.images_trained / module.train_seconds,
        epochs=tuple(module.history),
        precision=arithmetic.precision,
        channels_last=arithmetic.channels_last,
    )
