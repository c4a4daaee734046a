"""The blocks that are written here: MicroNet's dynamic shift-max and RepLKNet's merged kernels."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from blockzoo.blocks import get_block
from blockzoo.blocks.zoo.dynamic import DYMicroBlock, DynamicShiftMax
from blockzoo.blocks.zoo.large_kernel import LargeKernelConv
from blockzoo.core.position import Position


def _shift_max(channels: int, groups: int, branches: int) -> DynamicShiftMax:
    """Return a shift-max whose coefficients do not depend on the input."""
    module = DynamicShiftMax(channels, groups=groups, branches=branches, reduction=8)
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


def _last_linear(module: DynamicShiftMax) -> nn.Linear:
    layer = module.coefficients[-1]
    assert isinstance(layer, nn.Linear)
    return layer


@pytest.mark.parametrize("branches", [1, 2])
def test_shift_max_starts_as_the_identity(branches: int) -> None:
    images = torch.randn(2, 8, 3, 3)
    assert torch.equal(_shift_max(8, 2, branches)(images), images)


def test_shifted_takes_the_next_channel_of_the_next_group() -> None:
    # Groups (0, 1, 2) and (3, 4, 5): channel c of group g takes c + 1 of g + 1, both cyclic.
    module = _shift_max(6, 2, 1)
    with torch.no_grad():
        # The hard sigmoid of -1.5 is 0.25, so a = 1 + 4 (0.25 - 0.5) = 0; of 1.5, b = 1.
        _last_linear(module).bias.copy_(torch.tensor([-1.5] * 6 + [1.5] * 6))
    images = torch.arange(6.0).view(1, 6, 1, 1)
    assert module(images).flatten().tolist() == [4, 5, 3, 1, 2, 0]


def test_two_branches_take_the_larger_mixture() -> None:
    module = _shift_max(2, 1, 2)
    with torch.no_grad():
        # First branch a = 1, b = 0; second a = 3, b = 0 for channel 0 and a = 0, b = 2 for 1.
        _last_linear(module).bias.copy_(torch.tensor([0.0, 0, 0, 0, 3, -1.5, 0, 3]))
    images = torch.tensor([[2.0, 1.0], [-2.0, 1.0]]).view(2, 2, 1, 1)
    # Image 0: max(2, 6), max(1, 2 * 2). Image 1: max(-2, -6), max(1, 2 * -2).
    assert module(images).flatten().tolist() == [6, 4, -2, 1]


def test_coefficients_stay_within_two_of_their_start() -> None:
    module = _shift_max(4, 2, 1)
    nn.init.constant_(_last_linear(module).bias, 100.0)
    images = torch.ones(1, 4, 2, 2)
    assert torch.equal(module(images), torch.full_like(images, (1 + 2) + 2))


@pytest.mark.parametrize(
    ("in_channels", "out_channels", "position", "squeezed"),
    [
        # 384 / 8, 384 / 8, and 64 / 4: the last shift-max has half the reduction.
        (64, 64, Position.EARLY, [48, 48, 16]),
        # 768 / 16, 768 / 16, 128 / 8.
        (128, 128, Position.MID, [48, 48, 16]),
        # 96 / 16 = 6 rounds to 8, 16 / 8 = 2 rises to 4.
        (16, 16, Position.LATE, [8, 8, 4]),
    ],
)
def test_squeezed_widths(
    in_channels: int, out_channels: int, position: Position, squeezed: list[int]
) -> None:
    block = get_block("DYMicroBlock").build(in_channels, out_channels, 1, position)
    shift_maxes = [child for child in block.modules() if isinstance(child, DynamicShiftMax)]
    assert [module.coefficients[2].out_features for module in shift_maxes] == squeezed
    assert [module.branches for module in shift_maxes] == [2, 2, 1]


@pytest.mark.parametrize(
    ("in_channels", "out_channels", "groups"),
    [
        (64, 64, [8, 8]),
        (64, 128, [8, 8]),
        (128, 128, [16, 8]),
        (128, 256, [16, 16]),
        (16, 32, [8, 8]),
        (10, 10, [5, 5]),
        (30, 30, [6, 6]),
        (34, 34, [2, 2]),
    ],
)
def test_groups_divide_the_channels(in_channels: int, out_channels: int, groups: list[int]) -> None:
    with torch.device("meta"):
        block = get_block("DYMicroBlock").build(in_channels, out_channels, 1, Position.MID)
    hidden = 6 * in_channels
    convs = [child for child in block.modules() if isinstance(child, nn.Conv2d)]
    assert [conv.groups for conv in convs] == [groups[0], hidden, hidden, groups[1]]
    shift_maxes = [child for child in block.modules() if isinstance(child, DynamicShiftMax)]
    assert [module.groups for module in shift_maxes] == [groups[0], hidden // groups[0], groups[1]]


def test_dymicro_block_has_no_activation_but_its_shift_maxes() -> None:
    block = get_block("DYMicroBlock").build(16, 16, 1, Position.MID)
    assert isinstance(block, DYMicroBlock)
    kinds = {type(layer) for layer in block.layers if not isinstance(layer, nn.Sequential)}
    assert kinds == {DynamicShiftMax, nn.ChannelShuffle}
    inside = {type(layer) for group in block.layers for layer in group.children()}
    assert inside & {nn.ReLU, nn.ReLU6, nn.GELU, nn.Hardswish} == set()


def test_dymicro_block_factorises_its_depthwise_convolution_and_its_stride() -> None:
    with torch.device("meta"):
        block = get_block("DYMicroBlock").build(64, 128, 2, Position.EARLY)
    tall, wide = [child for child in block.modules() if isinstance(child, nn.Conv2d)][1:3]
    assert (tall.kernel_size, tall.stride) == ((5, 1), (2, 1))
    assert (wide.kernel_size, wide.stride) == ((1, 5), (1, 2))


@given(small=st.sampled_from([1, 3, 5]), extra=st.integers(0, 4), channels=st.integers(1, 4))
def test_merged_kernel_is_the_large_one_plus_the_centred_small_one(
    small: int, extra: int, channels: int
) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        conv = LargeKernelConv(channels, small + 2 * extra, ((small, 1),))
        conv(torch.randn(4, channels, 5, 6) + 1)
        images = torch.randn(2, channels, 5, 6)
    conv.eval()
    expected = conv(images)
    conv.reparameterize()
    assert conv.merged is not None
    assert conv.merged.weight.shape == (channels, 1, *[small + 2 * extra] * 2)
    torch.testing.assert_close(conv(images), expected, rtol=1e-4, atol=1e-5)
    assert {name for name, _ in conv.named_parameters()} == {"merged.weight", "merged.bias"}


def test_merging_twice_changes_nothing() -> None:
    conv = LargeKernelConv(2, 7, ((3, 1),)).eval()
    conv.reparameterize()
    merged = conv.merged
    conv.reparameterize()
    assert conv.merged is merged


@pytest.mark.parametrize(
    ("position", "kernel_size"), [(Position.EARLY, 29), (Position.MID, 27), (Position.LATE, 13)]
)
def test_replknet_kernels_by_position(position: Position, kernel_size: int) -> None:
    with torch.device("meta"):
        block = get_block("ReparamLargeKernelConv").build(8, 8, 1, position)
    (mix,) = [child for child in block.modules() if isinstance(child, LargeKernelConv)]
    sizes = [layer.kernel_size for layer in mix.modules() if isinstance(layer, nn.Conv2d)]
    assert sizes == [(kernel_size, kernel_size), (5, 5)]


def test_dymicro_block_shuffles_by_groups_and_by_pairs() -> None:
    with torch.device("meta"):
        block = get_block("DYMicroBlock").build(128, 256, 2, Position.LATE)
    shuffles = [child for child in block.modules() if isinstance(child, nn.ChannelShuffle)]
    # Hidden width 768: 16 groups, 768 / 4 = 192; output: 16 groups, 256 / 2 = 128.
    assert [shuffle.groups for shuffle in shuffles] == [16, 192, 16, 128]


@pytest.mark.parametrize(
    ("out_channels", "stride", "skips"), [(8, 1, True), (16, 1, False), (8, 2, False)]
)
def test_dymicro_block_adds_its_input_only_where_the_shape_stays(
    out_channels: int, stride: int, skips: bool
) -> None:
    block = get_block("DYMicroBlock").build(8, out_channels, stride, Position.MID)
    silent = [child for child in block.modules() if isinstance(child, nn.BatchNorm2d)][-1]
    nn.init.zeros_(silent.weight)
    images = torch.randn(2, 8, 4, 4)
    output = block(images)
    assert torch.equal(output, images if skips else torch.zeros_like(output))


def test_both_halves_of_the_replknet_block_add_their_input() -> None:
    block = get_block("ReparamLargeKernelConv").build(4, 4, 1, Position.LATE).eval()
    images = torch.randn(2, 4, 5, 5)
    for last in ("0.leave.1", "1.narrow.1"):
        assert not torch.equal(block(images), images)
        nn.init.zeros_(block.get_parameter(f"{last}.weight"))
    assert torch.equal(block(images), images)
