"""Whole networks of large-kernel blocks, assembled from the zoo, have their papers' parameters."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from timm.layers.norm import LayerNorm2d
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from blockzoo.blocks import to_deploy
from blockzoo.blocks.zoo.large_kernel import ConvFFN, LargeKernelConv, LarKBlock, RepLKBlock
from blockzoo.blocks.zoo.large_kernel_attention import Conv2FormerBlock, VANBlock
from blockzoo.blocks.zoo.layers import conv_bn, convnext_downsampling, depthwise_conv, patch_conv
from blockzoo.blocks.zoo.poly_kernel import PKIBlock, pkinet_conv, pkinet_feed_forward
from blockzoo.blocks.zoo.wavelet import wtconvnext

# The papers print one decimal and count some layers differently; a wrong stride is far outside.
_PAPERS_ROUNDING = 0.1


def _parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _gmacs(network: nn.Module) -> float:
    """Return the multiply-accumulates in billions for one 224x224 image."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        logits = network(torch.empty(1, 3, 224, 224, device="meta"))
    assert logits.shape == (1, 1000)
    flops: int = counter.get_total_flops()
    return flops / 2e9


def _stages(
    widths: tuple[int, ...],
    depths: tuple[int, ...],
    block: Callable[[int, int], nn.Module],
    between: Callable[[int, int], nn.Module],
) -> list[nn.Module]:
    """Return blocks (stage, width), with `between` the stages where the width changes."""
    layers: list[nn.Module] = []
    for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        if stage:
            layers.append(between(widths[stage - 1], width))
        layers += [block(stage, width) for _ in range(depth)]
    return layers


def _head(width: int, *before: nn.Module) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), *before, nn.Flatten(), nn.Linear(width, 1000)]


def _conv(in_channels: int, out_channels: int, kernel_size: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2)


def test_van_b0() -> None:
    layers: list[nn.Module] = []
    stages = ((32, 3, 8), (64, 3, 8), (160, 5, 4), (256, 2, 4))
    before = 3
    with torch.device("meta"):
        for width, depth, expansion in stages:
            embed = _conv(before, width, *((7, 4) if before == 3 else (3, 2)))
            layers += [embed, nn.BatchNorm2d(width)]
            layers += [VANBlock(width, expansion) for _ in range(depth)]
            layers.append(LayerNorm2d(width))
            before = width
        network = nn.Sequential(*layers, *_head(256))
    assert _parameters(network) == 4_105_800
    assert _gmacs(network) == pytest.approx(0.9, rel=_PAPERS_ROUNDING)


def test_conv2former_n() -> None:
    widths = (64, 128, 256, 512)
    with torch.device("meta"):
        stem = nn.Sequential(
            nn.Conv2d(3, 32, 3, 2, 1, bias=False),
            nn.GELU(),
            nn.BatchNorm2d(32),
            nn.Conv2d(32, 32, 3, 1, 1, bias=False),
            nn.GELU(),
            nn.BatchNorm2d(32),
            patch_conv(32, 64, bias=False),
        )
        blocks = _stages(
            widths, (2, 2, 8, 2), lambda _, width: Conv2FormerBlock(width, 7), convnext_downsampling
        )
        widen = nn.Sequential(nn.Conv2d(512, 1280, 1), nn.GELU(), LayerNorm2d(1280))
        network = nn.Sequential(stem, *blocks, widen, *_head(1280))
    assert _parameters(network) == 14_992_840
    assert _gmacs(network) == pytest.approx(2.2, rel=_PAPERS_ROUNDING)


def test_replknet_31b() -> None:
    widths, kernel_sizes = (128, 256, 512, 1024), (31, 29, 27, 13)

    def pair(stage: int, width: int) -> nn.Module:
        return nn.Sequential(RepLKBlock(width, kernel_sizes[stage]), ConvFFN(width))

    def transition(before: int, width: int) -> nn.Module:
        return nn.Sequential(
            conv_bn(before, width, activation=nn.ReLU()),
            conv_bn(width, width, 3, stride=2, groups=width, activation=nn.ReLU()),
        )

    with torch.device("meta"):
        stem = [
            conv_bn(3, 128, 3, stride=2, activation=nn.ReLU()),
            conv_bn(128, 128, 3, groups=128, activation=nn.ReLU()),
            conv_bn(128, 128, activation=nn.ReLU()),
            conv_bn(128, 128, 3, stride=2, groups=128, activation=nn.ReLU()),
        ]
        blocks = _stages(widths, (2, 2, 18, 2), pair, transition)
        network = nn.Sequential(*stem, *blocks, nn.BatchNorm2d(1024), *_head(1024))
    deployed = to_deploy(network)
    assert _parameters(network) == 79_864_168
    assert _parameters(deployed) == 79_527_272
    assert _gmacs(deployed) == pytest.approx(15.3, rel=_PAPERS_ROUNDING)


def test_unireplknet_a() -> None:
    small = ((5, 1), (7, 2), (3, 3), (3, 4), (3, 5))

    def block(stage: int, width: int) -> nn.Module:
        large = LargeKernelConv(width, 13, small) if stage else None
        return LarKBlock(width, large or depthwise_conv(width, 3, bias=False))

    def downsampling(before: int, width: int) -> nn.Module:
        return nn.Sequential(_conv(before, width, 3, 2), LayerNorm2d(width))

    widths = (40, 80, 160, 320)
    with torch.device("meta"):
        stem = [downsampling(3, 20), nn.GELU(), downsampling(20, 40)]
        blocks = _stages(widths, (2, 2, 6, 2), block, downsampling)
        network = nn.Sequential(*stem, *blocks, *_head(320, LayerNorm2d(320)))
    assert _parameters(network) == 4_649_060
    assert _gmacs(to_deploy(network)) == pytest.approx(0.6, rel=_PAPERS_ROUNDING)


def test_wtconvnext_t() -> None:
    with torch.device("meta"):
        stem = [nn.Conv2d(3, 96, 4, 4), LayerNorm2d(96)]
        blocks = _stages(
            (96, 192, 384, 768),
            (3, 3, 9, 3),
            lambda stage, width: wtconvnext(width, 5 - stage),
            convnext_downsampling,
        )
        network = nn.Sequential(*stem, *blocks, *_head(768, LayerNorm2d(768)))
    assert _parameters(network) == 30_383_656
    assert _gmacs(network) == pytest.approx(4.5, rel=_PAPERS_ROUNDING)


def test_pkinet_t_backbone() -> None:
    # (blocks, expansion and kernel of the feed-forward part beside them)
    stages = ((4, 8, 5), (14, 8, 7), (22, 4, 9), (4, 4, 11))
    widths = (16, 32, 64, 128, 256)
    with torch.device("meta"):
        parts = [pkinet_conv(3, 16, 3, stride=2), pkinet_conv(16, 16, 3), pkinet_conv(16, 16, 3)]
        for (before, width), (depth, expansion, kernel) in zip(
            pairwise(widths), stages, strict=True
        ):
            # Half of the channels pass the blocks, whose strips grow, the other half this part.
            half = width // 2
            beside = pkinet_feed_forward(half, expansion, kernel)
            blocks = [PKIBlock(half, 11 + 2 * number) for number in range(depth)]
            merge = [pkinet_conv(width, width) for _ in range(3)]
            down = pkinet_conv(before, width, 3, stride=2)
            parts += [nn.Sequential(down, *merge, beside, *blocks)]
    assert _parameters(nn.ModuleList(parts)) == 4_156_896
