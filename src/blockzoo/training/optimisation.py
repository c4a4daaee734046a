"""From a recipe to torch's optimizer and schedule."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from blockzoo.core.networks import copied, named_parts
from blockzoo.measure.costs.memory import TrainingStep, can_be_fused
from blockzoo.training.recipe import Recipe

_LAYERS = (_ConvNd, nn.Linear, nn.Bilinear)
_NEVER_DECAYED = (
    *(_NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm, nn.PReLU),
    *(nn.Embedding, nn.EmbeddingBag),
)
_NAMES_OF_KERNELS = frozenset({"weight", "weights", "kernel", "kernels", "filter", "filters"})
_NAMES_OF_TABLES = frozenset(
    {
        *("bias", "biases", "scale", "scales", "gain", "gains", "gate", "gates", "temperature"),
        *("alpha", "beta", "gamma", "pos", "position", "positions", "positional", "rel"),
        *("relative", "embed", "embedding", "embeddings", "table", "tables", "token", "tokens"),
    }
)
"""Words in the name of what may have several dimensions and is yet no kernel."""

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
    kernels = {id(kernel) for kernel in kernels_of(net)}
    # Biases and scales are not decayed: they do not make a network more complex.
    groups: list[dict[str, Any]] = [
        {"params": [p for p in learning if id(p) in kernels], "weight_decay": recipe.weight_decay},
        {"params": [p for p in learning if id(p) not in kernels], "weight_decay": 0.0},
    ]
    rate, fused = recipe.learning_rate, can_be_fused(learning)
    if recipe.optimizer == "sgd":
        # Torch refuses Nesterov's without momentum.
        nesterov = recipe.momentum > 0
        return torch.optim.SGD(
            groups, lr=rate, momentum=recipe.momentum, nesterov=nesterov, fused=fused
        )
    if recipe.optimizer == "adam":
        return torch.optim.Adam(groups, lr=rate, fused=fused)
    return torch.optim.AdamW(groups, lr=rate, fused=fused)


def step_of(recipe: Recipe) -> TrainingStep:
    """Return what a step by that recipe holds in memory beside network and batch.

    >>> from blockzoo.training.recipe import get_recipe
    >>> [step_of(get_recipe(name)).label for name in ("classic", "v1")]
    ['adam', 'adamw, averaged weights']
    """
    return TrainingStep(
        optimizer=recipe.optimizer,
        momentum=recipe.momentum if recipe.optimizer == "sgd" else TrainingStep.momentum,
        averaged=recipe.ema_decay > 0,
    )


def kernels_of(net: nn.Module) -> Iterator[nn.Parameter]:
    """Yield the parameters that weight decay falls on, by what they do, not by how they are stored.

    These are kernels, which mix channels or places: `weight` of every convolution and linear layer,
    and of the parameters that modules hold beside, those with two or more dimensions above 1. No
    parameter of a normalisation or an embedding is one, no vector, be it stored as (C,), (C, 1, 1)
    or (1, C, 1, 1), and nothing whose name says that it is a bias, a scale or a table of positions.

    >>> layer = nn.Conv2d(4, 4, 1)
    >>> layer.scale = nn.Parameter(torch.ones(4, 1, 1))
    >>> [kernel is layer.weight for kernel in kernels_of(layer)]
    [True]
    """
    for path, module in net.named_modules():
        if isinstance(module, _NEVER_DECAYED):
            continue
        of_layer = "weight" if isinstance(module, _LAYERS) else None
        for name, parameter in module.named_parameters(recurse=False):
            if name == of_layer or _is_kernel(f"{path}.{name}", parameter):
                yield parameter


def _is_kernel(path: str, parameter: nn.Parameter) -> bool:
    """Tell whether a parameter that is no layer's `weight` is a kernel."""
    # A list of parameters numbers them; its own name says what they are.
    name = next((part for part in reversed(path.split(".")) if not part.isdigit()), "")
    words = set(name.lower().split("_"))
    if words & _NAMES_OF_TABLES and not words & _NAMES_OF_KERNELS:
        return False
    return sum(size > 1 for size in parameter.shape) >= 2


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
    start is forgotten fast. Integer buffers are copied. The average is `net`, to be evaluated. Both
    must be in training mode, for in eval mode the weights of some blocks mean something else.
    """

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.net, self.decay, self.steps = copied(net), decay, 0
        self.net.requires_grad_(False)
        self._pairs = list(zip(_places(self.net), _places(net), strict=True))

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights as they are after a step."""
        self.steps += 1
        # The ramp of TensorFlow's ExponentialMovingAverage.
        kept = min(self.decay, (1 + self.steps) / (10 + self.steps))
        # Looked up again, for some blocks put another tensor in the place of a buffer.
        pairs = [(_as_real(ours()), _as_real(theirs())) for ours, theirs in self._pairs]
        averaged = [pair for pair in pairs if pair[0].is_floating_point()]
        averages: list[Tensor] = [pair[0] for pair in averaged]
        torch._foreach_lerp_(averages, [pair[1] for pair in averaged], 1 - kept)
        other = [pair for pair in pairs if not pair[0].is_floating_point()]
        if other:
            counts: list[Tensor] = [pair[0] for pair in other]
            torch._foreach_copy_(counts, [pair[1] for pair in other])


def _places(net: nn.Module) -> list[Callable[[], Tensor]]:
    """Return what looks up each tensor of the state, once where it has several names."""
    places: dict[int, Callable[[], Tensor]] = {}
    for _, part in named_parts(net):
        passing = getattr(part, "_non_persistent_buffers_set", ())
        holders: tuple[dict[str, Any], ...] = (part._parameters, part._buffers)
        for holder in holders:
            for name, value in holder.items():
                if value is not None and name not in passing:
                    places.setdefault(id(value), partial(holder.__getitem__, name))
    return list(places.values())


def _as_real(value: Tensor) -> Tensor:
    """Return complex numbers as pairs of real ones in the same memory, others as they are."""
    return torch.view_as_real(value) if value.is_complex() else value
