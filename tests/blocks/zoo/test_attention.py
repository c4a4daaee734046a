"""Attention blocks: what the libraries' wraps were asked for, and self-calibration by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from timm.layers.coord_attn import CoordAttn
from timm.layers.eca import EcaModule
from timm.layers.squeeze_excite import SEModule
from torch import nn

from blockzoo.blocks import get_block
from blockzoo.blocks.zoo.self_calibrated import SelfCalibratedConv
from blockzoo.core.errors import BlockError
from blockzoo.core.position import Position


def _build(name: str, in_channels: int, out_channels: int, stride: int = 1) -> nn.Module:
    with torch.device("meta"):
        return get_block(name).build(in_channels, out_channels, stride, Position.MID)


@pytest.mark.parametrize("name", ["SKBottleneck", "ResNeStBottleneck", "SCNetBottleneck"])
def test_widths_that_eight_does_not_divide_are_refused(name: str) -> None:
    with pytest.raises(BlockError, match=r"out=20.*output channels must be a multiple of 8"):
        _build(name, 16, 20)


def _only(block: nn.Module, kind: type[nn.Module]) -> nn.Module:
    (found,) = (module for module in block.modules() if isinstance(module, kind))
    return found


@pytest.mark.parametrize(("channels", "squeezed"), [(256, 16), (64, 4), (48, 3), (8, 1)])
def test_squeeze_excite_reduces_by_sixteen_and_not_to_multiples_of_eight(
    channels: int, squeezed: int
) -> None:
    attention = _only(_build("SEBasicBlock", channels, channels), SEModule)
    assert attention.get_parameter("fc1.weight").shape == (squeezed, channels, 1, 1)


@pytest.mark.parametrize(("channels", "kernel_size"), [(8, 3), (64, 3), (128, 5), (256, 5)])
def test_channel_attention_spans_more_channels_where_there_are_more(
    channels: int, kernel_size: int
) -> None:
    attention = _only(_build("ECABasicBlock", channels, channels), EcaModule)
    assert attention.get_parameter("conv.weight").shape == (1, 1, kernel_size)


@pytest.mark.parametrize("channels", [8, 24, 192, 640])
def test_selective_kernels_have_groups_of_four_at_every_width(channels: int) -> None:
    convs = [
        module
        for module in _build("SKBottleneck", channels, channels).modules()
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3)
    ]
    assert [conv.dilation[0] for conv in convs] == [1, 2]
    assert {conv.in_channels for conv in convs} == {channels // 2}
    assert {conv.in_channels // conv.groups for conv in convs} == {4}


@pytest.mark.parametrize(
    ("name", "channels", "group_width"),
    [
        ("RegNetYBlock", 64, 16),
        ("RegNetYBlock", 24, 8),
        ("RegNetYBlock", 10, 2),
        ("RegNetZBlock", 64, 16),
        ("RegNetZBlock", 24, 16),
        ("RegNetZBlock", 10, 8),
    ],
)
def test_regnet_groups_are_sixteen_wide_or_divide_sixteen(
    name: str, channels: int, group_width: int
) -> None:
    (conv,) = (
        module
        for module in _build(name, channels, channels).modules()
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3)
    )
    assert conv.in_channels // conv.groups == group_width


@pytest.mark.parametrize(("out_channels", "stride"), [(32, 1), (16, 2), (32, 2)])
def test_regnet_z_has_no_shortcut_where_the_shape_changes(out_channels: int, stride: int) -> None:
    block = get_block("RegNetZBlock").build(16, out_channels, stride, Position.MID)
    nn.init.zeros_(block.get_parameter("conv3.bn.weight"))
    assert not block(torch.randn(2, 16, 4, 4)).any()


def test_coordinate_attention_keeps_its_own_activation() -> None:
    attention = _only(_build("CoordAttnMobileNetV2", 128, 128), CoordAttn)
    assert isinstance(attention.get_submodule("act"), nn.Hardswish)
    # 6 * 128 / 32 = 24.
    assert attention.get_parameter("conv1.weight").shape == (24, 768, 1, 1)


def _plain(conv: SelfCalibratedConv) -> SelfCalibratedConv:
    """Make all three convolutions the identity, so that only the gate is left."""
    for layer in (conv.context, conv.filter, conv.leave):
        nn.init.dirac_(layer.get_parameter("0.weight"))
    return conv.eval()


def test_self_calibration_weighs_by_the_pixel_and_its_surroundings() -> None:
    conv = _plain(SelfCalibratedConv(2))
    x = torch.full((1, 2, 8, 8), 2.0)
    # Constant features: their pooled context is the same, so the gate is sigmoid(2 + 2).
    expected = torch.full_like(x, 2 / (1 + torch.tensor(-4.0).exp().item()))
    torch.testing.assert_close(conv(x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("size", "pooled"), [((8, 9), (2, 2)), ((7, 6), (1, 1)), ((2, 3), (1, 1))])
def test_self_calibration_pools_by_four_or_what_there_is(
    size: tuple[int, int], pooled: tuple[int, int]
) -> None:
    conv = _plain(SelfCalibratedConv(3))
    seen: list[torch.Size] = []
    conv.context.register_forward_hook(lambda _, __, output: seen.append(output.shape[-2:]))
    x = torch.randn(2, 3, *size)
    output = conv(x)
    assert seen == [pooled]
    if pooled == (1, 1):
        window = x[..., :4, :4].mean((2, 3), keepdim=True)
        expected = x * torch.sigmoid(x + window)
        torch.testing.assert_close(output, expected, rtol=1e-3, atol=1e-4)


def test_self_calibration_enlarges_its_context_bilinearly() -> None:
    conv = _plain(SelfCalibratedConv(1))
    x = torch.randn(1, 1, 8, 8)
    context = F.interpolate(F.avg_pool2d(x, 4), scale_factor=4, mode="bilinear")
    torch.testing.assert_close(conv(x), x * torch.sigmoid(x + context), rtol=1e-3, atol=1e-4)


def test_scnet_halves_are_an_eighth_of_the_output() -> None:
    block = _build("SCNetBottleneck", 64, 128, 2)
    convs = [module for module in block.modules() if isinstance(module, nn.Conv2d)]
    assert sum(conv.kernel_size == (3, 3) for conv in convs) == 4
    assert {conv.in_channels for conv in convs if conv.kernel_size == (3, 3)} == {16}
    assert sum(conv.stride == (2, 2) for conv in convs) == 3


def test_spatial_attention_of_csatv2_gates_its_branch() -> None:
    block = get_block("CSATv2Block").build(8, 8, 1, Position.MID)
    images = torch.randn(2, 8, 5, 6)
    for parameter in block.get_submodule("attn").parameters():
        nn.init.zeros_(parameter)
    assert torch.equal(block(images), images)
