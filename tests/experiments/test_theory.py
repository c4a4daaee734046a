from __future__ import annotations

from dataclasses import replace

from blockzoo.core.position import Position
from blockzoo.experiments.theory import block_graph, block_theory, stage_input_shape
from blockzoo.measure.costs.receptive_field import ReceptiveField
from blockzoo.scaffold.net import ScaffoldConfig
from blockzoo.scaffold.placement import Placement


def test_resnet_basic_block_by_hand() -> None:
    theory = block_theory("ResNetBasicBlock", Position.MID)
    # Stage B: a 3x3 at stride 1 after 1, five more at jump 2. Network: stem 3, A +12, B +22, C +44.
    assert theory.stage_field == ReceptiveField(height=23, width=23)
    assert theory.network_field == ReceptiveField(height=81, width=81)
    assert 2 < theory.effective.width < 23
    # blocks.csv: 820,992 parameters in the mid stage.
    assert theory.traffic.parameters_bytes == 4 * 820_992
    assert theory.saved_bytes > 0


def test_graph_is_of_the_first_block_of_the_stage() -> None:
    graph = block_graph("ResNetBasicBlock", Position.LATE, ScaffoldConfig(width=8))
    assert graph.nodes[0].shape == (16, 16, 16)
    assert graph.nodes[-1].shape == (32, 8, 8)


def test_the_large_stem_by_hand() -> None:
    config = ScaffoldConfig(width=8, input_shape=(3, 131, 224))
    shapes = [
        stage_input_shape(Placement.of("Identity", position, config)) for position in Position
    ]
    assert shapes == [(8, 33, 56), (8, 33, 56), (16, 17, 28)]
    field = block_theory("Identity", Position.LATE, replace(config, context="Identity"))
    # 7 of the convolution, 2 x 2 of the pool; then Identity halves twice by 2x2: 4 and 8.
    assert field.network_field.height == 7 + 4 + 4 + 8


def test_stage_inputs_halve_after_each_downsampling() -> None:
    config = ScaffoldConfig(width=8, input_shape=(3, 9, 8))
    shapes = [
        stage_input_shape(Placement.of("Identity", position, config)) for position in Position
    ]
    assert shapes == [(8, 9, 8), (8, 9, 8), (16, 5, 4)]
