"""What the three verbs share: the scaffold as recorded, and what identifies a network.

Everything here is known from the structure alone, so networks are built without weights, and what
many of them have in common is built once.
"""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from blockzoo.blocks import BlockSpec, get_block, to_deploy
from blockzoo.blocks import fingerprint as fingerprint_of
from blockzoo.core.errors import BlockError, BlockZooError
from blockzoo.core.position import POSITIONS, Position
from blockzoo.measure.costs.meta import RememberedShapes
from blockzoo.results.records import ScaffoldSettings
from blockzoo.scaffold.net import ScaffoldConfig, ScaffoldNet

NO_CONTEXT = "Identity"
_MERGING_METHODS = ("fuse", "reparameterize", "switch_to_deploy")
"""What `to_deploy` looks for; without any of them its copy would be all that it makes."""


@dataclass(frozen=True, kw_only=True)
class Fingerprints:
    """What identifies a network (whichever stage is under test) and the stage under test in it."""

    network: str
    block: str


def scaffold_settings(config: ScaffoldConfig) -> ScaffoldSettings:
    """Return the scaffold's configuration as records keep it."""
    return ScaffoldSettings(**{**asdict(config), "stem": config.stem_kind})


def scaffold_identity(config: ScaffoldConfig) -> dict[str, Any]:
    """Return what of the scaffold is part of a trial's identity: all that records keep of it.

    The small stem is not named, so that trials from before there were others keep their ids.
    """
    return scaffold_settings(config).model_dump(exclude_defaults=True)


def build_without_data(
    block: str | BlockSpec, position: Position, config: ScaffoldConfig
) -> ScaffoldNet:
    """Return the scaffold with its tensors on the meta device: all structure, no weights.

    A block whose constructor needs real tensors is built on the CPU and then moved. Raises what
    `ScaffoldNet` raises.
    """
    try:
        with torch.device("meta"), RememberedShapes():
            return ScaffoldNet(block, position, config)
    except BlockError:
        return ScaffoldNet(block, position, config).to("meta")


def parts_without_data(
    block: str | BlockSpec, position: Position, config: ScaffoldConfig
) -> dict[str, nn.Module]:
    """Return what `build_without_data(...).parts()` holds, sooner.

    The parts are shared between calls and must not be changed. Raises what `ScaffoldNet` raises.
    """
    stage = stage_without_data(_spec(block), position, config)
    return {**context_without_data(config), f"stage_{position}": stage}


def network_without_data(
    block: str | BlockSpec, position: Position, config: ScaffoldConfig
) -> nn.Module:
    """Return the layers of the whole network; none where the block cannot be built."""
    try:
        return nn.Sequential(*parts_without_data(block, position, config).values())
    except BlockError:
        return nn.Sequential()


@lru_cache(maxsize=16)
def stage_without_data(spec: BlockSpec, position: Position, config: ScaffoldConfig) -> nn.Module:
    """Return the stage under test alone; it does not depend on what the other stages hold."""
    alone = replace(config, context=NO_CONTEXT)
    return build_without_data(spec, position, alone).stage(position)


@lru_cache(maxsize=16)
def context_without_data(config: ScaffoldConfig) -> dict[str, nn.Module]:
    """Return the parts of the scaffold that holds its context block in all three stages."""
    return build_without_data(config.context, POSITIONS[0], config).parts()


def deploy_without_data(part: nn.Module) -> nn.Module:
    """Return the deploy form of a part that has no data; the part itself if nothing merges in it.

    Merging may need numbers; then it is done on numbers that mean nothing, and they are dropped.
    """
    if not any(hasattr(module, name) for module in part.modules() for name in _MERGING_METHODS):
        return part
    try:
        with RememberedShapes():
            return to_deploy(part)
    except Exception:  # noqa: BLE001 - the run on the CPU decides, and gives the better message
        return to_deploy(_with_ones(part)).to("meta")


def _with_ones(part: nn.Module) -> nn.Module:
    """Return a copy on the CPU full of ones: memory as it comes may hold NaN one day."""
    filled = copy.deepcopy(part).to_empty(device="cpu")
    with torch.no_grad():
        for tensor in (*filled.parameters(), *filled.buffers()):
            tensor.fill_(1)
    return filled


def fingerprints(
    block: str | BlockSpec, position: Position, config: ScaffoldConfig
) -> Fingerprints:
    """Return the fingerprints of the network and of the stage under test.

    They are those of `scaffold.network_fingerprint` and `scaffold.block_fingerprint`. A block that
    cannot be built has none: its network is then named after the position, its stage not at all.
    """
    get_block(config.context)  # a context that is not registered is not the block's failure
    return _fingerprints(_spec(block), position, config)


@lru_cache(maxsize=4096)
def _fingerprints(spec: BlockSpec, position: Position, config: ScaffoldConfig) -> Fingerprints:
    try:
        parts = parts_without_data(spec, position, config)
    except BlockZooError:
        return Fingerprints(network=f"not built: {position}", block="")
    return Fingerprints(
        network=fingerprint_of(nn.Sequential(*parts.values())),
        block=fingerprint_of(parts[f"stage_{position}"]),
    )


def same_positions(
    block: str | BlockSpec, position: Position, config: ScaffoldConfig
) -> tuple[Position, ...]:
    """Return all positions at which the scaffolded network is the one at `position`.

    Always holds `position` itself; in the order early, mid, late. Holds others only where the block
    is, as built, what the context holds anyway: ResNetBasicBlock in its own context is the same
    network three times. A block that cannot be built is nowhere the same.
    """
    spec = _spec(block)
    if not _equals_context(spec, position, config):
        return (position,)
    return tuple(p for p in POSITIONS if p is position or _equals_context(spec, p, config))


def _equals_context(spec: BlockSpec, position: Position, config: ScaffoldConfig) -> bool:
    """Tell whether the stage at `position` is the same with the block as with the context.

    Networks at two positions differ in no other stage than these two, so they are the same exactly
    when this holds at both.
    """
    stage = fingerprints(spec, position, config).block
    return stage != "" and stage == fingerprints(config.context, position, config).block


def recorded_fingerprint(block: str | BlockSpec, position: Position, config: ScaffoldConfig) -> str:
    """Return the fingerprint of the stage under test that records carry.

    Where the network is the same at several positions it is that of the first, so that all records
    of one network carry the same.
    """
    return fingerprints(block, same_positions(block, position, config)[0], config).block


def _spec(block: str | BlockSpec) -> BlockSpec:
    return get_block(block) if isinstance(block, str) else block
