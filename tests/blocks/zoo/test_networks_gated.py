"""Whole networks of gated blocks, assembled from the zoo, have their papers' parameters."""

from __future__ import annotations

import pytest
import torch
from timm.layers.norm import LayerNorm2d
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from blockzoo.blocks.zoo.gated import HorBlock
from blockzoo.blocks.zoo.layers import convnext_downsampling
from blockzoo.blocks.zoo.multi_order import MogaBlock

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


def _head(width: int, *before: nn.Module) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), *before, nn.Flatten(), nn.Linear(width, 1000)]


def test_hornet_t_7x7() -> None:
    layers: list[nn.Module] = []
    stages = ((64, 2), (128, 3), (256, 18), (512, 2))
    with torch.device("meta"):
        for stage, (width, depth) in enumerate(stages):
            stem = [nn.Conv2d(3, 64, 4, 4), LayerNorm2d(64)]
            layers += [convnext_downsampling(width // 2, width)] if stage else stem
            layers += [HorBlock(width, stage + 2) for _ in range(depth)]
        network = nn.Sequential(*layers, *_head(512, LayerNorm2d(512)))
    assert _parameters(network) == 22_409_512
    assert _gmacs(network) == pytest.approx(4.0, rel=_PAPERS_ROUNDING)


def _conv_norm(in_channels: int, out_channels: int) -> list[nn.Module]:
    return [nn.Conv2d(in_channels, out_channels, 3, 2, 1), nn.BatchNorm2d(out_channels)]


def test_moganet_t() -> None:
    layers: list[nn.Module] = []
    stages = ((32, 3, 8), (64, 3, 8), (128, 12, 4), (256, 2, 4))
    with torch.device("meta"):
        for stage, (width, depth, expansion) in enumerate(stages):
            stem = [*_conv_norm(3, 16), nn.GELU(), *_conv_norm(16, 32)]
            layers += _conv_norm(width // 2, width) if stage else stem
            layers += [MogaBlock(width, expansion) for _ in range(depth)]
            layers.append(nn.BatchNorm2d(width))
        network = nn.Sequential(*layers, *_head(256))
    assert _parameters(network) == 5_197_332
    assert _gmacs(network) == pytest.approx(1.1, rel=_PAPERS_ROUNDING)
