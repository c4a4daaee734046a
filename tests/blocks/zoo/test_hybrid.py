"""The hybrid blocks: what stands around the library's classes."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from blockzoo.blocks import get_block
from blockzoo.blocks.zoo.hybrid_merged import MapOnly
from blockzoo.blocks.zoo.mobilevit import SameSize
from blockzoo.core.position import Position


class _Stretch(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        return nn.functional.interpolate(
            x, (height + height % 2, width + width % 2), mode="bilinear", align_corners=True
        )


def test_same_size_undoes_the_stretching_of_odd_maps_only() -> None:
    ramp = torch.arange(5.0).expand(1, 1, 4, 5)
    torch.testing.assert_close(SameSize(_Stretch())(ramp), ramp)
    even = torch.randn(1, 1, 4, 6)
    assert torch.equal(SameSize(_Stretch())(even), even)


def test_map_only_drops_the_hidden_state() -> None:
    class Pair(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return 2 * x, x

    images = torch.ones(1, 2, 3, 3)
    assert torch.equal(MapOnly(Pair())(images), 2 * images)


def test_cascaded_attention_uses_the_biases_it_has_now() -> None:
    # timm's cache would keep the biases of the first forward until the next switch to training.
    block = get_block("EfficientViTCGA").build(16, 16, 1, Position.MID).eval()
    biases = block.get_parameter("mixer.m.attn.attention_biases")
    images = torch.randn(1, 16, 7, 7)
    with torch.no_grad():
        before = block(images)
        state = {key: value.clone() for key, value in block.state_dict().items()}
        biases.copy_(torch.randn_like(biases) * 5)
        changed = block(images)
        block.load_state_dict(state)
        after = block(images)
    assert not torch.allclose(changed, before)
    assert torch.equal(after, before)


def test_cascaded_attention_can_be_copied_after_a_forward_with_gradients() -> None:
    block = get_block("EfficientViTCGA").build(16, 16, 1, Position.MID).eval()
    images = torch.randn(1, 16, 7, 7)
    expected = block(images)
    assert torch.equal(copy.deepcopy(block)(images), expected)


@pytest.mark.parametrize(
    ("position", "channels", "attended"),
    [
        (Position.EARLY, 64, None),
        (Position.MID, 128, 32),
        (Position.LATE, 256, 56),
        (Position.MID, 16, 8),
        (Position.MID, 4, 4),
    ],
)
def test_shvit_attends_to_a_part_of_the_channels(
    position: Position, channels: int, attended: int | None
) -> None:
    with torch.device("meta"):
        block = get_block("SHViTBlock").build(channels, channels, 1, position)
    norms = [layer for layer in block.modules() if isinstance(layer, nn.GroupNorm)]
    assert [norm.num_channels for norm in norms] == ([] if attended is None else [attended])


@pytest.mark.parametrize(
    ("position", "channels", "inside"),
    [
        (Position.EARLY, 64, 80),
        (Position.MID, 128, 192),
        (Position.LATE, 256, 384),
        (Position.EARLY, 16, 20),
        (Position.MID, 10, 16),
    ],
)
def test_mobilevit_transformer_width(position: Position, channels: int, inside: int) -> None:
    with torch.device("meta"):
        block = get_block("MobileViTBlock").build(channels, channels, 1, position)
    norm = block.get_submodule("norm")
    assert isinstance(norm, nn.LayerNorm)
    assert norm.normalized_shape == (inside,)


@pytest.mark.parametrize(
    ("position", "convs"), [(Position.EARLY, 1), (Position.MID, 1), (Position.LATE, 3)]
)
def test_edgenext_splits_by_position(position: Position, convs: int) -> None:
    with torch.device("meta"):
        block = get_block("EdgeNeXtSDTA").build(64, 64, 1, position)
    assert len(list(block.get_submodule("convs").children())) == convs
    encodings = [key for key, _ in block.named_parameters() if key.startswith("pos_embd")]
    assert bool(encodings) == (position is Position.EARLY)


@pytest.mark.parametrize(("channels", "heads"), [(64, 4), (16, 1), (8, 1), (24, 3)])
def test_lite_attention_heads_divide_the_channels(channels: int, heads: int) -> None:
    block = get_block("EfficientViTLiteMLA").build(channels, channels, 1, Position.MID)
    grouped = block.get_submodule("context_module.main.aggreg.0.1")
    assert isinstance(grouped, nn.Conv2d)
    assert grouped.groups == 3 * heads


def test_mobile_attention_follows_a_universal_bottleneck_where_the_shape_changes() -> None:
    for in_channels, stride in ((8, 2), (4, 1)):
        block = get_block("MobileNetV4MQA").build(in_channels, 8, stride, Position.MID)
        names = [type(child).__name__ for child in block.children()]
        assert names == ["UniversalInvertedResidual", "MobileAttention"]
