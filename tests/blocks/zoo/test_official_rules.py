"""Where libraries and the authors' code disagree: parameters and MACs by the authors' rules.

Each number is a sum written out here from what the code says, not read off the block.
"""

from __future__ import annotations

import pytest
import torch
from timm.models.edgenext import CrossCovarianceAttn
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from blockzoo.blocks import get_block
from blockzoo.core.position import Position

EARLY, MID, LATE = Position.EARLY, Position.MID, Position.LATE


def _built(
    name: str, in_channels: int, out_channels: int, stride: int, position: Position
) -> nn.Module:
    with torch.device("meta"):
        return get_block(name).build(in_channels, out_channels, stride, position)


def _parameters(block: nn.Module) -> int:
    return sum(parameter.numel() for parameter in block.parameters())


def _macs(block: nn.Module, channels: int, size: int) -> int:
    images = torch.empty(1, channels, size, size, device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        block.eval()(images)
    return int(counter.get_total_flops()) // 2


def _conv_bn(inputs: int, outputs: int, size: int = 1, groups: int = 1) -> int:
    return inputs // groups * outputs * size**2 + 2 * outputs


@pytest.mark.parametrize(
    ("name", "macs"),
    [
        # The 3x3 at 32x32, the 1x1 to 16x16 (MBConvBlockWithoutDepthwise of tensorflow/tpu).
        ("EdgeResidual", 32 * 32 * 9 * 64 * 512 + 16 * 16 * 512 * 128),
        ("EdgeResidualTimm", 16 * 16 * 9 * 64 * 512 + 16 * 16 * 512 * 128),
    ],
)
def test_efficientnet_edgetpu_strides_by_its_projection(name: str, macs: int) -> None:
    block = _built(name, 64, 128, 2, MID)
    assert _macs(block, 64, 32) == macs
    assert round(macs / 1e6, 1) == {"EdgeResidual": 318.8, "EdgeResidualTimm": 92.3}[name]
    assert _parameters(block) == _conv_bn(64, 512, 3) + _conv_bn(512, 128)


def test_efficientnet_edgetpu_halves_odd_sizes_upwards() -> None:
    block = get_block("EdgeResidual").build(4, 8, 2, LATE)
    assert block(torch.zeros(1, 4, 5, 7)).shape == (1, 8, 3, 4)


@pytest.mark.parametrize(("channels", "position"), [(64, EARLY), (128, MID), (256, LATE)])
def test_cbam_has_biases_in_its_channel_mlp(channels: int, position: Position) -> None:
    squeezed = channels // 16
    mlp = channels * squeezed + squeezed + squeezed * channels + channels
    spatial = 2 * 7 * 7 + 2
    expected = 2 * _conv_bn(channels, channels, 3) + mlp + spatial
    block = _built("CBAMBasicBlock", channels, channels, 1, position)
    assert _parameters(block) == expected
    if channels == 64:
        assert expected == 74_664


def test_cbams_spatial_gate_averages_slowly() -> None:
    norms = {
        name: layer.momentum
        for name, layer in _built("CBAMBasicBlock", 64, 64, 1, EARLY).named_modules()
        if isinstance(layer, nn.BatchNorm2d)
    }
    assert norms == {"bn1": 0.1, "bn2": 0.1, "se.spatial.conv.bn": 0.01}


def _mixed_depthwise(channels: int, kernels: list[int]) -> int:
    share = channels // len(kernels)
    widths = [channels - share * (len(kernels) - 1), *[share] * (len(kernels) - 1)]
    return sum(width * size**2 for width, size in zip(widths, kernels, strict=True))


@pytest.mark.parametrize(
    ("in_channels", "out_channels", "stride", "position", "kernels", "mixed", "squeezed"),
    [
        (64, 64, 1, EARLY, [3, 5, 7], 2, 0),  # k3.5.7 a1.1 p1.1 e6
        (64, 128, 2, MID, [3, 5, 7, 9], 1, 32),  # k3.5.7.9 a1 p1 e6 se0.5
        (128, 128, 1, MID, [3, 5], 2, 64),  # k3.5 a1.1 p1.1 e6 se0.5
        (128, 256, 2, LATE, [3, 5, 7], 1, 32),  # k3.5.7 a1 p1 e6 se0.25
        (256, 256, 1, LATE, [3, 5, 7, 9], 2, 64),  # k3.5.7.9 a1.1 p1.1 e6 se0.25
    ],
)
def test_mixnet_m_mixes_its_pointwise_convolutions(
    in_channels: int,
    out_channels: int,
    stride: int,
    position: Position,
    kernels: list[int],
    mixed: int,
    squeezed: int,
) -> None:
    hidden = 6 * in_channels
    expected = _conv_bn(in_channels, hidden, groups=mixed)
    expected += _mixed_depthwise(hidden, kernels) + 2 * hidden
    expected += 2 * hidden * squeezed + squeezed + hidden if squeezed else 0
    expected += _conv_bn(hidden, out_channels, groups=mixed)
    block = _built("MixConvMixNet", in_channels, out_channels, stride, position)
    assert _parameters(block) == expected
    if position is EARLY:
        assert expected == 36_864


@pytest.mark.parametrize(
    ("channels", "position", "attended"), [(64, EARLY, 64), (96, EARLY, 48), (128, MID, 64)]
)
def test_lowformer_attends_to_half_of_the_channels_above_80(
    channels: int, position: Position, attended: int
) -> None:
    # ConvAttention of the authors with stride 2: depthwise 5x5 and BN, 1x1, transposed 4x4.
    attention = _conv_bn(channels, channels, 5, channels) + channels * 3 * attended
    attention += attended * channels * 16 + channels
    mlp = channels * 4 * channels + 4 * channels + 4 * channels * channels + channels
    # The 3x3 has a bias before its BN, the 1x1 has none: use_bias=(True, False).
    fused = _conv_bn(channels, 4 * channels, 3) + 4 * channels + _conv_bn(4 * channels, channels)
    expected = 2 * channels + attention + 2 * channels + mlp + fused
    block = _built("LowFormerBlock", channels, channels, 1, position)
    assert _parameters(block) == expected
    if channels == 64:
        assert expected == 277_696


@pytest.mark.parametrize(
    ("in_channels", "out_channels", "stride", "position", "kernel"),
    [
        (64, 64, 1, EARLY, 3),
        (64, 128, 2, MID, 3),
        (128, 128, 1, MID, 3),
        (128, 256, 2, LATE, 3),
        (256, 256, 1, LATE, 5),
    ],
)
def test_pplcnet_goes_over_to_5x5_after_it_has_strided(
    in_channels: int, out_channels: int, stride: int, position: Position, kernel: int
) -> None:
    """NET_CONFIG of PaddleClas: [3, 128, 256, 2], then [5, 256, 256, 1] five times."""
    block = _built("PPLCNetDepthSepConv", in_channels, out_channels, stride, position)
    expected = _conv_bn(in_channels, in_channels, kernel, in_channels)
    assert _parameters(block) == expected + _conv_bn(in_channels, out_channels)


def test_fasternet_t1_has_gelu() -> None:
    kinds = {type(layer) for layer in _built("FasterNetPConv", 64, 64, 1, EARLY).modules()}
    assert nn.GELU in kinds
    assert nn.ReLU not in kinds


@pytest.mark.parametrize(("channels", "position"), [(64, EARLY), (128, MID), (256, LATE)])
def test_iformer_l2_has_no_layer_scale(channels: int, position: Position) -> None:
    expected = _conv_bn(channels, channels, 7, channels)
    expected += _conv_bn(channels, 4 * channels) + _conv_bn(4 * channels, channels)
    assert _parameters(_built("IFormerConvBlock", channels, channels, 1, position)) == expected


@pytest.mark.parametrize("name", ["CPUBoneBlock", "CPUBoneGrFusedMBConv"])
@pytest.mark.parametrize(("in_channels", "position"), [(64, MID), (128, LATE)])
def test_cpubone_expands_by_six_where_it_strides(
    name: str, in_channels: int, position: Position
) -> None:
    strided = _built(name, in_channels, 2 * in_channels, 2, position)
    hidden = 6 * in_channels
    expected = _conv_bn(in_channels, hidden, 3, 2) + _conv_bn(hidden, 2 * in_channels)
    if name == "CPUBoneBlock":
        expected += _parameters(_built(name, 2 * in_channels, 2 * in_channels, 1, position))
    assert _parameters(strided) == expected


def test_cpubone_has_no_dropout() -> None:
    block = _built("CPUBoneBlock", 64, 64, 1, EARLY)
    assert {layer.p for layer in block.modules() if isinstance(layer, nn.Dropout)} <= {0.0}


@pytest.mark.parametrize("position", Position)
def test_edgenext_s_has_eight_heads(position: Position) -> None:
    """The authors' X-S and XX-S pass `heads=[4, 4, 4, 4]`; S and base have the default, eight."""
    block = _built("EdgeNeXtSDTA", 64, 64, 1, position)
    (attention,) = [each for each in block.modules() if isinstance(each, CrossCovarianceAttn)]
    assert (attention.num_heads, attention.temperature.numel()) == (8, 8)


def test_squeezenext_filters_columns_before_rows() -> None:
    """As in the first block of every stage of SqueezeNext-23v5; every second one is the reverse."""
    convs = [
        each.kernel_size
        for each in _built("SqueezeNext", 64, 64, 1, EARLY).modules()
        if isinstance(each, nn.Conv2d)
    ]
    assert convs == [(1, 1), (1, 1), (3, 1), (1, 3), (1, 1)]
