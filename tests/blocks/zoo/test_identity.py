"""Identity: means at the border, zero channels, nothing else."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from blockzoo.blocks import get_block
from blockzoo.core.position import Position


def _identity(images: Tensor, out_channels: int, stride: int) -> Tensor:
    block = get_block("Identity").build(images.shape[1], out_channels, stride, Position.MID)
    output: Tensor = block(images)
    return output


def test_it_is_the_identity_where_the_shape_stays() -> None:
    images = torch.randn(2, 3, 5, 4)
    assert torch.equal(_identity(images, 3, 1), images)


def test_strides_average_what_is_there_and_channels_are_filled_with_zeros() -> None:
    images = torch.tensor([[[[1.0, 2.0, 3.0], [5.0, 6.0, 7.0], [9.0, 10.0, 11.0]]]])
    expected = torch.tensor([[[[3.5, 5.0], [9.5, 11.0]], [[0.0, 0.0], [0.0, 0.0]]]])
    assert torch.equal(_identity(images, 2, 2), expected)


@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    added=st.integers(0, 5),
    stride=st.sampled_from([1, 2]),
)
def test_a_constant_image_stays_constant(height: int, width: int, added: int, stride: int) -> None:
    output = _identity(torch.full((1, 2, height, width), 3.0), 2 + added, stride)
    assert output.shape == (1, 2 + added, -(-height // stride), -(-width // stride))
    assert torch.equal(output[:, :2], torch.full_like(output[:, :2], 3.0))
    assert not output[:, 2:].any()
