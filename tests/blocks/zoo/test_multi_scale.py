"""Multi-scale and compact blocks: widths, kernels and the pools before them, by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from blockzoo.blocks import get_block
from blockzoo.blocks.zoo.layers import PadToEven, overlapping_max_pool
from blockzoo.core.errors import BlockError
from blockzoo.core.position import Position

Row = tuple[int, int, tuple[int, int]]


def _convs(name: str, in_channels: int, out_channels: int, stride: int) -> list[Row]:
    """Return (in, out, kernel) of each convolution of the block, in order."""
    with torch.device("meta"):
        block = get_block(name).build(in_channels, out_channels, stride, Position.MID)
    return [
        (module.in_channels, module.out_channels, (module.kernel_size[0], module.kernel_size[1]))
        for module in block.modules()
        if isinstance(module, nn.Conv2d)
    ]


@pytest.mark.parametrize(
    ("name", "out_channels", "reason"),
    [
        ("InceptionA", 20, "must be a multiple of 8"),
        ("InceptionGoogLeNet", 20, "must be a multiple of 8"),
        ("SqueezeNetFire", 20, "must be a multiple of 8"),
        ("SqueezeNext", 18, "must be a multiple of 4"),
        ("Res2NetBottleneck", 18, "must be a multiple of 4"),
        ("RedNetInvolution", 18, "must be a multiple of 4"),
        ("InceptionNeXtBlock", 7, "must be 8 or more"),
    ],
)
def test_widths_that_a_block_cannot_divide_are_refused(
    name: str, out_channels: int, reason: str
) -> None:
    with pytest.raises(BlockError, match=f"out={out_channels}.*output channels {reason}"):
        _convs(name, 16, out_channels, 1)


def test_inception_a_has_the_papers_widths_at_256() -> None:
    assert _convs("InceptionA", 192, 256, 1) == [
        (192, 64, (1, 1)),
        (192, 48, (1, 1)),
        (48, 64, (5, 5)),
        (192, 64, (1, 1)),
        (64, 96, (3, 3)),
        (96, 96, (3, 3)),
        (192, 32, (1, 1)),
    ]


def test_inception_grid_reduction_has_the_papers_widths_at_768() -> None:
    assert _convs("InceptionA", 288, 768, 2) == [
        (288, 384, (3, 3)),
        (288, 64, (1, 1)),
        (64, 96, (3, 3)),
        (96, 96, (3, 3)),
    ]


@pytest.mark.parametrize(
    ("in_channels", "out_channels", "pooled"),
    [(16, 32, 16), (16, 16, 6), (32, 16, 6), (16, 24, 16)],
)
def test_inception_grid_reduction_carries_its_input_where_there_is_room(
    in_channels: int, out_channels: int, pooled: int
) -> None:
    block = get_block("InceptionA").build(in_channels, out_channels, 2, Position.MID).eval()
    images = torch.rand(2, in_channels, 7, 6)
    output = block(images)
    assert output.shape == (2, out_channels, 4, 3)
    if pooled == in_channels:
        expected = nn.functional.max_pool2d(images, 3, 2, padding=1)
        assert torch.equal(output[:, -pooled:], expected)
    else:
        assert (in_channels, pooled, (1, 1)) in _convs("InceptionA", in_channels, out_channels, 2)


def test_inception_a_averages_only_pixels_of_the_image() -> None:
    block = get_block("InceptionA").build(8, 8, 1, Position.MID)
    (pool,) = (module for module in block.modules() if isinstance(module, nn.AvgPool2d))
    assert torch.equal(pool(torch.ones(1, 8, 3, 4)), torch.ones(1, 8, 3, 4))


@pytest.mark.parametrize(
    ("channels", "widths"),
    [(256, [64, 96, 128, 16, 32, 32]), (24, [6, 9, 12, 1, 3, 3]), (8, [2, 3, 4, 1, 1, 1])],
)
def test_googlenets_inception_has_the_shares_of_its_first(channels: int, widths: list[int]) -> None:
    rows = _convs("InceptionGoogLeNet", 192, channels, 1)
    assert [row[1] for row in rows] == widths


@pytest.mark.parametrize(
    ("position", "stride", "kernels", "pointwise"),
    [
        (Position.EARLY, 1, [3, 5, 7], 2),
        (Position.EARLY, 2, [3, 5, 7], 2),
        (Position.MID, 2, [3, 5, 7, 9], 1),
        (Position.MID, 1, [3, 5], 2),
        (Position.LATE, 2, [3, 5, 7], 1),
        (Position.LATE, 1, [3, 5, 7, 9], 2),
    ],
)
def test_mixnet_kernels_by_position_and_stride(
    position: Position, stride: int, kernels: list[int], pointwise: int
) -> None:
    """After `mixnet_m` of the authors: k3.5.7 are kernels, a1.1 and p1.1 mixed 1x1 convolutions."""
    with torch.device("meta"):
        block = get_block("MixConvMixNet").build(16, 16, stride, position)
    for name in ("conv_pw", "conv_pwl"):
        convs = [m for m in block.get_submodule(name).modules() if isinstance(m, nn.Conv2d)]
        assert [conv.groups for conv in convs] == [1] * pointwise
    depthwise = [
        module
        for module in block.modules()
        if isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1
    ]
    assert [module.kernel_size[0] for module in depthwise] == kernels
    assert sum(module.in_channels for module in depthwise) == 96
    squeezed = [m.out_channels for n, m in block.named_modules() if n == "se.conv_reduce"]
    assert squeezed == {"early": [], "mid": [8], "late": [4]}[position.value]


@pytest.mark.parametrize(("channels", "width"), [(256, 26), (64, 6), (16, 1), (8, 1), (4, 1)])
def test_res2net_scales_are_never_empty(channels: int, width: int) -> None:
    rows = _convs("Res2NetBottleneck", channels, channels, 1)
    assert rows[1:4] == [(width, width, (3, 3))] * 3


def test_squeezenext_is_a_bottleneck_of_two_stages() -> None:
    block = [
        (128, 64, (1, 1)),
        (64, 32, (1, 1)),
        (32, 64, (3, 1)),
        (64, 64, (1, 3)),
        (64, 128, (1, 1)),
    ]
    assert _convs("SqueezeNext", 128, 128, 1) == block
    assert _convs("SqueezeNext", 64, 128, 2) == [(64, 128, (1, 1)), *block]


def test_fire_squeezes_to_an_eighth() -> None:
    assert _convs("SqueezeNetFire", 64, 128, 2) == [
        (64, 16, (1, 1)),
        (16, 64, (1, 1)),
        (16, 64, (3, 3)),
    ]


def test_overlapping_pool_starts_at_the_first_pixel() -> None:
    images = -torch.arange(1.0, 26.0).view(1, 1, 5, 5)
    # Windows of three from rows and columns 0, 2 and 4, all negative: the padding must not win.
    expected = torch.tensor([[-1.0, -3, -5], [-11, -13, -15], [-21, -23, -25]])
    assert torch.equal(overlapping_max_pool()(images)[0, 0], expected)


@pytest.mark.parametrize("size", [1, 2, 3, 8, 9, 32])
def test_overlapping_pool_halves_every_size_upwards(size: int) -> None:
    output = overlapping_max_pool()(torch.randn(1, 1, size, size))
    assert output.shape[-1] == (size + 1) // 2
    assert torch.isfinite(output).all()


def test_padding_to_even_leaves_even_sizes_alone() -> None:
    images = torch.randn(1, 1, 4, 6)
    assert PadToEven()(images) is images
