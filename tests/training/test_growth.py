"""What a training costs grows with epochs and images in proportion; what it holds does not."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from blockzoo.data import ImageDataset
from blockzoo.results.records import EpochMetrics
from blockzoo.training.fit import fit
from tests.training.samples import TINY_RECIPE, tiny_dataset, tiny_net, training_settings

RECIPE = replace(TINY_RECIPE, ema_decay=0.9)


class Counting(nn.Module):
    """Counts the images that pass through, in training and in evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.trained, self.evaluated = tiny_net(), 0, 0

    def forward(self, images: Tensor) -> Tensor:
        """Map as the network does."""
        if self.training:
            self.trained += len(images)
        else:
            self.evaluated += len(images)
        logits: Tensor = self.net(images)
        return logits


def passed(dataset: ImageDataset, epochs: int) -> tuple[int, int]:
    # Without an average, whose network is a copy with counts of its own.
    net, recipe = Counting(), replace(TINY_RECIPE, epochs=epochs)
    fit(net, training_settings(dataset, recipe))
    return net.trained, net.evaluated


@pytest.fixture
def only_what_is_new() -> Iterator[None]:
    """Keep what other tests have left from being looked at, which takes seconds a time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def bytes_of_tensors() -> int:
    """Return the bytes of all tensors that Python knows of; those that share memory count twice."""
    gc.collect()
    # Not isinstance, which asks every object, and some warn when asked.
    tensors = [thing for thing in gc.get_objects() if issubclass(type(thing), Tensor)]
    return sum(each.untyped_storage().nbytes() for each in tensors)


@pytest.mark.parametrize(("per_class", "epochs"), [(10, 1), (10, 3), (40, 1), (40, 4)])
def test_each_image_passes_once_per_epoch_and_test_images_once(per_class: int, epochs: int) -> None:
    data = tiny_dataset(per_class=per_class)
    trained, evaluated = passed(data, epochs)
    assert (trained + evaluated - len(data.x_test)) == epochs * len(data.x_train)
    held_out = (evaluated - len(data.x_test)) // epochs
    assert held_out == pytest.approx(0.1 * len(data.x_train), abs=data.num_classes)


@pytest.mark.usefixtures("only_what_is_new")
def test_what_a_training_holds_does_not_grow_with_epochs() -> None:
    held: list[int] = []

    def weigh(metrics: EpochMetrics) -> None:
        held.append(bytes_of_tensors())

    settings = training_settings(tiny_dataset(per_class=15), replace(RECIPE, epochs=8))
    fit(tiny_net(), settings, on_epoch=weigh)
    assert len(held) == 8
    assert held[0] > 0
    assert held[1:] == [held[1]] * 7


@pytest.mark.usefixtures("only_what_is_new")
def test_a_leak_would_be_seen() -> None:
    leaked: list[Tensor] = []
    held: list[int] = []

    def leak(metrics: EpochMetrics) -> None:
        leaked.append(torch.zeros(1000))
        held.append(bytes_of_tensors())

    settings = training_settings(tiny_dataset(per_class=15), replace(RECIPE, epochs=3))
    fit(tiny_net(), settings, on_epoch=leak)
    assert held[2] - held[1] >= 4000
