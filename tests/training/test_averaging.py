from __future__ import annotations

import pytest
import torch
from torch import nn

from blockzoo.training.optimisation import WeightAverage
from tests.training.samples import tiny_net


def test_the_average_trails_behind_with_a_short_memory_at_first() -> None:
    net = nn.Linear(1, 1, bias=False)
    net.weight.data.fill_(0.0)
    average = WeightAverage(net, 0.5)
    expected = 0.0
    for step, kept in ((1, 2 / 11), (2, 3 / 12), (3, 4 / 13), (20, 0.5)):
        average.steps = step - 1
        net.weight.data.fill_(float(step))
        average.update()
        expected = kept * expected + (1 - kept) * step
        (value,) = average.net.parameters()
        assert value.item() == pytest.approx(expected)
        assert not value.requires_grad


def test_counts_of_batches_are_copied() -> None:
    net = tiny_net()
    average = WeightAverage(net, 0.9)
    net(torch.rand(4, 3, 8, 8))
    average.update()
    assert int(average.net[1].num_batches_tracked) == 1  # type: ignore[index]


def test_complex_weights_are_averaged_in_both_parts() -> None:
    net = nn.Linear(1, 1, bias=False, dtype=torch.cfloat)
    net.weight.data.fill_(0.0)
    average = WeightAverage(net, 0.5)
    net.weight.data.fill_(2 - 4j)
    average.steps = 20
    average.update()
    (value,) = average.net.parameters()
    assert value.item() == pytest.approx(1 - 2j)


@pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated:FutureWarning")
def test_a_network_with_computed_weights_is_averaged() -> None:
    """As mosaicml/composer #864 and ultralytics/ultralytics #9566 could not."""
    net = nn.utils.weight_norm(nn.Linear(1, 1, bias=False))
    average = WeightAverage(net, 0.0)
    net.get_parameter("weight_g").data.fill_(3.0)
    average.update()
    assert abs(average.net(torch.ones(1, 1)).item()) == pytest.approx(3.0)
