"""Whole networks of compact blocks, assembled from the zoo, have their papers' parameters."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from blockzoo.blocks import get_block
from blockzoo.blocks.zoo.layers import conv_bn
from blockzoo.core.position import Position


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _squeezenext_23v5() -> nn.Module:
    build = get_block("SqueezeNext").build
    blocks: list[nn.Module] = []
    before = 64
    for stage, (depth, width) in enumerate(zip((2, 4, 14, 1), (32, 64, 128, 256), strict=True)):
        blocks.append(build(before, width, 1 if stage == 0 else 2, Position.MID))
        blocks += [build(width, width, 1, Position.MID) for _ in range(depth - 1)]
        before = width
    head = [conv_bn(256, 128), nn.Linear(128, 1000)]
    return nn.Sequential(conv_bn(3, 64, 5, stride=2), *blocks, *head)


def test_squeezenext_23v5() -> None:
    with torch.device("meta"):
        assert _parameters(_squeezenext_23v5()) == 931_016


def _squeezenet_1_1() -> nn.Module:
    build = get_block("SqueezeNetFire").build
    widths = (64, 128, 128, 256, 256, 384, 384, 512, 512)
    fires = [build(before, width, 1, Position.MID) for before, width in pairwise(widths)]
    return nn.Sequential(nn.Conv2d(3, 64, 3), *fires, nn.Conv2d(512, 1000, 1))


def test_squeezenet_1_1() -> None:
    with torch.device("meta"):
        assert _parameters(_squeezenet_1_1()) == 1_235_496
