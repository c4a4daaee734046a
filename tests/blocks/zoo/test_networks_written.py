"""Whole networks of the newer blocks have the numbers of parameters that are published.

Where a paper rounds to 0.1 million, the exact number is given and must round to the paper's.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import timm
import torch
from torch import nn

from blockzoo.blocks import get_block, to_deploy
from blockzoo.blocks.zoo.additive import AdditiveBlock
from blockzoo.blocks.zoo.cross_stage import SplitStage
from blockzoo.blocks.zoo.decomposed_kernels import SLaKBlock
from blockzoo.blocks.zoo.dual_mixer import TransXNetBlock, transxnet_downsampling
from blockzoo.blocks.zoo.large_small import LSBlock, lsnet_downsampling, lsnet_feed_forward
from blockzoo.blocks.zoo.layers import conv_bn, convnext_downsampling
from blockzoo.blocks.zoo.mobilenetv5 import multi_query_attention, universal_bottleneck
from blockzoo.blocks.zoo.modulation import EfficientModBlock, SMTBlock, overlapping_embedding
from blockzoo.blocks.zoo.receptive_field import UniConvBlock, uniconvnet_downsampling
from blockzoo.blocks.zoo.recursive import RecNeXtBlock, RecNeXtDownsampling
from blockzoo.blocks.zoo.spatial_selection import (
    LargeSelectiveKernel,
    SpatialSelectionBlock,
    strip_kernels,
)
from blockzoo.core.position import Position

EARLY, MID, LATE = Position
Widths = tuple[int, ...]


def _parameters(*modules: nn.Module) -> int:
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def _stages(
    widths: Widths,
    depths: Widths,
    block: Callable[[int, int], nn.Module],
    between: Callable[[int, int], nn.Module],
) -> list[nn.Module]:
    """Return blocks (stage, width), with `between` the stages."""
    layers: list[nn.Module] = []
    for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        layers += [between(widths[stage - 1], width)] if stage else []
        layers += [block(stage, width) for _ in range(depth)]
    return layers


def _conv_norm(before: int, after: int, size: int = 3) -> list[nn.Module]:
    return [nn.Conv2d(before, after, size), nn.BatchNorm2d(after)]


def _norm_head(width: int) -> list[nn.Module]:
    return [nn.LayerNorm(width), nn.Linear(width, 1000)]


@pytest.fixture(autouse=True)
def _without_data() -> Any:
    with torch.device("meta"):
        yield


def _spatial_selection(
    widths: Widths, depths: Widths, weights: Callable[[int], nn.Module]
) -> list[nn.Module]:
    def block(stage: int, width: int) -> nn.Module:
        return SpatialSelectionBlock(width, weights(width), (8, 8, 4, 4)[stage])

    def between(before: int, after: int) -> nn.Module:
        return nn.Sequential(*_conv_norm(before, after))

    norms = [nn.LayerNorm(width) for width in widths]
    return [*_conv_norm(3, widths[0], 7), *_stages(widths, depths, block, between), *norms]


TINY, SMALL = ((32, 64, 160, 256), (3, 3, 5, 2)), ((64, 128, 320, 512), (2, 2, 4, 2))


@pytest.mark.parametrize(("size", "parameters"), [(TINY, 4_247_190), (SMALL, 14_353_892)])
def test_lsknet(size: tuple[Widths, Widths], parameters: int) -> None:
    """The paper prints 4.3 and 14.4 million, with the classifier of its pretraining."""
    backbone = _spatial_selection(*size, LargeSelectiveKernel)
    assert _parameters(*backbone, nn.Linear(size[0][-1], 1000)) == parameters


@pytest.mark.parametrize(("size", "parameters"), [(TINY, 3_832_800), (SMALL, 13_321_920)])
def test_stripnet_backbone(size: tuple[Widths, Widths], parameters: int) -> None:
    """The paper prints 3.8 and 13.3 million."""
    backbone = _spatial_selection(*size, lambda width: strip_kernels(width, 19))
    assert _parameters(*backbone) == parameters


@pytest.mark.parametrize(
    ("widths", "strides", "parameters"),
    [
        ((512, 1024, 2048, 4096), (2, 2, 2), 15_523_304),
        ((512, 1024, 2048, 4096, 4096), (2, 2, 2, 1), 32_509_416),
    ],
)
def test_vanillanet_in_deploy_form(widths: Widths, strides: Widths, parameters: int) -> None:
    """VanillaNet-5 and -6: the paper prints 15.5 and 32.5 million."""
    build = get_block("VanillaNetBlock").build
    pairs = zip(pairwise(widths), strides, strict=True)
    blocks = [build(before, after, stride, EARLY) for (before, after), stride in pairs]
    stem = [nn.Conv2d(3, 512, 4), nn.Conv2d(512, 512, 7, groups=512)]
    deployed = to_deploy(nn.Sequential(*blocks))
    assert _parameters(deployed, *stem, nn.Linear(4096, 1000)) == parameters


def test_slak_t_without_its_zeros() -> None:
    """SLaK-T is 1.3 times as wide as ConvNeXt-T, with 40% of its weights at zero: 30 million."""
    widths, lengths = (124, 249, 499, 998), (51, 49, 47, 13)
    blocks = _stages(
        widths,
        (3, 3, 9, 3),
        lambda stage, width: SLaKBlock(width, lengths[stage], 5),
        convnext_downsampling,
    )
    total = _parameters(nn.Conv2d(3, 124, 4), nn.LayerNorm(124), *blocks, *_norm_head(998))
    assert total == 50_703_838
    assert round(0.6 * total / 1e6) == 30


def test_efficientmod_s_conv() -> None:
    """The authors print 12.9 million."""
    widths, depths = (40, 80, 160, 344), (4, 4, 12, 8)

    def pair(stage: int, width: int) -> nn.Module:
        return nn.Sequential(EfficientModBlock(width, 1), EfficientModBlock(width, 6))

    pairs = tuple(depth // 2 for depth in depths)
    blocks = _stages(widths, pairs, pair, overlapping_embedding)
    stem = [nn.Conv2d(3, 40, 7), nn.LayerNorm(40)]
    assert _parameters(*stem, *blocks, *_norm_head(344)) == 12_872_336


@pytest.mark.parametrize(
    ("widths", "depths", "parameters"),
    [((48, 56, 112, 220), (2, 2, 4, 2), 3_200_700), ((48, 64, 128, 256), (3, 3, 6, 3), 5_764_224)],
)
def test_cas_vit(widths: Widths, depths: Widths, parameters: int) -> None:
    """XS and S: the paper prints 3.20 and 5.76 million, two classifiers included."""
    stem = [*_conv_norm(3, widths[0] // 2), *_conv_norm(widths[0] // 2, widths[0])]
    blocks = _stages(
        widths,
        depths,
        lambda _, width: AdditiveBlock(width, 4),
        lambda before, after: nn.Sequential(*_conv_norm(before, after)),
    )
    last = widths[-1]
    heads = [nn.BatchNorm2d(last), nn.Linear(last, 1000), nn.Linear(last, 1000)]
    assert _parameters(*stem, *blocks, *heads) == parameters


@pytest.mark.parametrize(
    ("widths", "depths", "parameters"),
    [
        ((48, 96, 192, 384), (3, 3, 15, 2), 5_175_616),
        ((64, 128, 256, 512), (3, 3, 13, 2), 8_238_344),
    ],
)
def test_recnext(widths: Widths, depths: Widths, parameters: int) -> None:
    """M1 and M3: the authors print 5.2 and 8.2 million."""
    stem = [conv_bn(3, widths[0] // 2, 3), conv_bn(widths[0] // 2, widths[0], 3)]
    blocks = _stages(
        widths, depths, lambda stage, width: RecNeXtBlock(width, 4 - stage), RecNeXtDownsampling
    )
    head = [nn.BatchNorm1d(widths[-1]), nn.Linear(widths[-1], 1000)]
    assert _parameters(*stem, *blocks, *head) == parameters


@pytest.mark.parametrize(
    ("widths", "depths", "parameters"),
    [((24, 48, 96, 192), (2, 3, 9, 2), 3_409_612), ((32, 64, 128, 256), (2, 2, 7, 2), 5_182_064)],
)
def test_uniconvnet(widths: Widths, depths: Widths, parameters: int) -> None:
    """A and P0: the authors print 3.4 and 5.2 million."""
    half = widths[0] // 2
    stem = [nn.Conv2d(3, half, 3), nn.LayerNorm(half)]
    stem += [nn.Conv2d(half, widths[0], 3), nn.LayerNorm(widths[0])]
    blocks = _stages(widths, depths, lambda _, width: UniConvBlock(width), uniconvnet_downsampling)
    assert _parameters(*stem, *blocks, *_norm_head(widths[-1])) == parameters


def test_transxnet_t() -> None:
    """The paper prints 12.8 million, with the position encodings that the stages share."""
    widths, heads, reductions = (48, 96, 224, 448), (1, 2, 4, 8), (8, 4, 2, 1)
    blocks = _stages(
        widths,
        (3, 3, 9, 3),
        lambda stage, width: TransXNetBlock(width, heads[stage], reductions[stage]),
        transxnet_downsampling,
    )
    encodings = sum(h * side**2 * 7**2 for h, side in zip(heads, (56, 28, 14, 7), strict=True))
    ends = [conv_bn(3, 48, 7), nn.GroupNorm(1, 448), nn.Linear(448, 1000)]
    assert _parameters(*blocks, *ends) + encodings == 12_834_808


def test_yolov8n_cls() -> None:
    """The authors print 2,719,288."""
    build = get_block("C2f").build
    stem = [conv_bn(3, 16, 3), conv_bn(16, 32, 3), SplitStage(32, 16, 32, [_two_convs(16)])]
    stages = [build(32, 64, 2, EARLY), build(64, 128, 2, MID), build(128, 256, 2, LATE)]
    assert _parameters(*stem, *stages, conv_bn(256, 1280), nn.Linear(1280, 1000)) == 2_719_288


def _two_convs(channels: int) -> nn.Module:
    return nn.Sequential(conv_bn(channels, channels, 3), conv_bn(channels, channels, 3))


@pytest.mark.parametrize(
    ("name", "widths", "position", "parameters"),
    [
        ("C2f", (64, 64), EARLY, 49_664),
        ("C2f", (128, 128), MID, 197_632),
        ("C2f", (256, 256), LATE, 460_288),
        ("C3k2", (64, 128), EARLY, 26_080),
        ("C3k2", (384, 256), LATE, 378_880),
        ("RepNCSPELAN4", (128, 256), EARLY, 212_864),
        ("RepNCSPELAN4", (256, 512), MID, 847_616),
        ("RepNCSPELAN4", (512, 512), LATE, 2_857_472),
    ],
)
def test_layers_of_detectors(
    name: str, widths: tuple[int, int], position: Position, parameters: int
) -> None:
    """Of YOLOv8n, YOLO11n and GELAN-C; the first two print those of C2f and C3k2."""
    assert _parameters(get_block(name).build(*widths, 1, position)) == parameters


@pytest.mark.parametrize(
    ("channels", "position", "parameters"), [(128, MID, 180_864), (256, LATE, 689_408)]
)
def test_attention_stages_of_yolov12n(channels: int, position: Position, parameters: int) -> None:
    """As printed for YOLOv12n, which has two pairs where the block here has one."""
    block = get_block("A2C2f").build(channels, channels, 1, position)
    inner = channels // 2
    second = _parameters(block.get_submodule("parts.0")) + inner * channels
    assert _parameters(block) + second == parameters


def test_emo_5m() -> None:
    """The paper prints 5.1 million."""
    build = get_block("iRMB").at_capacity
    depths, widths = (3, 3, 9, 3), (24, 48, 72, 160, 288)
    stages = zip(pairwise(widths), depths, (EARLY, EARLY, MID, LATE), (2, 3, 4, 4), strict=True)
    blocks: list[nn.Module] = []
    for (before, width), depth, position, expansion in stages:
        spec = build(expansion)
        blocks.append(spec.build(before, width, 2, position))
        blocks += [spec.build(width, width, 1, position) for _ in range(depth - 1)]
    # The first block has squeeze-excite to all channels and is not widened.
    gate = [nn.Conv2d(24, 24, 1), nn.Conv2d(24, 24, 1)]
    first = [conv_bn(24, 24, 3, groups=24), *gate, nn.Conv2d(24, 24, 1, bias=False)]
    assert _parameters(conv_bn(3, 24, 3), *first, *blocks, *_norm_head(288)) == 5_108_824


def _lsnet_attention(width: int, heads: int, key: int, side: int) -> int:
    """Return the parameters of what ends LSNet: attention in heads with a bias of each offset."""
    keys = heads * key
    value = heads * int(width / heads)
    qkv, leave = conv_bn(width, 2 * keys + value), conv_bn(value, width)
    return _parameters(qkv, leave, conv_bn(keys, keys, 3, groups=keys)) + heads * side**2


def test_lsnet_t() -> None:
    """The authors print 11.4 million; half of its blocks are a 3x3 with squeeze-excite."""
    widths, depths = (64, 128, 256, 384), (0, 2, 8, 10)

    def convolutions(width: int) -> int:
        kernels = conv_bn(width, width, 3, groups=width), conv_bn(width, width, groups=width)
        gate = nn.Conv2d(width, width // 4, 1), nn.Conv2d(width // 4, width, 1)
        return _parameters(*kernels, *gate, lsnet_feed_forward(width, 2))

    total = _parameters(conv_bn(3, 16, 3), conv_bn(16, 32, 3), conv_bn(32, 64, 3))
    total += sum(_parameters(lsnet_downsampling(*pair)) for pair in pairwise(widths))
    total += sum(depth // 2 * convolutions(w) for w, depth in zip(widths, depths, strict=True))
    total += sum(d // 2 * _parameters(LSBlock(w)) for w, d in zip(widths[1:3], (2, 8), strict=True))
    attention = _lsnet_attention(384, 4, 16, 4) + _parameters(lsnet_feed_forward(384, 2))
    total += 5 * attention
    assert total + _parameters(nn.BatchNorm1d(384), nn.Linear(384, 1000)) == 11_409_832


def test_smt_t() -> None:
    """The paper prints 11.5 million; half of the third stage and the last one are attention."""
    widths, ratios = (64, 128, 256, 512), (4, 4, 4, 2)

    def attention(width: int, ratio: int) -> int:
        hidden = ratio * width
        # Queries, keys, values and the last layer; a 3x3 of the values; a 3x3 in the MLP.
        linear = 4 * (width**2 + width) + width * hidden + hidden + hidden * width + width
        return linear + 10 * width + 10 * hidden + 2 * 2 * width

    stem = [conv_bn(3, 64, 3), nn.Conv2d(64, 64, 2), nn.LayerNorm(64)]
    total = _parameters(*stem, *map(nn.LayerNorm, widths), nn.Linear(512, 1000))
    total += sum(_parameters(overlapping_embedding(*pair)) for pair in pairwise(widths))
    modulated = zip(widths, ratios, (2, 2, 4), strict=False)
    total += sum(depth * _parameters(SMTBlock(width, ratio)) for width, ratio, depth in modulated)
    assert total + 4 * attention(256, 4) + attention(512, 2) == 11_506_536


def test_rdnet_tiny() -> None:
    """The paper prints 24 million; its first stage is the block with nothing before it."""
    network = timm.create_model("rdnet_tiny")
    assert _parameters(network) == 23_863_008
    first = get_block("RDNetBlock").build(64, 256, 1, EARLY)
    assert isinstance(first, nn.Sequential)
    assert _parameters(first[-1]) == _parameters(network.get_submodule("dense_stages.0"))


def test_csatv2() -> None:
    """Its authors' card says 11.1 million; the fourth stage has four blocks of 386 channels."""
    network = timm.create_model("csatv2")
    assert _parameters(network) == 11_103_444
    block = get_block("CSATv2Block").build(386, 386, 1, LATE)
    assert _parameters(block) == _parameters(network.get_submodule("stages.3.4")) == 1_217_187


def test_mobilenetv5_base_is_made_of_these_blocks() -> None:
    stages = timm.create_model("mobilenetv5_base").get_submodule("blocks")

    def of(name: str) -> int:
        return _parameters(stages.get_submodule(name))

    build = get_block("MobileNetV5Block").build
    assert _parameters(build(64, 128, 2, EARLY)) == of("0.0") == 180_608
    assert _parameters(build(256, 256, 1, MID)) == of("1.1") == 532_480
    assert _parameters(build(256, 512, 2, MID)) == of("2.0") == 1_228_800
    assert _parameters(universal_bottleneck(1024, 1024, 2)) == of("3.2") == 4_198_400
    assert _parameters(multi_query_attention(1024)) == of("3.1") == 2_230_272
