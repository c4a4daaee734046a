"""The images of one training on its device, split by what they are for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from blockzoo.data.batches import Batches, DeviceImages, batch_sizes, channel_statistics
from blockzoo.data.residence import Residence, resolve_residence
from blockzoo.data.split import split_train_validation
from blockzoo.training.arithmetic import Arithmetic
from blockzoo.training.recipe import Recipe
from blockzoo.training.settings import TrainingSettings

EVALUATION_BATCH_SIZE = 256


@dataclass(frozen=True, kw_only=True, eq=False)
class SplitData:
    """Training, validation and test images on the device; the test images only when asked for."""

    images: DeviceImages
    val_images: DeviceImages
    test_images: Callable[[], DeviceImages]
    recipe: Recipe
    flip: bool
    seed: int

    @property
    def steps(self) -> int:
        """How many batches an epoch has."""
        return len(batch_sizes(len(self.images), self.recipe.batch_size))

    def train(self, epoch: int) -> Batches:
        """Return the batches of an epoch, augmented, in an order that seed and epoch determine."""
        # Only when asked for, so that data without cutout are still data.
        cutout = {"cutout": self.recipe.cutout} if self.recipe.cutout else {}
        return self.images.epoch(
            epoch,
            seed=self.seed,
            batch_size=self.recipe.batch_size,
            crop_padding=self.recipe.crop_padding,
            flip=self.flip,
            **cutout,
        )

    def val(self) -> Batches:
        """Return the validation images as they are."""
        return self.val_images.in_order(EVALUATION_BATCH_SIZE)

    def test(self) -> Batches:
        """Return the test images as they are."""
        return self.test_images().in_order(EVALUATION_BATCH_SIZE)


def split_data(
    settings: TrainingSettings,
    device: torch.device,
    arithmetic: Arithmetic,
    resident: Residence,
) -> SplitData:
    """Return the data on the device.

    Images are normalised by the statistics of those trained on, without the validation images.

    >>> from blockzoo.data import load_dataset
    >>> from blockzoo.training.recipe import get_recipe
    >>> settings = TrainingSettings(
    ...     dataset=load_dataset("digits"), recipe=get_recipe("quick"), seed=0, device="cpu"
    ... )
    >>> fp32 = Arithmetic(precision="fp32", channels_last=False)
    >>> data = split_data(settings, torch.device("cpu"), fp32, "auto")
    >>> images, labels = next(iter(data.train(epoch=0)))
    >>> tuple(images.shape), tuple(labels.shape)
    ((32, 3, 32, 32), (32,))
    """
    dataset, recipe = settings.dataset, settings.recipe
    train, val = split_train_validation(
        dataset.y_train, fraction=settings.validation_fraction, seed=settings.split_seed
    )
    statistics = channel_statistics(dataset.x_train, train)
    resident = resolve_residence(resident, dataset.images_bytes, device)

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

    return SplitData(
        images=place(dataset.x_train, dataset.y_train, train),
        val_images=place(dataset.x_train, dataset.y_train, val),
        # Only when the training has ended, so that they take no memory of it.
        test_images=lambda: place(dataset.x_test, dataset.y_test),
        recipe=recipe,
        flip=recipe.flip,
        seed=settings.seed,
    )
