"""The modern blocks: the ConvMixer layer that is written here, and what the others keep."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from blockzoo.blocks import get_block
from blockzoo.blocks.zoo.convnext import ConvMixerLayer
from blockzoo.core.position import Position


def test_convmixer_layer_by_hand() -> None:
    layer = ConvMixerLayer(1, 3).eval()
    kernel = layer.get_parameter("spatial.0.weight")
    nn.init.zeros_(kernel)
    nn.init.ones_(kernel[0, 0, 0, :1])
    nn.init.constant_(layer.get_parameter("spatial.0.bias"), 0.5)
    nn.init.constant_(layer.get_parameter("channel.0.weight"), 2.0)
    nn.init.constant_(layer.get_parameter("channel.0.bias"), -1.0)
    image = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    # The only weight looks one up and one left: 1 for the last pixel, the padding for the others.
    looked = torch.tensor([[[[0.0, 0.0], [0.0, 1.0]]]]) + 0.5
    # In eval mode a fresh BN divides by sqrt(1 + 1e-5).
    scale = 1 / (1 + 1e-5) ** 0.5
    inner = image + F.gelu(looked) * scale
    torch.testing.assert_close(layer(image), F.gelu(2 * inner - 1) * scale)


@pytest.mark.parametrize(("channels", "parameters"), [(64, 9_664), (128, 27_520)])
def test_convmixer_layer_parameters(channels: int, parameters: int) -> None:
    with torch.device("meta"):
        layer = get_block("ConvMixerLayer").build(channels, channels, 1, Position.EARLY)
    assert sum(parameter.numel() for parameter in layer.parameters()) == parameters


@pytest.mark.parametrize(
    ("name", "scale"),
    [("ConvNeXtBlock", 1e-6), ("EdgeNeXtConvEncoder", 1e-6), ("SwiftFormerConvEncoder", 1.0)],
)
def test_layer_scales_keep_the_papers_start(name: str, scale: float) -> None:
    block = get_block(name).build(8, 8, 1, Position.MID)
    (gamma,) = [value for key, value in block.named_parameters() if key.endswith("gamma")]
    torch.testing.assert_close(gamma, torch.full_like(gamma, scale))


def test_convnext_v2_normalises_responses_and_has_no_layer_scale() -> None:
    block = get_block("ConvNeXtV2Block").build(8, 8, 1, Position.MID)
    names = [key for key, _ in block.named_parameters()]
    assert any("grn" in name for name in names)
    assert not any(name.endswith("gamma") for name in names)


@pytest.mark.parametrize(("channels", "groups"), [(64, 2), (256, 8), (16, 1), (48, 3), (10, 5)])
def test_nextvit_heads_have_32_channels_or_the_power_of_two_that_divides_them(
    channels: int, groups: int
) -> None:
    block = get_block("NextViTNCB").build(channels, channels, 1, Position.MID)
    conv = block.get_submodule("mhca.group_conv3x3")
    assert isinstance(conv, nn.Conv2d)
    assert conv.groups == groups


def test_coatnet_shortcut_averages_the_border_of_odd_sizes_over_what_is_there() -> None:
    block = get_block("MBConvCoAtNet").build(4, 4, 2, Position.MID)
    pool = block.get_submodule("shortcut.pool")
    image = torch.tensor([[[[1.0, 3.0, 5.0], [1.0, 3.0, 7.0], [2.0, 4.0, 9.0]]]])
    assert pool(image).tolist() == [[[[2.0, 6.0], [3.0, 9.0]]]]


@pytest.mark.parametrize("name", ["ConvNeXtBlock", "ConvMixerLayer", "FasterNetPConv"])
def test_patch_convolution_sees_the_last_row_of_an_odd_map(name: str) -> None:
    block = get_block(name).build(4, 8, 2, Position.MID).eval()
    images = torch.randn(1, 4, 5, 5)
    changed = images.clone()
    changed[..., 4, :] += torch.randn(1, 4, 5)
    with torch.no_grad():
        assert not torch.allclose(block(images), block(changed))
