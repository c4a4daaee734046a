"""Whole networks of the mobile and modern papers, assembled from the blocks: exact parameters."""

from __future__ import annotations

import torch
from torch import nn

from blockzoo.blocks.zoo.convnext import ConvMixerLayer
from blockzoo.blocks.zoo.layers import conv_bn
from blockzoo.blocks.zoo.mobile import SandGlass
from blockzoo.blocks.zoo.shuffle import ShuffleUnit

# (reduction, channels, blocks, stride of the first) of MobileNeXt 1.0's stages.
_MOBILENEXT = [
    (2, 96, 1, 2),
    (6, 144, 1, 1),
    (6, 192, 3, 2),
    (6, 288, 3, 2),
    (6, 384, 4, 1),
    (6, 576, 4, 2),
    (6, 960, 3, 1),
    (6, 1280, 1, 1),
]


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _mobilenext() -> nn.Module:
    layers: list[nn.Module] = [conv_bn(3, 32, 3, stride=2, activation=nn.ReLU6())]
    width = 32
    for reduction, channels, blocks, stride in _MOBILENEXT:
        # The first block and the stages of one block keep both depthwise convolutions.
        always = reduction == 2 or (blocks == 1 and stride == 1)
        for index in range(blocks):
            step = stride if index == 0 else 1
            layers.append(
                SandGlass(width, channels, step, reduction=reduction, always_filters=always)
            )
            width = channels
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 1000))


def test_mobilenext_has_its_published_parameters() -> None:
    with torch.device("meta"):
        net = _mobilenext()
        assert net(torch.empty(1, 3, 64, 64)).shape == (1, 1000)
    assert _parameters(net) == 3_535_416


def test_shufflenet_with_four_groups_has_its_published_parameters() -> None:
    with torch.device("meta"):
        layers: list[nn.Module] = [conv_bn(3, 24, 3, stride=2, activation=nn.ReLU())]
        width = 24
        for channels, units in ((272, 4), (544, 8), (1088, 4)):
            for index in range(units):
                layers.append(ShuffleUnit(width, channels, 2 if index == 0 else 1))
                width = channels
        net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 1000))
        assert net(torch.empty(1, 3, 64, 64)).shape == (1, 1000)
    # The paper does not divide the very first 1x1 convolution, 24 to 68 channels, into groups.
    assert _parameters(net) + 24 * 68 - 24 * 68 // 4 == 1_968_344


def test_convmixer_1024_20_has_its_published_parameters() -> None:
    with torch.device("meta"):
        stem = [nn.Conv2d(3, 1024, 14, 14), nn.GELU(), nn.BatchNorm2d(1024)]
        net = nn.Sequential(
            *stem,
            *(ConvMixerLayer(1024, 9) for _ in range(20)),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(1024, 1000),
        )
    assert _parameters(net) == 24_383_464
