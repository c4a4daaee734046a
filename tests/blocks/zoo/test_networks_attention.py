"""Whole networks of attention blocks, assembled from the zoo, have their papers' parameters."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from blockzoo.blocks import get_block
from blockzoo.blocks.zoo.layers import conv_bn
from blockzoo.core.position import Position


def _scnet50() -> nn.Module:
    build = get_block("SCNetBottleneck").build
    blocks: list[nn.Module] = []
    widths = (64, 256, 512, 1024, 2048)
    for stage, ((before, width), depth) in enumerate(
        zip(pairwise(widths), (3, 4, 6, 3), strict=True)
    ):
        blocks.append(build(before, width, 1 if stage == 0 else 2, Position.MID))
        blocks += [build(width, width, 1, Position.MID) for _ in range(depth - 1)]
    return nn.Sequential(conv_bn(3, 64, 7, stride=2), *blocks, nn.Linear(2048, 1000))


def test_scnet50() -> None:
    with torch.device("meta"):
        network = _scnet50()
    assert sum(parameter.numel() for parameter in network.parameters()) == 25_564_584
