"""The backward pass of grouped convolutions: by hand, by torch's counter, and by its gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from blockzoo.measure.costs.complexity import count_complexity, count_macs


@pytest.mark.parametrize("groups", [1, 2, 4, 8])
@pytest.mark.parametrize("first", [True, False])
def test_the_backward_pass_of_a_grouped_convolution_by_hand(groups: int, first: bool) -> None:
    """16 to 24 channels, 3x3, on 5x7 positions: each output sums over 16/groups x 9 products.

    The gradient of the weights sums, for each of them, over all positions; that of the input, for
    each of its elements, over the 24/groups x 9 outputs it went into (padding counted like the
    rest). Each is as many products as the forward pass, whatever the groups; torch's own counter
    takes the gradient of the weights for `groups` times as many.
    """
    layer = nn.Conv2d(16, 24, 3, padding=1, groups=groups, bias=False)
    images = torch.randn(2, 16, 5, 7, requires_grad=not first)
    forward = 2 * 24 * 35 * (16 // groups) * 9
    for_weights = (24 * (16 // groups) * 9) * 2 * 35
    for_input = (2 * 16 * 35) * (24 // groups) * 9
    assert for_weights == for_input == forward
    expected = forward + for_weights + (0 if first else for_input)
    assert count_macs(layer, images) == forward
    assert count_complexity(layer, images).training_macs == expected
    with FlopCounterMode(display=False) as counter:
        layer(images).sum().backward()
    torchs = counter.get_total_flops() // 2
    assert torchs == expected + (groups - 1) * forward


def test_the_gradients_of_a_grouped_convolution_are_convolutions_of_that_size() -> None:
    """The two backward products, written out as forward convolutions, give autograd's gradients."""
    groups, size = 3, 6
    images = torch.randn(1, 6, size, size, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(9, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    output = nn.functional.conv2d(images, weight, padding=1, groups=groups)
    upstream = torch.randn_like(output)
    output.backward(upstream)  # type: ignore[no-untyped-call]
    # for the input: outputs, group by group, with the kernels turned around
    turned = weight.detach().flip(2, 3).reshape(groups, 3, 2, 3, 3).transpose(1, 2)
    turned = turned.reshape(6, 3, 3, 3)
    for_input = nn.functional.conv2d(upstream, turned, padding=1, groups=groups)
    torch.testing.assert_close(for_input, images.grad)
    backward = count_macs(Grouped(turned, groups), upstream)
    assert backward == count_macs(Grouped(weight.detach(), groups), images.detach())


class Grouped(nn.Module):
    """A 3x3 convolution with these weights."""

    def __init__(self, weight: Tensor, groups: int) -> None:
        super().__init__()
        self.weight, self.groups = weight, groups

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight.to(x.device)
        return nn.functional.conv2d(x, weight, padding=1, groups=self.groups)
