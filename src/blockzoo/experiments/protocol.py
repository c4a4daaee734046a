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
from blockzoo.scaffold.net import ScaffoldConfig, StemKind
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

    The fields from `context` to `split_seed` determine results; the others say what to run. A
    protocol that was changed is another one, and its label says so.

    Args:
        name: What it is called.
        context: The block in the two other stages.
        depth: Blocks per stage.
        width: Channels of the stem.
        stem_bias: Whether the stem's convolution has a bias.
        stem: "small", "half", "large" or "auto", see `ScaffoldConfig`.
        recipe: How networks are trained.
        validation_fraction: Share of the training images that is held out, by class; between 0 and
            1.
        split_seed: Of that split.
        dataset: A name or path, see `load_dataset`.
        blocks: The blocks; the first is the baseline of latencies.
        positions: Which stages hold them.
        seeds: One training each.
        latency_batch_size: Images per timed call.
        latency_budget_s: Seconds of timing per network.
        latency_processes: Fresh processes that time.
        latency_together: Whether all positions are timed in one session, not each in its own.
        match: The budget that every block is fitted to first, which is a track of its own.

    Raises:
        InputError: For values that cannot work.

    Example:
        >>> short = get_protocol("quick").changed(epochs=1, seeds=(0, 1, 2))
        >>> short.seeds, short.label.startswith("quick~")
        ((0, 1, 2), True)
    """

    name: str
    context: str = "ResNetBasicBlock"
    depth: int = 3
    width: int = 64
    stem_bias: bool = False
    stem: Literal["auto"] | StemKind = "auto"
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
    latency_together: bool = False
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
        """The name that records carry, such as `v1`, or `v1~3f2a9c` where something was changed.

        Where blocks are fitted to a budget the track comes last: `v1+macs`.
        """
        published = _PROTOCOLS.get(self.name)
        changed = published is not None and self._digest() != published._digest()
        digest = f"~{self._digest()}" if changed else ""
        return f"{self.name}{digest}{self.match.suffix if self.match else ''}"

    def scaffold(self, *, classes: int, input_shape: tuple[int, int, int]) -> ScaffoldConfig:
        """Return the scaffold for data of that kind.

        Args:
            classes: How many classes the data have.
            input_shape: (3, H, W) of an image, in pixels.
        """
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
        """Return how a network is trained by this protocol.

        Args:
            dataset: The images.
            seed: Of weights, order and augmentation.
            device: "auto", "cpu", "cuda" or "cuda:N".
            compiled: Whether whole batches are trained by `torch.compile`.
        """
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
        """Return a copy with other values.

        With other epochs alone the warm-up lasts the same share of them.

        Args:
            **changes: Fields of the protocol and of its recipe, by name; None leaves one as it is.

        Returns:
            The copy; what determines a result changes its label.

        Example:
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


# The second version of `quick`: half the side of its images, a third seed, and timings long enough
# for a verdict. Published protocols stay as they are, so this is another one.
_QUICK2 = Protocol(
    name="quick2",
    depth=2,
    width=16,
    recipe=get_recipe("quick2"),
    dataset="digits@16",
    blocks=("ResNetBasicBlock", "InvertedResidual", "MobileOneBlock"),
    seeds=(0, 1, 2),
    latency_budget_s=1.5,
    latency_processes=3,
)

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
        _QUICK2,
        # The third: the same networks, trained and timed in less time. Most of a short session is
        # the start of its processes, so there is one.
        replace(
            _QUICK2,
            name="quick3",
            recipe=get_recipe("quick3"),
            latency_budget_s=0.5,
            latency_together=True,
        ),
        # A table that two cores finish: images at a quarter of the area from the stem on.
        Protocol(
            name="lite",
            depth=2,
            width=16,
            stem="half",
            recipe=get_recipe("lite"),
            dataset="cifar100-q95",
            seeds=tuple(range(10)),
            latency_budget_s=10.0,
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

QUICK = "quick3"
"""The protocol that `blockzoo sweep --quick` takes: the newest version of the quick one."""


def protocol_names() -> tuple[str, ...]:
    """Return the names of the published protocols.

    >>> protocol_names()
    ('quick', 'quick2', 'quick3', 'lite', 'classic', 'v1')
    """
    return tuple(_PROTOCOLS)


def get_protocol(name: str) -> Protocol:
    """Return the protocol of that name, in a track if the name says so.

    Args:
        name: "quick", "quick2", "quick3", "lite", "classic" or "v1"; `v1+macs` or
            `v1+params@0.5x` fits every block to a budget first.

    Returns:
        The protocol; `changed` makes others of it.

    Raises:
        UnknownNameError: For another name, listing those there are.

    Example:
        >>> protocol = get_protocol("v1")
        >>> protocol.label, protocol.dataset, len(protocol.blocks), protocol.seeds[-1]
        ('v1', 'cifar100', 11, 9)
        >>> protocol.changed(width=32).label.startswith("v1~")  # no longer comparable with `v1`
        True
        >>> get_protocol("v1+macs@0.5x").match
        Match(cost='macs', budget=0.5, machine='')
    """
    published, match = Match.of_label(name)
    try:
        return replace(_PROTOCOLS[published], match=match)
    except KeyError:
        raise UnknownNameError("protocol", name, _PROTOCOLS) from None
