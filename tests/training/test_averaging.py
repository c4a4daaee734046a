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
