"""The layers that blocks share: what they do at odd sizes, and what stands before a block."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from blockzoo.blocks.zoo.layers import (
    PadToEven,
    after_shape_change,
    conv_bn,
    convnext_downsampling,
    overlapping_max_pool,
    patch_conv,
    projection,
)


def test_pad_to_even_leaves_even_sizes_and_pads_odd_ones_at_the_end() -> None:
    even = torch.randn(1, 2, 4, 6)
    assert PadToEven()(even) is even
    padded = PadToEven()(torch.ones(1, 1, 3, 2))
    assert padded[0, 0].tolist() == [[1, 1], [1, 1], [1, 1], [0, 0]]


def test_patch_convolution_by_hand() -> None:
    layers = patch_conv(1, 1, bias=False)
    nn.init.ones_(layers.get_parameter("1.weight"))
    image = torch.arange(9.0).view(1, 1, 3, 3)
    assert layers(image)[0, 0].tolist() == [[0 + 1 + 3 + 4, 2 + 5], [6 + 7, 8]]


def test_overlapping_pool_takes_the_last_row_and_never_the_padding() -> None:
    image = -torch.arange(1.0, 26).view(1, 1, 5, 5)
    # Windows start at rows and columns 0, 2 and 4, and the first pixel of each is the largest.
    assert overlapping_max_pool()(image)[0, 0].tolist() == [
        [-1, -3, -5],
        [-11, -13, -15],
        [-21, -23, -25],
    ]


def test_overlapping_pool_at_even_sizes_is_the_ceiling_pool() -> None:
    image = torch.randn(2, 3, 8, 6)
    expected = nn.functional.max_pool2d(image, 3, 2, ceil_mode=True)
    assert torch.equal(overlapping_max_pool()(image), expected)


@pytest.mark.parametrize("kernel_size", [1, 3, (5, 1)])
def test_conv_bn_keeps_the_size_over_the_stride(kernel_size: int | tuple[int, int]) -> None:
    layers = conv_bn(2, 3, kernel_size, stride=2, activation=nn.ReLU())
    assert layers(torch.randn(2, 2, 7, 4)).shape == (2, 3, 4, 2)
    assert layers[0].bias is None
    assert [type(layer) for layer in layers] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]


def test_what_stands_before_a_block_that_keeps_its_shape() -> None:
    block = nn.ReLU()
    assert after_shape_change(block, 4, 4, 1, convnext_downsampling) is block
    projected = after_shape_change(block, 4, 8, 1, convnext_downsampling)
    strided = after_shape_change(block, 4, 8, 2, convnext_downsampling)
    before = [type(layer) for layer in projected.get_submodule("0").children()]
    assert before == [nn.Conv2d, nn.BatchNorm2d]
    assert strided.get_parameter("0.2.weight").shape == (8, 4, 2, 2)
    assert projected.get_submodule("1") is block
    assert projection(4, 4) is None
