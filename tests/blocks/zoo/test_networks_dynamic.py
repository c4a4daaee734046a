"""Whole networks of dynamic blocks, assembled from the zoo, have their papers' parameters."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import nn

from blockzoo.blocks import get_block
from blockzoo.blocks.zoo.deformable import DCNv3
from blockzoo.blocks.zoo.dynamic_kernels import ODBasicBlock
from blockzoo.blocks.zoo.involution import Involution
from blockzoo.blocks.zoo.layers import conv_bn
from blockzoo.core.position import Position


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _odconv_resnet18(kernels: int) -> nn.Module:
    blocks: list[nn.Module] = []
    for stage, (before, width) in enumerate(pairwise((64, 64, 128, 256, 512))):
        stride = 1 if stage == 0 else 2
        blocks += [
            ODBasicBlock(before, width, stride, kernels=kernels),
            ODBasicBlock(width, width, 1, kernels=kernels),
        ]
    return nn.Sequential(conv_bn(3, 64, 7, stride=2), *blocks, nn.Linear(512, 1000))


@pytest.mark.parametrize(("kernels", "parameters"), [(4, 44_901_640), (1, 11_943_944)])
def test_odconv_resnet18(kernels: int, parameters: int) -> None:
    with torch.device("meta"):
        assert _parameters(_odconv_resnet18(kernels)) == parameters


def _rednet50() -> nn.Module:
    build = get_block("RedNetInvolution").build
    blocks: list[nn.Module] = []
    widths = (64, 256, 512, 1024, 2048)
    for stage, ((before, width), depth) in enumerate(
        zip(pairwise(widths), (3, 4, 6, 3), strict=True)
    ):
        blocks.append(build(before, width, 1 if stage == 0 else 2, Position.MID))
        blocks += [build(width, width, 1, Position.MID) for _ in range(depth - 1)]
    stem = [
        conv_bn(3, 32, 3, stride=2),
        Involution(32, 3),
        nn.BatchNorm2d(32),
        conv_bn(32, 64, 3),
    ]
    return nn.Sequential(*stem, *blocks, nn.Linear(2048, 1000))


def test_rednet50() -> None:
    with torch.device("meta"):
        network = _rednet50()
    # The paper prints 15.5 million.
    assert _parameters(network) == 15_540_806


def test_dcnv3() -> None:
    with torch.device("meta"):
        assert _parameters(DCNv3(64, 4)) == 16_108


def _internimage_tiny() -> nn.Module:
    build = get_block("InternImageDCNv3").build
    layers: list[nn.Module] = [
        nn.Conv2d(3, 32, 3),
        nn.LayerNorm(32),
        nn.Conv2d(32, 64, 3),
        nn.LayerNorm(64),
    ]
    for stage, depth in enumerate((4, 4, 18, 4)):
        width = 64 << stage
        first = build(width if stage == 0 else width // 2, width, 2 if stage else 1, Position.MID)
        layers += [first, *(build(width, width, 1, Position.MID) for _ in range(depth - 1))]
        layers.append(nn.LayerNorm(width))
    head = [conv_bn(512, 768), nn.Linear(768, 1000)]
    return nn.Sequential(*layers, *head)


def test_internimage_tiny() -> None:
    with torch.device("meta"):
        network = _internimage_tiny()
    # The paper prints 30 million.
    assert _parameters(network) == 29_918_424
