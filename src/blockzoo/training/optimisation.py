"""From a recipe to torch's optimizer and schedule."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from blockzoo.training.recipe import Recipe

PLATEAU_FACTOR = 0.1
PLATEAU_PATIENCE_EPOCHS = 5


def build_optimizer(net: nn.Module, recipe: Recipe) -> Optimizer:
    """Return the optimizer over the weights of `net` that learn.

    >>> from blockzoo.training.recipe import get_recipe
    >>> optimizer = build_optimizer(nn.Linear(4, 2), get_recipe("v1"))
    >>> [group["weight_decay"] for group in optimizer.param_groups]
    [0.05, 0.0]
    """
    learning = [p for p in net.parameters() if p.requires_grad]
    # Biases and the scales of norms are not decayed: they do not make a network more complex.
    groups: list[dict[str, Any]] = [
        {"params": [p for p in learning if p.ndim >= 2], "weight_decay": recipe.weight_decay},
        {"params": [p for p in learning if p.ndim < 2], "weight_decay": 0.0},
    ]
    rate = recipe.learning_rate
    if recipe.optimizer == "sgd":
        # Torch refuses Nesterov's without momentum.
        nesterov = recipe.momentum > 0
        return torch.optim.SGD(
            groups, lr=rate, momentum=recipe.momentum, nesterov=nesterov, fused=True
        )
    if recipe.optimizer == "adam":
        return torch.optim.Adam(groups, lr=rate, fused=True)
    return torch.optim.AdamW(groups, lr=rate, fused=True)


def rate_factor(recipe: Recipe, steps_per_epoch: int) -> Callable[[int], float]:
    """Return the function from a step, counted from 0, to its share of the peak rate.

    Linear warm-up that ends at 1, then for "cosine" half a cosine wave that would reach 0 right
    after the last step, else 1.

    >>> from blockzoo.training.recipe import get_recipe
    >>> factor = rate_factor(get_recipe("v1").lasting(10), steps_per_epoch=4)  # one epoch warms up
    >>> factor(0), factor(3), factor(22)
    (0.25, 1.0, 0.5)
    """
    total = recipe.epochs * steps_per_epoch
    warmup = min(round(recipe.warmup_epochs * steps_per_epoch), total)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        if recipe.schedule != "cosine":
            return 1.0
        done = min(1.0, (step - warmup) / max(1, total - warmup))
        return 0.5 * (1 + math.cos(math.pi * done))

    return factor


def build_scheduler(
    optimizer: Optimizer, recipe: Recipe, steps_per_epoch: int
) -> LambdaLR | ReduceLROnPlateau:
    """Return the schedule: a `LambdaLR` to step after each batch, or a plateau's, each epoch."""
    if recipe.schedule == "plateau":
        return ReduceLROnPlateau(optimizer, factor=PLATEAU_FACTOR, patience=PLATEAU_PATIENCE_EPOCHS)
    return LambdaLR(optimizer, rate_factor(recipe, steps_per_epoch))


class WeightAverage:
    """A copy of `net` whose weights and batch statistics trail behind those of `net`.

    After step t the average keeps min(decay, (1 + t) / (10 + t)) of itself, so that the random
    start is forgotten fast. Integer buffers are copied. The average is `net`, to be evaluated.
    """

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.net, self.decay, self.steps = copy.deepcopy(net), decay, 0
        self.net.requires_grad_(False)
        ours, theirs = self.net.state_dict(), net.state_dict()
        pairs = [(ours[name], theirs[name]) for name in ours]
        self._float = [pair for pair in pairs if pair[0].is_floating_point()]
        self._other = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights as they are after a step."""
        self.steps += 1
        # The ramp of TensorFlow's ExponentialMovingAverage.
        kept = min(self.decay, (1 + self.steps) / (10 + self.steps))
        averages: list[Tensor] = [pair[0] for pair in self._float]
        torch._foreach_lerp_(averages, [pair[1] for pair in self._float], 1 - kept)
        if self._other:
            counts: list[Tensor] = [pair[0] for pair in self._other]
            torch._foreach_copy_(counts, [pair[1] for pair in self._other])
