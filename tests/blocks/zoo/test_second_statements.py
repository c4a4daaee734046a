"""Blocks that were not compared with their authors' code: counts by a second statement of each.

That is a table of the paper, or what the authors' code in another framework builds, written out
here as a sum.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from blockzoo.blocks import get_block, list_available_blocks
from blockzoo.core.position import Position

STAGES = [
    (64, 64, 1, Position.EARLY),
    (64, 128, 2, Position.MID),
    (128, 128, 1, Position.MID),
    (128, 256, 2, Position.LATE),
    (256, 256, 1, Position.LATE),
]
EVIDENCE = {
    "counts": {
        *(
            "A2C2f",
            "RepNCSPELAN4",
            "CSPDark",
            "EdgeResidualTimm",
            "Identity",
            "InceptionGoogLeNet",
        ),
        *("MBConvCoAtNet", "MBConvMaxViT", "MobileNetV4MQA", "MobileViTBlock", "MobileViTv2Block"),
        "NFNetBlock",
    },
    "network totals": {
        "C2f",
        "C3k2",
        "CSATv2Block",
        "LSKBlock",
        "SqueezeNetFire",
        "StripBlock",
        "iRMB",
    },
}


def _parameters(
    name: str, in_channels: int, out_channels: int, stride: int, position: Position
) -> int:
    with torch.device("meta"):
        block = get_block(name).build(in_channels, out_channels, stride, position)
    return sum(parameter.numel() for parameter in block.parameters())


def _conv_bn(inputs: int, outputs: int, size: int = 1, groups: int = 1) -> int:
    return inputs // groups * outputs * size**2 + 2 * outputs


def _linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


def test_every_block_of_the_zoo_says_how_its_faithfulness_was_established() -> None:
    found: dict[str, set[str]] = {}
    for spec in map(get_block, list_available_blocks()):
        if spec.from_zoo and not spec.name.startswith("classic/"):
            found.setdefault(spec.evidence, set()).add(spec.name)
    assert set(found) == {"official code", *EVIDENCE}
    assert {level: found[level] for level in EVIDENCE} == EVIDENCE


def test_a_users_block_says_nothing_of_it() -> None:
    class Mine(nn.Module):
        def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
            super().__init__()

    assert get_block(Mine).evidence == "not stated"


@pytest.mark.parametrize("name", ["MBConvCoAtNet", "MBConvMaxViT"])
@pytest.mark.parametrize(("inputs", "outputs", "stride", "position"), STAGES)
def test_mbconv_of_maxvits_authors(
    name: str, inputs: int, outputs: int, stride: int, position: Position
) -> None:
    """MBConvBlock of google-research/maxvit: its last and its shortcut convolution have biases."""
    hidden = 4 * outputs
    expected = 2 * inputs + _conv_bn(inputs, hidden) + _conv_bn(hidden, hidden, 3, hidden)
    expected += _linear(hidden, outputs // 4) + _linear(outputs // 4, hidden)
    expected += _linear(hidden, outputs)
    expected += _linear(inputs, outputs) if inputs != outputs else 0
    assert _parameters(name, inputs, outputs, stride, position) == expected


@pytest.mark.parametrize(("inputs", "outputs", "stride", "position"), STAGES)
def test_nfnet_block_of_its_authors(
    inputs: int, outputs: int, stride: int, position: Position
) -> None:
    """NFBlock of deepmind-research; WSConv2D has a gain and a bias for each output channel."""

    def conv(before: int, after: int, size: int = 1) -> int:
        return before * after * size**2 + 2 * after

    width = outputs // 2
    expected = conv(inputs, width) + 2 * conv(width, width, 3) + conv(width, outputs)
    expected += _linear(outputs, outputs // 2) + _linear(outputs // 2, outputs) + 1
    expected += conv(inputs, outputs) if inputs != outputs else 0
    assert _parameters("NFNetBlock", inputs, outputs, stride, position) == expected


@pytest.mark.parametrize(
    ("channels", "inside", "position"),
    [(64, 80, Position.EARLY), (128, 192, Position.MID), (256, 384, Position.LATE)],
)
def test_mobilevit_block_of_its_authors(channels: int, inside: int, position: Position) -> None:
    """MobileViTBlock of ml-cvnets: the 1x1 into the transformer has neither BN nor bias."""
    layer = 2 * inside + _linear(inside, 3 * inside) + _linear(inside, inside)
    layer += 2 * inside + _linear(inside, 2 * inside) + _linear(2 * inside, inside)
    expected = _conv_bn(channels, channels, 3) + channels * inside + 2 * layer + 2 * inside
    expected += _conv_bn(inside, channels) + _conv_bn(2 * channels, channels, 3)
    assert _parameters("MobileViTBlock", channels, channels, 1, position) == expected


@pytest.mark.parametrize("channels", [64, 128, 256])
def test_mobilevit_v2_block_of_its_authors(channels: int) -> None:
    """MobileViTBlockv2 of ml-cvnets: one channel of queries, and keys and values."""
    inside = channels // 2
    layer = 2 * inside + _linear(inside, 1 + 2 * inside) + _linear(inside, inside)
    layer += 2 * inside + _linear(inside, 2 * inside) + _linear(2 * inside, inside)
    expected = _conv_bn(channels, channels, 3, channels) + channels * inside
    expected += 2 * layer + 2 * inside + _conv_bn(inside, channels)
    assert _parameters("MobileViTv2Block", channels, channels, 1, Position.MID) == expected


@pytest.mark.parametrize("channels", [64, 128, 256])
def test_mobile_multi_query_attention_of_the_paper(channels: int) -> None:
    """Four heads of queries, one key and one value, both after a strided depthwise convolution."""
    head = channels // 4
    key = _conv_bn(channels, channels, 3, channels) + channels * head
    expected = 2 * channels + channels * 4 * head + 2 * key + 4 * head * channels + channels
    assert _parameters("MobileNetV4MQA", channels, channels, 1, Position.MID) == expected


@pytest.mark.parametrize(("inputs", "outputs", "stride", "position"), STAGES)
def test_csp_stage_of_csdarknet53(
    inputs: int, outputs: int, stride: int, position: Position
) -> None:
    """csdarknet53.cfg, but one residual in each stage: the strided 3x3, two halves, 1x1 and 3x3."""
    half = outputs // 2
    expected = _conv_bn(inputs, outputs, 3) if stride == 2 else 0
    before = outputs if stride == 2 else inputs
    expected += 2 * _conv_bn(before, half) + _conv_bn(half, half) + _conv_bn(half, half, 3)
    expected += _conv_bn(half, half) + _conv_bn(outputs, outputs)
    assert _parameters("CSPDark", inputs, outputs, stride, position) == expected


@pytest.mark.parametrize(
    ("inputs", "outputs", "parameters"),
    [(96, 128, 11_920), (128, 128, 12_432), (128, 256, 45_344)],
)
def test_fire_modules_of_the_papers_table(inputs: int, outputs: int, parameters: int) -> None:
    """Table 1 of arXiv 1602.07360, before pruning: fire2, fire3 and fire4."""
    assert _parameters("SqueezeNetFire", inputs, outputs, 1, Position.EARLY) == parameters


def test_inception_3a_of_the_papers_table() -> None:
    """Table 1 of arXiv 1409.4842 says 159K for 192 to 256 channels, with K = 1024 and 5x5 kernels.

    Here the 5x5 is a 3x3, from 16 to 32 channels, and BN takes the place of biases.
    """
    norms = 2 * (64 + 96 + 128 + 16 + 32 + 32)
    weights = _parameters("InceptionGoogLeNet", 192, 256, 1, Position.MID) - norms
    assert (weights + (25 - 9) * 16 * 32) // 1024 == 159
