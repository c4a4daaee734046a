from __future__ import annotations

import pytest
from torch import nn

from blockzoo.measure.costs.traffic import measure_traffic, saved_bytes


def test_a_convolution_moves_input_weights_and_output() -> None:
    layer = nn.Conv2d(4, 8, 3, padding=1, bias=False)
    traffic = measure_traffic(layer, (4, 5, 5))
    assert traffic.flops == 2 * 8 * 4 * 9 * 25
    assert traffic.parameters_bytes == 4 * 8 * 4 * 9
    assert traffic.moved_bytes == traffic.least_bytes == 4 * (4 * 25 + 8 * 4 * 9 + 8 * 25)
    assert traffic.intensity_flops_per_byte == pytest.approx(14400 / 2352)


def test_a_second_operation_reads_and_writes_again_and_fusing_saves_it() -> None:
    layers = nn.Sequential(nn.Conv2d(4, 4, 1, bias=False), nn.Sigmoid())
    traffic = measure_traffic(layers, (4, 5, 5))
    assert traffic.moved_bytes == 4 * (100 + 16 + 100) + 4 * (100 + 100)
    assert traffic.least_bytes == 4 * (100 + 16 + 100)
    assert traffic.fused_intensity_flops_per_byte > traffic.intensity_flops_per_byte


def test_views_move_nothing_and_nothing_has_no_intensity() -> None:
    traffic = measure_traffic(nn.Flatten(), (4, 5, 5))
    assert (traffic.moved_bytes, traffic.intensity_flops_per_byte) == (0, 0.0)


def test_saved_bytes_are_the_activations_that_gradients_need() -> None:
    # The convolution keeps its input, the sigmoid its output: 100 numbers each.
    layers = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Sigmoid())
    assert saved_bytes(layers, (4, 5, 5)) == 800
    assert saved_bytes(layers, (4, 5, 5), batch_size=3) == 2400
