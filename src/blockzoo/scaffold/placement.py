"""A placement: one block at one position in one scaffold, and all that its structure tells.

Everything here is known from the structure alone, so networks are planned on the meta device,
without weights, and what many of them have in common is planned once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import TypeVar

import torch
from torch import nn

from blockzoo.blocks import BlockLike, BlockSpec, canonical_name, describe, get_block, to_deploy
from blockzoo.blocks.deploy import has_merges
from blockzoo.blocks.registry import Elsewhere
from blockzoo.core.errors import BlockError
from blockzoo.core.networks import copied
from blockzoo.core.position import POSITIONS, Position
from blockzoo.measure.costs.meta import RememberedShapes
from blockzoo.scaffold.net import ScaffoldConfig, ScaffoldNet, stage_alone

NO_CONTEXT = "Identity"

Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True, kw_only=True)
class Fingerprints:
    """What identifies a network (whichever stage is under test) and the stage under test in it.

    `unsure` says what of the network they do not cover: it may have changed although they have not.
    """

    network: str
    block: str
    unsure: tuple[str, ...] = ()


@dataclass(frozen=True)
class Placement:
    """The block `spec` at `position` in `scaffold`: one network.

    Made once at the door, by `Placement.of`, and handed to each verb. Two placements are equal
    where block, position and scaffold are.

    >>> placement = Placement.of("MobileOneBlock", "mid")
    >>> placement.label
    'MobileOneBlock (mid)'
    >>> [str(position) for position in Placement.of("ResNetBasicBlock", "late").positions]
    ['early', 'mid', 'late']
    """

    spec: BlockSpec
    position: Position
    scaffold: ScaffoldConfig

    @classmethod
    def of(
        cls,
        block: BlockLike,
        position: str | Position,
        scaffold: ScaffoldConfig | None = None,
    ) -> Placement:
        """Resolve a name, a position as text and a scaffold left out; the one place that does.

        Raises `UnknownNameError` for a block, a context or a position that is not known, and what
        `get_block` raises for a block of a file or module.
        """
        scaffold = scaffold or ScaffoldConfig()
        # By its one name, so that one scaffold is one scaffold however its context was spelled.
        scaffold = replace(scaffold, context=canonical_name(scaffold.context))
        get_block(scaffold.context)  # a context that is not registered is not the block's failure
        spec = get_block(block)
        return cls(spec, Position.parse(str(position)), scaffold)

    @property
    def label(self) -> str:
        """A short name for people: "MobileOneBlock (mid)"."""
        return f"{self.spec.name} ({self.position})"

    @property
    def stage_name(self) -> str:
        """The part of the network that holds the block: "stage_mid"."""
        return f"stage_{self.position}"

    @property
    def context(self) -> Placement:
        """The placement of the context block at this position: the scaffold without the block."""
        return Placement(get_block(self.scaffold.context), self.position, self.scaffold)

    @property
    def elsewhere(self) -> Elsewhere | None:
        """What runs a function where the network can be built; None where that is here.

        The process of the block under test, of the context where that alone is a user's.
        """
        return self.spec.elsewhere or get_block(self.scaffold.context).elsewhere

    def at(self, position: Position) -> Placement:
        """Return the same block in the same scaffold at another position."""
        return replace(self, position=position)

    def build(self, *, seed: int = 0) -> ScaffoldNet:
        """Return the network with its initial weights; raises what `ScaffoldNet` raises."""
        return ScaffoldNet(self.spec, self.position, self.scaffold, seed=seed)

    def meta(self) -> ScaffoldNet:
        """Return the network on the meta device: all structure, no weights.

        A block whose constructor needs real tensors is built on the CPU and then moved. Raises what
        `ScaffoldNet` raises.
        """
        return _on_meta(self.build)

    def meta_parts(self) -> dict[str, nn.Module]:
        """Return what `meta().parts()` holds, sooner.

        The parts are shared between calls and must not be changed. Raises what `ScaffoldNet`
        raises.
        """
        return {**meta_context(self.scaffold), self.stage_name: self.meta_stage()}

    def meta_stage(self) -> nn.Module:
        """Return the stage under test on the meta device; it does not depend on the context."""
        return _meta_stage(self)

    def meta_network(self) -> nn.Module:
        """Return the layers of the whole network; none where the block cannot be built."""
        try:
            return nn.Sequential(*self.meta_parts().values())
        except BlockError:
            return nn.Sequential()

    @property
    def fingerprints(self) -> Fingerprints:
        """The fingerprints of the network and of the stage under test.

        A block that cannot be built has none: its network is then named after the position, its
        stage not at all. Where a user's block is in the network the start values of seed 0 count
        too; those of the zoo follow from their classes, hyperparameters and initialisation.
        """
        return _fingerprints(self, self.holds_user_code)

    @property
    def positions(self) -> tuple[Position, ...]:
        """All positions at which the network is this one; in the order early, mid, late.

        Always holds `position` itself. Holds others only where the block is, as built, what the
        context holds anyway: ResNetBasicBlock in its own context is the same network three times. A
        block that cannot be built is nowhere the same.
        """
        if not self._equals_context():
            return (self.position,)
        return tuple(p for p in POSITIONS if p is self.position or self.at(p)._equals_context())

    @property
    def recorded_fingerprint(self) -> str:
        """The fingerprint of the stage under test that records carry.

        Where the network is the same at several positions it is that of the first, so that all
        records of one network carry the same.
        """
        return self.at(self.positions[0]).fingerprints.block

    def _equals_context(self) -> bool:
        """Tell whether the stage at `position` is the same with the block as with the context.

        Networks at two positions differ in no other stage than these two, so they are the same
        exactly when this holds at both.
        """
        # Where start values count for the one, they count for the other.
        stage = self.fingerprints.block
        return stage != "" and stage == _fingerprints(self.context, self.holds_user_code).block

    @property
    def holds_user_code(self) -> bool:
        """Whether the block or the context is not the zoo's."""
        return not (self.spec.from_zoo and get_block(self.scaffold.context).from_zoo)


@lru_cache(maxsize=16)
def _meta_stage(placement: Placement) -> nn.Module:
    return _on_meta(partial(stage_alone, placement.spec, placement.position, placement.scaffold))


def _on_meta(build: Callable[[], Module]) -> Module:
    """Return what `build` makes, on the meta device; one that needs real tensors is moved there."""
    try:
        with torch.device("meta"), RememberedShapes():
            return build()
    except BlockError:
        return build().to("meta")


@lru_cache(maxsize=16)
def meta_context(scaffold: ScaffoldConfig) -> dict[str, nn.Module]:
    """Return the parts of the scaffold that holds its context block in all three stages."""
    # Any position would do: the block under test is the context itself.
    return Placement.of(scaffold.context, POSITIONS[0], scaffold).meta().parts()


# Short texts, unlike the networks above: all blocks at all positions fit.
@lru_cache(maxsize=4096)
def _fingerprints(placement: Placement, values: bool) -> Fingerprints:
    try:
        elsewhere = placement.elsewhere
        if elsewhere is not None:
            task = (placement.spec.name, placement.position, placement.scaffold)
            return elsewhere(_fingerprints_there, task, kind="identity")
        return _with_values(placement) if values else _of_structure(placement)
    except Exception:  # noqa: BLE001 - a block is foreign code, and so are its errors
        # By position, so that failures at two positions never count as one network, and by the
        # whole name, for two files may hold a class of one name.
        return Fingerprints(network=f"not built: {placement.label}", block="")


def _of_structure(placement: Placement, doubts: tuple[str, ...] = ()) -> Fingerprints:
    return _described(placement.meta_parts(), placement.stage_name, values=False, doubts=doubts)


def _with_values(placement: Placement) -> Fingerprints:
    """Return the fingerprints of the network as built with seed 0; one with a user's code twice."""
    builds = 2 if placement.holds_user_code else 1
    try:
        first, *others = (
            _described(placement.build().parts(), placement.stage_name, values=True)
            for _ in range(builds)
        )
    except BlockError as error:
        # It may be too large for this machine, and still be known without its weights.
        return _of_structure(placement, (f"its start values are not known: {error}",))
    if all(other == first for other in others):
        return first
    reason = f"two builds of {placement.spec.name} with one seed differ"
    return replace(first, unsure=(*first.unsure, reason))


def _described(
    parts: dict[str, nn.Module], stage: str, *, values: bool, doubts: tuple[str, ...] = ()
) -> Fingerprints:
    network = describe(nn.Sequential(*parts.values()), values=values)
    return Fingerprints(
        network=network.digest,
        block=describe(parts[stage], values=values).digest,
        unsure=(*network.unsure, *doubts),
    )


def _fingerprints_there(
    task: tuple[str, Position, ScaffoldConfig], _: Callable[[object], None]
) -> Fingerprints:
    return Placement.of(*task).fingerprints


def meta_deploy(part: nn.Module) -> nn.Module:
    """Return the deploy form of a part that has no data; the part itself if nothing merges in it.

    Merging may need numbers; then it is done on numbers that mean nothing, and they are dropped.
    """
    # Without any of them a copy would be all that `to_deploy` makes.
    if not has_merges(part):
        return part
    try:
        with RememberedShapes():
            return to_deploy(part)
    except Exception:  # noqa: BLE001 - the run on the CPU decides, and gives the better message
        return to_deploy(_with_ones(part)).to("meta")


def _with_ones(part: nn.Module) -> nn.Module:
    """Return a copy on the CPU full of ones: memory as it comes may hold NaN one day."""
    filled = copied(part).to_empty(device="cpu")
    with torch.no_grad():
        for tensor in (*filled.parameters(), *filled.buffers()):
            tensor.fill_(1)
    return filled
