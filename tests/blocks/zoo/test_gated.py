"""Gated blocks written here: HorNet's recursive products and MogaNet's aggregation by hand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockzoo.blocks import get_block
from blockzoo.blocks.zoo.gated import GnConv, HorBlock
from blockzoo.blocks.zoo.layers import ScaledResidual
from blockzoo.blocks.zoo.multi_order import (
    Decomposition,
    MogaBlock,
    MultiOrderContext,
    MultiOrderGatedAggregation,
)
from blockzoo.core.errors import BlockError
from blockzoo.core.position import Position


@pytest.fixture(autouse=True)
def _seed() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def _fill(module: nn.Module, value: float) -> None:
    """Set all weights of the convolutions in `module` to `value`, their biases to zero."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.constant_(layer.weight, value)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)


def _pixel(*values: float) -> Tensor:
    return torch.tensor(values).view(1, -1, 1, 1)


@pytest.mark.parametrize(
    ("order", "widths"), [(1, [16]), (2, [8, 16]), (3, [4, 8, 16]), (4, [2, 4, 8, 16])]
)
def test_gnconv_widths_double(order: int, widths: list[int]) -> None:
    conv = GnConv(16, order)
    assert conv.widths == widths
    assert conv.filter.groups == sum(widths)
    # q_0 and what is filtered together are twice the channels.
    assert widths[0] + sum(widths) == 32


def test_gnconv_of_order_1_by_hand() -> None:
    conv = GnConv(1, 1)
    _fill(conv, 2.0)
    # q_0 = f = 2 * 3; filtered 2 * 6 / 3 = 4; q_1 = 6 * 4; y = 2 * 24.
    assert conv(_pixel(3.0)).item() == pytest.approx(48)


def test_gnconv_of_order_3_by_hand() -> None:
    conv = GnConv(4, 3)
    _fill(conv, 1.0)
    with torch.no_grad():
        # Every channel of q_0 and f is 2 * 1.5 = 3; filtered with a middle weight of 1, 3 / 3 = 1.
        conv.enter.weight.fill_(0.0)
        conv.enter.weight[:, 0] = 2.0
        # ... but for the last part of four channels, which is twice that.
        conv.filter.weight[3:] = 2.0
    # q_1 = 3 * 1 (1 channel); q_2 = 3 * 1 (2 channels); q_3 = (3 + 3) * 2 (4 channels);
    # y = the sum of four times 12.
    assert conv(_pixel(1.5, 7.0, 7.0, 7.0)).flatten().tolist() == pytest.approx([48] * 4)


@pytest.mark.parametrize(
    ("position", "order"), [(Position.EARLY, 2), (Position.MID, 3), (Position.LATE, 4)]
)
def test_gnconv_order_by_position(position: Position, order: int) -> None:
    with torch.device("meta"):
        block = get_block("HorNetGnConv").build(16, 16, 1, position)
    (conv,) = [child for child in block.modules() if isinstance(child, GnConv)]
    assert len(conv.widths) == order


def test_gnconv_refuses_channels_that_cannot_be_halved() -> None:
    with pytest.raises(BlockError, match=r"out=12.*multiple of 8 for order 4"):
        get_block("HorNetGnConv").build(12, 12, 1, Position.LATE)


@pytest.mark.parametrize("block", [HorBlock(4, 3), MogaBlock(8, 2)])
def test_both_halves_add_their_input(block: nn.Sequential) -> None:
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.5)
    images = torch.randn(2, 4 if isinstance(block, HorBlock) else 8, 5, 5)
    for half in block:
        assert isinstance(half, ScaledResidual)
        assert not torch.equal(half(images), images)
        nn.init.zeros_(half.gamma)
    assert torch.equal(block(images), images)


def test_decomposition_strengthens_what_is_not_common() -> None:
    module = Decomposition(1, nn.AdaptiveAvgPool2d(1))
    images = torch.tensor([1.0, 3.0]).view(1, 1, 1, 2)
    torch.testing.assert_close(module(images), images, rtol=0, atol=1e-4)
    nn.init.constant_(module.strength, 2.0)
    # The mean is 2: 1 + 2 (1 - 2) and 3 + 2 (3 - 2).
    assert module(images).flatten().tolist() == [-1, 5]


@pytest.mark.parametrize(
    ("channels", "widths"), [(64, (8, 24, 32)), (16, (2, 6, 8)), (10, (2, 3, 5)), (3, (1, 1, 1))]
)
def test_orders_share_the_channels_1_to_3_to_4(channels: int, widths: tuple[int, int, int]) -> None:
    context = MultiOrderContext(channels)
    assert context.widths == widths
    assert context(torch.randn(1, channels, 3, 3)).shape == (1, channels, 3, 3)


def test_multi_order_context_refuses_what_it_cannot_split() -> None:
    with pytest.raises(BlockError, match="output channels must be 3 or more"):
        get_block("MogaNetBlock").build(2, 2, 1, Position.EARLY)


@pytest.mark.parametrize(
    ("channel", "reach"), [(0, 2), (1, 2 + 4), (3, 2 + 4), (4, 2 + 9), (7, 11)]
)
def test_orders_reach_further_and_further(channel: int, reach: int) -> None:
    context = MultiOrderContext(8)
    _fill(context, 1.0)
    nn.init.dirac_(context.mix.weight)
    seen = torch.zeros(1, 8, 31, 31)
    seen[0, :, 15, 15] = 1
    columns = context(seen)[0, channel].any(0).nonzero().flatten().tolist()
    assert (columns[0], columns[-1]) == (15 - reach, 15 + reach)


def test_gated_aggregation_by_hand() -> None:
    aggregation = MultiOrderGatedAggregation(8)
    for layer in aggregation.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.dirac_(layer.weight, groups=layer.groups)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
    images = torch.randn(1, 8, 1, 1)
    # On one pixel nothing differs from the mean, and convolutions that copy leave silu's alone.
    entered = F.silu(images)
    expected = images + F.silu(entered) * F.silu(entered)
    torch.testing.assert_close(aggregation(images), expected)


@pytest.mark.parametrize(
    ("position", "hidden"), [(Position.EARLY, 128), (Position.MID, 128), (Position.LATE, 64)]
)
def test_moganet_expansion_by_position(position: Position, hidden: int) -> None:
    with torch.device("meta"):
        block = get_block("MogaNetBlock").build(16, 16, 1, position)
    assert block.get_submodule("1.branch.1").out_channels == hidden


@pytest.mark.parametrize("name", ["StarNetBlock", "GatedCNNMambaOut", "FocalNetBlock"])
def test_gated_blocks_of_timm_add_their_input(name: str) -> None:
    block = get_block(name).build(8, 8, 1, Position.MID).eval()
    images = torch.randn(2, 8, 5, 4)
    assert not torch.equal(block(images), images)
    for key, parameter in block.named_parameters():
        if any(last in key for last in ("dwconv2.", "fc2.", "proj.")):
            nn.init.zeros_(parameter)
    assert torch.equal(block(images), images)
