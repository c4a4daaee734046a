"""The early version's blocks: what their costs alone do not tell."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from blockzoo.blocks import get_block
from blockzoo.core.position import Position


def _build(name: str, position: Position, stride: int = 1) -> nn.Module:
    return get_block(f"classic/{name}").build(16, 16 * stride, stride, position)


def _kinds(block: nn.Module) -> set[str]:
    return {type(module).__name__ for module in block.modules()}


@pytest.mark.parametrize(
    ("position", "activation"),
    [(Position.EARLY, "ReLU"), (Position.MID, "Hardswish"), (Position.LATE, "Hardswish")],
)
def test_inverted_residual_changes_its_activation(position: Position, activation: str) -> None:
    assert _kinds(_build("InvertedResidual", position)) & {"ReLU", "Hardswish"} == {activation}


@pytest.mark.parametrize("name", ["EdgeResidual", "GhostBottleneckV3"])
def test_squeeze_excite_is_late_only(name: str) -> None:
    has = {position: "SqueezeExcite" in _kinds(_build(name, position)) for position in Position}
    assert has == {Position.EARLY: False, Position.MID: False, Position.LATE: True}


@pytest.mark.parametrize("name", ["ResNetBasicBlock", "ResNetBottleneck"])
def test_shortcuts_are_projected_even_where_the_shape_stays(name: str) -> None:
    block = _build(name, Position.EARLY)
    assert block.get_parameter("downsample.1.weight").shape == (16, 16, 1, 1)
    faithful = get_block(name).build(16, 16, 1, Position.EARLY)
    assert "downsample" not in dict(faithful.named_children())


def test_universal_inverted_bottleneck_starts_near_zero_where_it_strides() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        block = _build("UniversalInvertedBottleneck", Position.MID, stride=2)
        output = block(torch.randn(4, 16, 8, 8))
    assert 0 < output.std().item() < 1e-4


def test_mobileone_block_is_dense_and_ends_in_gelu() -> None:
    block = _build("MobileOneBlock", Position.MID)
    assert {conv.groups for conv in block.modules() if isinstance(conv, nn.Conv2d)} == {1}
    assert "GELU" in _kinds(block)


def test_large_kernel_convolution_never_mixes_channels() -> None:
    block = _build("ReparamLargeKernelConv", Position.MID).eval()
    images = torch.randn(1, 16, 9, 9)
    changed = images.clone()
    changed[:, 3] += 1
    with torch.no_grad():
        differs = (block(images) != block(changed)).flatten(2).any(2)[0]
    assert differs.nonzero().flatten().tolist() == [3]


def test_every_repmixer_embeds_patches() -> None:
    block = _build("RepMixer", Position.MID)
    sizes = [conv.kernel_size for conv in block.modules() if isinstance(conv, nn.Conv2d)]
    # The embedding's large and small kernels and pointwise, the mixer's two, the MLP's three.
    assert sizes[:3] == [(7, 7), (3, 3), (1, 1)]
    assert (
        get_block("RepMixer").build(16, 16, 1, Position.MID).__class__.__name__ == "RepMixerBlock"
    )
