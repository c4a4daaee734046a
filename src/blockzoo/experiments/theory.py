"""What can be said of a block without measuring time: its graph, receptive field and intensity.

All numbers are of the block's stage in the scaffold, or of the whole network with it, in the form
that is deployed unless said otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import nn

from blockzoo.blocks import BlockLike, to_deploy
from blockzoo.core.errors import BlockError
from blockzoo.core.position import Position
from blockzoo.experiments.part_costs import part_input_shapes
from blockzoo.measure.costs.graph import Graph
from blockzoo.measure.costs.receptive_field import (
    EffectiveField,
    ReceptiveField,
    effective_receptive_field,
    receptive_field,
)
from blockzoo.measure.costs.trace import trace
from blockzoo.measure.costs.traffic import Traffic, measure_traffic, saved_bytes
from blockzoo.scaffold.net import ScaffoldConfig, ScaffoldNet
from blockzoo.scaffold.placement import Placement, meta_deploy

PROBE_WIDTH = 16
"""Channels of the stem where receptive fields are measured: they do not depend on channels."""


@dataclass(frozen=True, kw_only=True)
class StageTheory:
    """Theory of one block at one position.

    `stage_field` and `network_field` are theoretical; the network is stem and stages, without the
    pooling of the head. `effective` is of the stage's initial weights, seed 0. `saved_bytes` is
    what the training form keeps of one image for the backward pass.
    """

    position: Position
    stage_field: ReceptiveField
    network_field: ReceptiveField
    effective: EffectiveField
    traffic: Traffic
    saved_bytes: int


def block_theory(
    block: BlockLike, position: str | Position, config: ScaffoldConfig | None = None
) -> StageTheory:
    """Return the theory of a block at a position; raises what `ScaffoldNet` raises.

    >>> str(block_theory("ConvBNAct", "mid", ScaffoldConfig(depth=1)).stage_field)
    '3×3'
    """
    placement = Placement.of(block, position, config)
    net = _probe(placement)
    channels = net.config.stage_shape(placement.position)[0]
    stage, features = to_deploy(net.stage(placement.position)), nn.Sequential(*_before_head(net))
    # Fields do not depend on the width, traffic does: it is of the network as asked for.
    whole, shape = placement.meta_stage(), stage_input_shape(placement)
    return StageTheory(
        position=placement.position,
        stage_field=receptive_field(stage, channels),
        network_field=receptive_field(features, 3),
        effective=effective_receptive_field(stage, channels),
        traffic=measure_traffic(meta_deploy(whole), shape),
        saved_bytes=saved_bytes(whole, shape),
    )


def block_graph(
    block: BlockLike, position: str | Position, config: ScaffoldConfig | None = None
) -> Graph:
    """Return the graph of the first block of the stage at `position`, in training form.

    >>> [node.label for node in block_graph("ConvBNAct", "mid").nodes]
    ['input', 'conv 3×3 64→128 stride 2', 'BN', 'ReLU', 'output']
    """
    placement = Placement.of(block, position, config)
    stage = placement.meta_stage()
    return trace(stage[0], stage_input_shape(placement))  # type: ignore[index]


def stage_input_shape(placement: Placement) -> tuple[int, int, int]:
    """Return (C, H, W) of what the stage under test is given.

    >>> stage_input_shape(Placement.of("RepMixer", "late"))
    (128, 16, 16)
    """
    return part_input_shapes(placement.scaffold)[placement.stage_name]


def _before_head(net: ScaffoldNet) -> list[nn.Module]:
    # The pooling of the head sees everything, so with it every field is the whole image.
    return [part for name, part in net.parts().items() if name != "head"]


def _probe(placement: Placement) -> ScaffoldNet:
    """Return a narrow network, or one as wide as asked for where the block needs that."""
    narrow = replace(placement.scaffold, width=PROBE_WIDTH)
    try:
        return replace(placement, scaffold=narrow).build()
    except BlockError:
        # Some blocks refuse as few channels as the probe has.
        return placement.build()
