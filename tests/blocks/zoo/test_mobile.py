"""The mobile blocks that are written here, and how the library's are set: numbers and structure."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from timm.models.ghostnet import GhostBottleneck
from torch import nn

from blockzoo.blocks import get_block
from blockzoo.blocks.zoo.mobile import SandGlass
from blockzoo.blocks.zoo.shuffle import ShuffleUnit
from blockzoo.core.position import Position


def _convs(block: nn.Module) -> list[nn.Conv2d]:
    return [layer for layer in block.modules() if isinstance(layer, nn.Conv2d)]


def _silence(block: nn.Module) -> None:
    """Set the last BN to zero, so that only the shortcut is left."""
    nn.init.zeros_(
        [layer for layer in block.modules() if isinstance(layer, nn.BatchNorm2d)][-1].weight
    )


@pytest.mark.parametrize(
    ("in_channels", "out_channels", "waist"),
    [
        (64, 64, 16),  # 64 / 6 = 10 is below 10.67, which rounds to 16
        (64, 128, 32),  # 10 is below 21.3; 22 rounds to 16, which loses a tenth: 32
        (128, 128, 32),
        (128, 256, 48),
        (96, 96, 16),  # exactly a sixth
        (144, 144, 24),
        (16, 16, 16),
    ],
)
def test_sand_glass_waist(in_channels: int, out_channels: int, waist: int) -> None:
    with torch.device("meta"):
        block = SandGlass(in_channels, out_channels, 2)
    assert min(conv.out_channels for conv in _convs(block)) == waist


@pytest.mark.parametrize(
    ("out_channels", "stride", "always", "filters"),
    [
        (24, 1, False, [24, 24]),
        (24, 2, False, [24, 24]),
        (48, 2, False, [48]),
        (48, 1, False, []),
        (48, 1, True, [24, 48]),
    ],
)
def test_sand_glass_depthwise_convolutions(
    out_channels: int, stride: int, always: bool, filters: list[int]
) -> None:
    block = SandGlass(24, out_channels, stride, always_filters=always)
    depthwise = [conv for conv in _convs(block) if conv.kernel_size == (3, 3)]
    assert [conv.groups for conv in depthwise] == filters
    assert [conv.stride[0] for conv in depthwise[:-1]] == [1] * len(depthwise[:-1])
    assert all(conv.stride[0] == stride for conv in depthwise[-1:])


def test_sand_glass_is_linear_at_its_waist_and_at_its_end() -> None:
    block = SandGlass(24, 24, 1)
    activated = [
        any(isinstance(layer, nn.ReLU6) for layer in group.children())
        for group in block.layers.children()
    ]
    assert activated == [True, False, True, False]


@pytest.mark.parametrize(
    ("out_channels", "stride", "skips"), [(8, 1, True), (16, 1, False), (8, 2, False)]
)
def test_sand_glass_adds_its_input_only_where_the_shape_stays(
    out_channels: int, stride: int, skips: bool
) -> None:
    block = SandGlass(8, out_channels, stride, always_filters=True)
    _silence(block)
    images = torch.randn(2, 8, 4, 4)
    output = block(images)
    assert torch.equal(output, images if skips else torch.zeros_like(output))


def test_shuffle_unit_concatenates_the_pooled_input_where_it_grows() -> None:
    block = ShuffleUnit(8, 16, 2).eval()
    images = torch.arange(8.0 * 16).view(1, 8, 4, 4) - 64
    output = block(images)
    # The first window of the 3x3 average is cut to 2x2 of 9 by the padding.
    assert output[0, 7, 0, 0].item() == pytest.approx((48 + 49 + 52 + 53) / 9)
    assert torch.equal(output[:, :8], F.relu(F.avg_pool2d(images, 3, 2, 1)))
    _silence(block)
    assert not block(images)[:, 8:].any()


@pytest.mark.parametrize("stride", [1, 2])
def test_shuffle_unit_adds_its_input_where_the_channels_stay(stride: int) -> None:
    block = ShuffleUnit(8, 8, stride)
    _silence(block)
    images = torch.randn(2, 8, 4, 4)
    shortcut = images if stride == 1 else F.avg_pool2d(images, 3, 2, 1)
    assert torch.equal(block(images), F.relu(shortcut))


@pytest.mark.parametrize(
    ("in_channels", "out_channels", "groups"),
    [(64, 64, 4), (64, 128, 4), (16, 32, 4), (8, 8, 2), (20, 20, 1), (12, 36, 1)],
)
def test_shuffle_unit_groups_divide_its_channels(
    in_channels: int, out_channels: int, groups: int
) -> None:
    block = ShuffleUnit(in_channels, out_channels, 2)
    inside = out_channels // 4
    assert [conv.groups for conv in _convs(block)] == [groups, inside, groups]
    assert [conv.in_channels for conv in _convs(block)] == [in_channels, inside, inside]
    (shuffle,) = [layer for layer in block.modules() if isinstance(layer, nn.ChannelShuffle)]
    assert shuffle.groups == groups


@pytest.mark.parametrize("name", ["ShuffleNetV1Unit", "ShuffleNetV2Unit"])
def test_shuffle_units_project_where_only_the_channels_change(name: str) -> None:
    block = get_block(name).build(8, 16, 1, Position.MID)
    assert isinstance(block, nn.Sequential)
    assert _convs(block[0])[0].weight.shape == (16, 8, 1, 1)


@pytest.mark.parametrize(
    ("name", "kernels"),
    [
        ("MobileNetV3Block", [3, 5, 5]),
        ("MBConvEfficientNet", [3, 5, 5]),
        ("MBConvMnasNet", [3, 5, 5]),
        ("PPLCNetDepthSepConv", [3, 3, 5]),
        ("EdgeNeXtConvEncoder", [3, 5, 7]),
    ],
)
def test_depthwise_kernels_by_position(name: str, kernels: list[int]) -> None:
    for position, kernel_size in zip(Position, kernels, strict=True):
        with torch.device("meta"):
            block = get_block(name).build(16, 16, 1, position)
        (depthwise,) = [conv for conv in _convs(block) if conv.groups > 1]
        assert depthwise.kernel_size == (kernel_size, kernel_size)


@pytest.mark.parametrize(
    ("name", "position", "squeezed"),
    [
        ("MobileNetV3Block", Position.EARLY, None),
        ("MobileNetV3Block", Position.MID, 3 * 64 // 4),
        ("MobileNetV3Block", Position.LATE, 6 * 64 // 4),
        ("MBConvEfficientNet", Position.EARLY, 64 // 4),
        ("MBConvEfficientNet", Position.LATE, 64 // 4),
    ],
)
def test_squeeze_excite_widths(name: str, position: Position, squeezed: int | None) -> None:
    with torch.device("meta"):
        block = get_block(name).build(64, 64, 1, position)
    widths = [conv.out_channels for key, conv in block.named_modules() if "conv_reduce" in key]
    assert widths == ([] if squeezed is None else [squeezed])


@pytest.mark.parametrize("name", ["GhostBottleneckV1", "GhostBottleneckV2"])
def test_ghost_bottlenecks_filter_inside_only_where_they_stride(name: str) -> None:
    for stride, filters in ((1, False), (2, True)):
        block = get_block(name).build(8, 8, stride, Position.MID)
        assert isinstance(block, GhostBottleneck)
        assert (block.conv_dw is not None) == filters


def test_rexnet_adds_its_input_to_the_first_channels() -> None:
    block = get_block("ReXNetLinearBottleneck").build(4, 6, 1, Position.EARLY)
    _silence(block)
    images = torch.randn(1, 4, 3, 3)
    output = block(images)
    assert torch.equal(output[:, :4], images)
    assert not output[:, 4:].any()


def test_fasternet_convolves_a_quarter_of_the_channels() -> None:
    block = get_block("FasterNetPConv").build(16, 16, 1, Position.EARLY)
    assert _convs(block.get_submodule("spatial_mixing"))[0].weight.shape == (4, 4, 3, 3)
