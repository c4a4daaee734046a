"""One trial of a tuning: what may be varied, on which data, and what a point of it comes to."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from blockzoo.data import ImageDataset
from blockzoo.experiments.protocol import Protocol
from blockzoo.experiments.train import to_all, train_placement
from blockzoo.experiments.trial_identity import training_trial_id
from blockzoo.experiments.tuning.search import sobol_points
from blockzoo.experiments.tuning.tries import Point, Report, Space
from blockzoo.results.records import EpochMetrics
from blockzoo.scaffold.placement import Placement
from blockzoo.training.run_options import RunOptions
from blockzoo.training.settings import TrainingSettings

TUNING_SEED = 10_000
"""Above all that a protocol or a command may choose: what was searched with it is not reported."""
LEARNING_RATE_FACTOR = 10.0
WEIGHT_DECAY_RANGE = (1e-4, 1e-1)
DROP_PATH_RANGE = (0.0, 0.3)


def search_space(protocol: Protocol) -> Space:
    """Return the lowest and the highest value of what is tuned; no block has a space of its own.

    The learning rate goes from a tenth of the recipe's to ten times it; weight decay from next to
    none to twice what networks of this kind are trained with at the most (0.05); drop path from
    none to what larger networks, which need more of it, are trained with.

    >>> from blockzoo.experiments.protocol import get_protocol
    >>> search_space(get_protocol("v1"))["weight_decay"]
    (0.0001, 0.1)
    """
    rate = protocol.recipe.learning_rate
    return {
        "learning_rate": (rate / LEARNING_RATE_FACTOR, rate * LEARNING_RATE_FACTOR),
        "weight_decay": WEIGHT_DECAY_RANGE,
        "drop_path": DROP_PATH_RANGE,
    }


def recipe_point(protocol: Protocol) -> Point:
    """Return the recipe's own values of what is tuned, the first point of every search.

    >>> from blockzoo.experiments.protocol import get_protocol
    >>> recipe_point(get_protocol("v1"))
    {'learning_rate': 0.002, 'weight_decay': 0.05, 'drop_path': 0.0}
    """
    return {name: getattr(protocol.recipe, name) for name in search_space(protocol)}


def without_test(dataset: ImageDataset) -> ImageDataset:
    """Return the data set with the first training image of each class in the place of its test.

    Whatever is trained on it cannot have seen a test image, nor does its fingerprint tell of any.

    >>> from blockzoo.data import load_dataset
    >>> without_test(load_dataset("digits")).y_test.tolist()
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """
    _, first = np.unique(dataset.y_train.numpy(), return_index=True)
    stand_in = torch.from_numpy(first)
    return replace(dataset, x_test=dataset.x_train[stand_in], y_test=dataset.y_train[stand_in])


@dataclass(frozen=True, kw_only=True)
class TunedNetwork:
    """What is tuned: a placement, on data without a test, under a protocol."""

    placement: Placement
    protocol: Protocol
    blind: ImageDataset
    device: str
    compiled: bool

    def settings(self, point: Point) -> TrainingSettings:
        """Return how a trial of that point is trained."""
        settings = tuned_to(self.protocol, point).training_settings(
            self.blind, seed=TUNING_SEED, device=self.device, compiled=self.compiled
        )
        return replace(settings, protocol=TrainingSettings.protocol)

    def merit(
        self,
        point: Point,
        report: Report,
        options: RunOptions,
        on_epoch: Callable[[EpochMetrics], None] | None,
    ) -> tuple[float, float]:
        """Train a trial of that point; return its validation accuracy, then -loss to break ties.

        `report` is called with every epoch's validation accuracy, those of a checkpoint too.
        """

        def count(metrics: EpochMetrics) -> None:
            report(metrics.epoch, metrics.val_accuracy)

        def count_all(history: Sequence[EpochMetrics]) -> None:
            for metrics in history:
                count(metrics)

        record = train_placement(
            self.placement,
            self.settings(point),
            options,
            on_start=count_all,
            on_epoch=to_all(on_epoch, count),
        )
        assert record.val_accuracy is not None
        assert record.val_loss is not None
        return record.val_accuracy, -record.val_loss

    def trial_id(self, point: Point) -> str:
        """Return the identity of that training."""
        return training_trial_id(self.placement, self.settings(point))

    @property
    def search_name(self) -> str:
        """The name that only a search with the same trainings at the same points has."""
        # Trials bear no protocol's label; a search is of one, so its name tells which.
        settings = replace(self.settings({}), protocol=self.protocol.label)
        untuned = training_trial_id(self.placement, settings)
        space = search_space(self.protocol)
        (first,) = sobol_points(space, 1)  # another sequence is another search
        start = recipe_point(self.protocol)
        text = repr((untuned, *(sorted(each.items()) for each in (space, start, first))))
        name = self.placement.spec.identity_name
        return f"{name} {hashlib.sha256(text.encode()).hexdigest()[:16]}"


def tuned_to(protocol: Protocol, point: Point) -> Protocol:
    """Return the protocol with what is tuned of its recipe as it is at that point.

    >>> from blockzoo.experiments.protocol import get_protocol
    >>> tuned_to(get_protocol("v1"), {"weight_decay": 0.01}).recipe.weight_decay
    0.01
    """
    values: dict[str, Any] = dict(point)
    return replace(protocol, recipe=replace(protocol.recipe, **values))
