"""Dense, residual and norm-free blocks: how their widths follow from the channels."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from blockzoo.blocks import get_block
from blockzoo.core.errors import BlockError
from blockzoo.core.position import Position


def _convs(block: nn.Module) -> list[nn.Conv2d]:
    return [layer for layer in block.modules() if isinstance(layer, nn.Conv2d)]


def _build(name: str, in_channels: int, out_channels: int, stride: int = 1) -> nn.Module:
    with torch.device("meta"):
        return get_block(name).build(in_channels, out_channels, stride, Position.MID)


@pytest.mark.parametrize(
    ("in_channels", "out_channels", "growth", "layers"),
    [
        (64, 64, 32, 2),
        (64, 128, 32, 6),
        (128, 256, 32, 12),
        (16, 16, 8, 2),
        (16, 32, 16, 3),
        (48, 96, 24, 6),
        (15, 15, 5, 3),
    ],
)
def test_densenet_growth(in_channels: int, out_channels: int, growth: int, layers: int) -> None:
    *dense, transition = _convs(_build("DenseNetBC", in_channels, out_channels))
    grown = [conv.out_channels for conv in dense if conv.kernel_size == (3, 3)]
    assert grown == [growth] * layers
    assert (transition.in_channels, transition.out_channels) == (2 * out_channels, out_channels)


def test_densenet_refuses_what_no_growth_reaches() -> None:
    with pytest.raises(BlockError, match="multiple of a growth from 8 to 16"):
        get_block("DenseNetBC").build(11, 32, 1, Position.MID)
    with pytest.raises(BlockError, match="must exceed the input channels"):
        get_block("DenseNetBC").build(64, 32, 1, Position.MID)


@pytest.mark.parametrize("channels", [8, 24, 64, 256, 1000])
def test_resnext_groups_have_four_channels(channels: int) -> None:
    enter, grouped, leave = _convs(_build("ResNeXtBottleneck", channels, channels))
    assert grouped.groups == channels // 8
    assert grouped.in_channels == grouped.out_channels == channels // 2
    assert (enter.out_channels, leave.out_channels) == (channels // 2, channels)


@pytest.mark.parametrize(("channels", "width"), [(64, 16), (8, 8), (24, 8), (48, 16), (10, 2)])
def test_regnet_groups_have_sixteen_channels_or_what_divides_them(
    channels: int, width: int
) -> None:
    _, grouped, _ = _convs(_build("RegNetXBlock", channels, channels))
    assert grouped.weight.shape[1] == width


@pytest.mark.parametrize(
    ("position", "channels", "inside"),
    [
        (Position.EARLY, 64, 32),
        (Position.MID, 128, 64),
        (Position.LATE, 256, 80),
        (Position.LATE, 16, 5),
        (Position.LATE, 2, 1),
    ],
)
def test_one_shot_aggregation_width(position: Position, channels: int, inside: int) -> None:
    with torch.device("meta"):
        block = get_block("OSAeSE").build(channels, channels, 1, position)
    filters = [conv.out_channels for conv in _convs(block) if conv.kernel_size == (3, 3)]
    assert filters == [inside] * 3


def test_preactivation_shortcut_is_the_bare_input_where_the_shape_stays() -> None:
    block = get_block("PreActBasicBlock").build(4, 4, 1, Position.MID)
    nn.init.zeros_(_convs(block)[-1].weight)
    images = torch.randn(2, 4, 3, 3)
    assert torch.equal(block(images), images)


def test_nfnet_block_starts_as_the_identity_and_standardises_its_weights() -> None:
    block = get_block("NFNetBlock").build(8, 8, 1, Position.MID).eval()
    images = torch.randn(2, 8, 4, 4)
    assert torch.equal(block(images), images)
    nn.init.ones_(block.get_parameter("skipinit_gain"))
    with torch.no_grad():
        before = block(images)
        assert not torch.allclose(before, images)
        # Standardised weights do not care for the scale or the offset of the raw ones.
        for conv in _convs(block):
            if type(conv) is not nn.Conv2d:
                conv.weight.mul_(3.0).add_(0.5)
        torch.testing.assert_close(block(images), before, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("stride", "layers"), [(1, 3), (2, 2)])
def test_xception_separable_convolutions(stride: int, layers: int) -> None:
    convs = _convs(_build("XceptionBlock", 8, 8, stride).get_submodule("rep"))
    assert len(convs) == 2 * layers
    assert all(conv.stride == (1, 1) for conv in convs)
