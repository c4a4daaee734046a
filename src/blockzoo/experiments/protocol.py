"""The named protocols: scaffold, recipe, data, split and seeds in one bundle.

Records of different protocols are never in one table, so a protocol that was changed is another
one: its label gains a digest of what determines a result. More seeds, blocks or positions, or
another data set, which is named beside it everywhere, leave the label as it is.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields, replace
from typing import Literal

from blockzoo.blocks import canonical_name, name_of_block
from blockzoo.core.errors import InputError, UnknownNameError
from blockzoo.core.position import POSITIONS, Position
from blockzoo.core.seeding import checked_seed
from blockzoo.data import ImageDataset
from blockzoo.results.budgets import Match
from blockzoo.scaffold.net import ScaffoldConfig
from blockzoo.training.recipe import Recipe, get_recipe
from blockzoo.training.settings import TrainingSettings

ELEVEN_BLOCKS = (
    "ResNetBasicBlock",
    "ResNetBottleneck",
    "InvertedResidual",
    "UniversalInvertedBottleneck",
    "EdgeResidual",
    "MobileOneBlock",
    "ReparamLargeKernelConv",
    "GhostBottleneckV3",
    "MBConvLNBlock",
    "RepMixer",
    "DYMicroBlock",
)


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """Everything that a comparison holds fixed, and what it compares by default.

    The fields from `context` to `split_seed` determine results; the others say what to run. With
    a `match` every block is fitted to a budget first, which is a track of its own.
    Raises `InputError` for values that cannot work.
    """

    name: str
    context: str = "ResNetBasicBlock"
    depth: int = 3
    width: int = 64
    stem_bias: bool = False
    stem: Literal["auto", "small", "large"] = "auto"
    recipe: Recipe
    validation_fraction: float = 0.1
    split_seed: int = 0
    dataset: str
    blocks: tuple[str, ...] = ELEVEN_BLOCKS
    positions: tuple[Position, ...] = POSITIONS
    seeds: tuple[int, ...]
    latency_batch_size: int = 1
    latency_budget_s: float = 60.0
    latency_processes: int = 3
    match: Match | None = None

    def __post_init__(self) -> None:
        # By its one name, so that a label does not depend on how a context was spelled.
        object.__setattr__(self, "context", canonical_name(name_of_block(self.context)))
        object.__setattr__(self, "blocks", tuple(map(name_of_block, self.blocks)))
        for name in ("blocks", "positions", "seeds"):
            if not getattr(self, name):
                raise InputError(f"no {name} given; at least one is needed")
        if not 0 < self.validation_fraction < 1:
            raise InputError(
                f"validation fraction is {self.validation_fraction}; it must be between 0 and 1"
            )
        for seed in self.seeds:
            checked_seed(seed)
        checked_seed(self.split_seed, "split seed")
        self.scaffold(classes=2, input_shape=(3, 32, 32))  # raises for sizes that cannot work

    @property
    def label(self) -> str:
        """The name that records carry: `v1`, or `v1~3f2a9c` where something was changed.

        Where blocks are fitted to a budget the track comes last: `v1+macs`.
        """
        published = _PROTOCOLS.get(self.name)
        changed = published is not None and self._digest() != published._digest()
        digest = f"~{self._digest()}" if changed else ""
        return f"{self.name}{digest}{self.match.suffix if self.match else ''}"

    def scaffold(self, *, classes: int, input_shape: tuple[int, int, int]) -> ScaffoldConfig:
        """Return the scaffold for data of that many classes and that shape (3, H, W)."""
        return ScaffoldConfig(
            context=self.context,
            depth=self.depth,
            width=self.width,
            stem_bias=self.stem_bias,
            stem=self.stem,
            classes=classes,
            input_shape=input_shape,
        )

    def training_settings(
        self, dataset: ImageDataset, *, seed: int, device: str, compiled: bool
    ) -> TrainingSettings:
        """Return how a network is trained by this protocol with that seed."""
        return TrainingSettings(
            dataset=dataset,
            recipe=self.recipe,
            seed=seed,
            validation_fraction=self.validation_fraction,
            split_seed=self.split_seed,
            protocol=self.label,
            device=device,
            compiled=compiled,
        )

    def changed(self, **changes: object) -> Protocol:
        """Return a copy with those fields, and those of the recipe, that are not None replaced.

        With other epochs alone the warm-up lasts the same share of them.

        >>> short = get_protocol("v1").changed(epochs=5, seeds=(0,), batch_size=None)
        >>> short.recipe.epochs, short.recipe.batch_size == get_protocol("v1").recipe.batch_size
        (5, True)
        """
        chosen = {name: value for name, value in changes.items() if value is not None}
        of_protocol = {field.name for field in fields(self)}
        own = {name: value for name, value in chosen.items() if name in of_protocol}
        of_recipe = {name: value for name, value in chosen.items() if name not in of_protocol}
        recipe = self.recipe
        if isinstance(epochs := of_recipe.get("epochs"), int):
            recipe = recipe.lasting(epochs)
        return replace(self, **own, recipe=replace(recipe, **of_recipe))  # type: ignore[arg-type]

    def _digest(self) -> str:
        determinants = (
            self.context,
            self.depth,
            self.width,
            self.stem_bias,
            self.recipe.determinants(),
            self.validation_fraction,
            self.split_seed,
            # Not named where it is "auto", so that labels from before it could be chosen stay.
            *((self.stem,) if self.stem != "auto" else ()),
        )
        # Short, for people read it, and it is told apart from few others.
        return hashlib.sha256(json.dumps(determinants).encode()).hexdigest()[:6]


_PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            name="quick",
            depth=2,
            width=16,
            recipe=get_recipe("quick"),
            dataset="digits",
            blocks=("ResNetBasicBlock", "InvertedResidual", "MobileOneBlock"),
            seeds=(0, 1),
            latency_budget_s=1.5,
            latency_processes=1,
        ),
        # The second version of `quick`: half the side of its images, a third seed, and timings
        # long enough for a verdict. Published protocols stay as they are, so this is another one.
        Protocol(
            name="quick2",
            depth=2,
            width=16,
            recipe=get_recipe("quick2"),
            dataset="digits@16",
            blocks=("ResNetBasicBlock", "InvertedResidual", "MobileOneBlock"),
            seeds=(0, 1, 2),
            latency_budget_s=1.5,
            latency_processes=3,
        ),
        Protocol(
            name="classic",
            context="classic/ResNetBasicBlock",
            stem_bias=True,
            recipe=get_recipe("classic"),
            dataset="cifar100",
            # DYMicroBlock alone has no classic form.
            blocks=tuple(f"classic/{name}" for name in ELEVEN_BLOCKS[:-1]),
            seeds=tuple(range(5)),
            latency_batch_size=256,
        ),
        Protocol(
            name="v1",
            recipe=get_recipe("v1"),
            dataset="cifar100",
            seeds=tuple(range(10)),
        ),
    )
}

QUICK = "quick2"
"""The protocol that `blockzoo sweep --quick` takes: the newest version of the quick one."""


def protocol_names() -> tuple[str, ...]:
    """Return the names of the published protocols.

    >>> protocol_names()
    ('quick', 'classic', 'v1')
    """
    return tuple(_PROTOCOLS)


def get_protocol(name: str) -> Protocol:
    """Return the protocol of that name, with a track say; raises `UnknownNameError` for others.

    >>> protocol = get_protocol("v1")
    >>> protocol.label, protocol.dataset, len(protocol.blocks), protocol.seeds[-1]
    ('v1', 'cifar100', 11, 9)
    >>> protocol.changed(width=32).label.startswith("v1~")  # no longer comparable with `v1`
    True
    >>> get_protocol("v1+macs@0.5x").match
    Match(cost='macs', budget=0.5)
    """
    published, match = Match.of_label(name)
    try:
        return replace(_PROTOCOLS[published], match=match)
    except KeyError:
        raise UnknownNameError("protocol", name, _PROTOCOLS) from None
