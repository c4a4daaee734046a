"""A tiny data set, a tiny network and a tiny recipe for the tests of data and training."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from blockzoo.data import ImageDataset
from blockzoo.training.recipe import Recipe
from blockzoo.training.settings import TrainingSettings


def tiny_dataset(*, classes: int = 2, per_class: int = 10, test: int = 4) -> ImageDataset:
    """Images 3x8x8 whose brightness tells the class: dark for 0, brighter for each next."""

    def images(labels: Tensor) -> Tensor:
        noise = torch.randint(0, 40, (len(labels), 3, 8, 8), generator=generator)
        return (labels[:, None, None, None] * (200 // (classes - 1)) + noise).to(torch.uint8)

    generator = torch.Generator().manual_seed(0)
    y_train = torch.arange(classes * per_class) % classes
    y_test = torch.arange(classes * test) % classes
    return ImageDataset(
        name="tiny",
        x_train=images(y_train),
        y_train=y_train,
        x_test=images(y_test),
        y_test=y_test,
        classes=tuple(f"class {index}" for index in range(classes)),
        flip=True,
    )


def tiny_net(classes: int = 2, *, dropout: float = 0.2) -> nn.Sequential:
    """A network whose weights are the same each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(16, classes),
        )


TINY_RECIPE = Recipe(
    name="tiny",
    epochs=2,
    batch_size=8,
    learning_rate=0.01,
    crop_padding=1,
    precision="fp32",
    channels_last=False,
)


def training_settings(
    dataset: ImageDataset, recipe: Recipe = TINY_RECIPE, **changes: Any
) -> TrainingSettings:
    """Settings of a training of seed 0 on the CPU; `changes` are fields by name."""
    fields = {"seed": 0, "device": "cpu", **changes}
    return TrainingSettings(dataset=dataset, recipe=recipe, **fields)
