"""What each part of the scaffold costs, counted without data: stem, stages and head.

The counts of a network are the sums over its parts, so the parts that networks share are counted
once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from types import FunctionType

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from blockzoo.blocks import BlockLike
from blockzoo.core.position import POSITIONS, Position
from blockzoo.measure.costs.complexity import Complexity, count_complexity, count_parameters
from blockzoo.measure.costs.meta import in_mode
from blockzoo.results.records import FormCost, PartCost
from blockzoo.scaffold.net import ScaffoldConfig
from blockzoo.scaffold.placement import Placement, meta_context, meta_deploy

_READ = ("blockzoo.", "timm.", "torchvision.")
_MODE_CHANGES_NO_PRODUCT = frozenset(
    {
        "timm.layers.attention.Attention",
        "timm.layers.attention2d.MultiQueryAttention2d",
        "timm.layers.drop.DropPath",
        "timm.models.densenet.DenseLayer",
        "timm.models.efficientvit_msra.CascadedGroupAttention",
        "timm.models.efficientvit_msra.ResidualDrop",
    }
)
"""Layers that look at the mode to drop values, or to look up a bias, and multiply alike in both."""
_IMAGES = 2
"""In training: batch normalisation there refuses pooled features of a single image."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of the scaffold in both forms, without data, and what it costs.

    `uncounted` is of both forms, `uncounted_macs` of the deploy form.
    """

    train: nn.Module
    deploy: nn.Module
    cost: PartCost
    uncounted: tuple[str, ...]
    uncounted_macs: dict[str, int]


def measured_parts(placement: Placement) -> dict[str, Part]:
    """Return all parts of the network by name; raises what `ScaffoldNet` raises.

    >>> list(measured_parts(Placement.of("RepMixer", "mid")))
    ['stem', 'stage_early', 'stage_mid', 'stage_late', 'head']
    """
    return {**measured_context(placement.scaffold), placement.stage_name: _own_stage(placement)}


@lru_cache(maxsize=4)
def measured_context(config: ScaffoldConfig) -> dict[str, Part]:
    """Return the parts that do not hold the block under test, measured once per scaffold."""
    parts = meta_context(config)
    return {name: _measure(name, part, config) for name, part in parts.items()}


def _measure(name: str, part: nn.Module, config: ScaffoldConfig) -> Part:
    # Without data: counts follow from shapes, and a large scaffold fits into no memory.
    deploy = meta_deploy(part)
    features = torch.empty(1, *part_input_shapes(config)[name], device="meta")
    # What comes before learns too, so that all parts but the first pass a gradient on.
    features.requires_grad_(name != "stem")
    train_cost, trained = _form_cost(part, features)
    deploy_cost, deployed = (
        # Most parts have nothing to merge; then both forms are one and counted once.
        (train_cost, trained) if deploy is part else _form_cost(deploy, features)
    )
    # Counting again takes a third of the time of a profile, and most are alike in both modes.
    in_training, images = trained, 1
    kinds = {type(module) for module in part.modules()}
    if any(map(_heeds_mode, kinds)):
        in_training, images = _complexity_in_training(part, features), _IMAGES
    return Part(
        train=part,
        deploy=deploy,
        cost=PartCost(
            name=name,
            train=train_cost,
            deploy=deploy_cost,
            training_macs=in_training.training_macs // images,
        ),
        uncounted=(*trained.uncounted, *deployed.uncounted, *in_training.uncounted),
        uncounted_macs=deployed.uncounted_macs,
    )


def _complexity_in_training(part: nn.Module, features: torch.Tensor) -> Complexity:
    with in_mode(part, training=True):
        return count_complexity(part, features.expand(_IMAGES, -1, -1, -1))


def _heeds_mode(kind: type) -> bool:
    """Tell whether a layer may multiply otherwise in training than in eval mode.

    No layer of torch does, nor a norm made of one of torch's. Of BlockZoo's and the libraries that
    its zoo is built of it is those whose code looks at the mode, but for a few that were read; of
    others it is not known.
    """
    if kind.__module__.startswith("torch.nn.") or issubclass(kind, _BatchNorm):
        return False
    if f"{kind.__module__}.{kind.__qualname__}" in _MODE_CHANGES_NO_PRODUCT:
        return False
    if not kind.__module__.startswith(_READ):
        return True
    own = (base for base in kind.__mro__ if base.__module__.startswith(_READ))
    members = (member for base in own for member in vars(base).values())
    return any(
        "training" in member.__code__.co_names
        for member in members
        if isinstance(member, FunctionType)
    )


def _form_cost(form: nn.Module, features: torch.Tensor) -> tuple[FormCost, Complexity]:
    # In eval mode also the training form: what it costs to use, not to train.
    with in_mode(form, training=False):
        complexity = count_complexity(form, features)
    parameters = count_parameters(form)
    cost = FormCost(
        params_total=parameters.total,
        params_trainable=parameters.trainable,
        macs=complexity.macs,
    )
    return cost, complexity


def summed(costs: Iterable[FormCost]) -> FormCost:
    """Return the sum of the costs.

    >>> part = FormCost(params_total=2, params_trainable=1, macs=3)
    >>> summed([part, part]).macs
    6
    """
    every = list(costs)
    return FormCost(
        params_total=sum(cost.params_total for cost in every),
        params_trainable=sum(cost.params_trainable for cost in every),
        macs=sum(cost.macs for cost in every),
    )


def part_input_shapes(config: ScaffoldConfig) -> dict[str, tuple[int, int, int]]:
    """Return the shape (C, H, W) of what each part of the scaffold is given.

    >>> part_input_shapes(ScaffoldConfig())["stage_late"]
    (128, 16, 16)
    """
    height, width = config.stem_size
    shapes = {"stem": config.input_shape}
    channels = config.width
    for position in POSITIONS:
        shapes[f"stage_{position}"] = (channels, height, width)
        _, channels, stride = config.stage_shape(position)
        # What the contract demands of every block.
        height, width = math.ceil(height / stride), math.ceil(width / stride)
    return {**shapes, "head": (channels, height, width)}


def stage_cost(
    block: BlockLike, position: str | Position, config: ScaffoldConfig | None = None
) -> PartCost:
    """Return the cost of the block's own stage for one image: parameters and MACs, both forms.

    Raises what `Placement.of` and `ScaffoldNet` raise.

    >>> stage_cost("ConvBNAct", "mid", ScaffoldConfig(depth=1)).deploy.macs == 128 * 64 * 9 * 16**2
    True
    """
    return _own_stage(Placement.of(block, position, config)).cost


def _own_stage(placement: Placement) -> Part:
    return _measure(placement.stage_name, placement.meta_stage(), placement.scaffold)
