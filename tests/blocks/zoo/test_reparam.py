"""Blocks that merge their branches: each branch alone, the borders, the costs of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn

from blockzoo.blocks import get_block, to_deploy
from blockzoo.blocks.zoo.chunked import (
    BranchedDepthwise,
    ChunkConv,
    CopyConv,
    medium_kernel,
    small_kernel,
)
from blockzoo.blocks.zoo.diverse_branch import (
    BorderedBatchNorm,
    DBBBasicBlock,
    DiverseBranchBlock,
    IdentityConv1x1,
)
from blockzoo.blocks.zoo.merging import at_centre, pointwise_then
from blockzoo.core.errors import BlockError
from blockzoo.core.position import Position


@pytest.fixture(autouse=True)
def _seed() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def _draw(module: nn.Module) -> None:
    """Draw every parameter, and BN statistics that are far from trivial."""
    for layer in module.modules():
        for parameter in layer.parameters(recurse=False):
            nn.init.normal_(parameter, std=0.5)
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            nn.init.normal_(layer.running_mean)
            nn.init.uniform_(layer.running_var, 0.5, 2.0)


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_at_centre_spreads_and_pads() -> None:
    conv = nn.Conv2d(1, 1, (1, 2), dilation=(1, 2), bias=False)
    conv.weight.data = torch.tensor([[[[3.0, 4.0]]]])
    expected = torch.zeros(5, 5)
    expected[2, 1], expected[2, 3] = 3, 4
    assert torch.equal(at_centre(conv, 5)[0, 0], expected)


def test_pointwise_then_is_both_convolutions() -> None:
    first, second = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 5, 3)
    images = torch.randn(2, 3, 6, 6)
    weight, bias = pointwise_then(first, second)
    torch.testing.assert_close(
        nn.functional.conv2d(images, weight, bias), second(first(images)), rtol=1e-4, atol=1e-5
    )


def test_border_is_what_batch_norm_makes_of_zero() -> None:
    norm = BorderedBatchNorm(2).eval()
    _draw(norm)
    images = torch.randn(1, 2, 3, 4)
    padded = norm(images)
    of_zero = nn.BatchNorm2d.forward(norm, torch.zeros(1, 2, 5, 6))
    torch.testing.assert_close(padded[:, :, 1:-1, 1:-1], nn.BatchNorm2d.forward(norm, images))
    for edge in (padded[:, :, 0], padded[:, :, -1]):
        torch.testing.assert_close(edge, of_zero[:, :, 0])
    for edge in (padded[..., 0], padded[..., -1]):
        torch.testing.assert_close(edge, of_zero[..., 0])


def test_the_1x1_convolution_before_the_second_starts_as_the_identity() -> None:
    block = get_block("DBBBasicBlock").build(8, 8, 1, Position.EARLY)
    identities = [child for child in block.modules() if isinstance(child, IdentityConv1x1)]
    images = torch.randn(1, 8, 3, 3)
    assert len(identities) == 2
    assert all(torch.equal(identity(images), images) for identity in identities)


@pytest.mark.parametrize("alone", ["dense", "pointwise", "average", "second_dense"])
@pytest.mark.parametrize("stride", [1, 2])
def test_every_branch_of_dbb_merges_alone(alone: str, stride: int) -> None:
    block = DiverseBranchBlock(3, 4, stride).eval()
    _draw(block)
    for name in {"dense", "pointwise", "average", "second_dense"} - {alone}:
        norm = block.get_submodule(f"{name}.1")
        for parameter in norm.parameters():
            nn.init.zeros_(parameter)
    images = torch.randn(2, 3, 7, 6)
    with torch.no_grad():
        expected = block(images)
        block.reparameterize()
        actual = block(images)
    assert expected.std() > 0.1
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)
    assert {name for name, _ in block.named_parameters()} == {"merged.weight", "merged.bias"}


def test_one_diverse_branch_block_costs_what_the_paper_has() -> None:
    with torch.device("meta"):
        block = DiverseBranchBlock(64, 64, 1)
    assert _parameters(block) == 86_784
    assert _parameters(to_deploy(block)) == 64 * 64 * 9 + 64


@pytest.mark.parametrize(("out_channels", "stride"), [(4, 1), (8, 1), (4, 2)])
def test_dbb_basic_block_adds_its_shortcut(out_channels: int, stride: int) -> None:
    block = DBBBasicBlock(4, out_channels, stride).eval()
    last = block.get_submodule("branch.2")
    for name in ("dense", "pointwise", "average", "second_dense"):
        nn.init.zeros_(last.get_parameter(f"{name}.1.weight"))
    images = torch.randn(2, 4, 5, 5)
    assert torch.equal(block(images), block.shortcut(images).relu())
    assert isinstance(block.shortcut, nn.Identity) == (out_channels == 4 and stride == 1)


@pytest.mark.parametrize(
    ("make", "stride", "branch"),
    [
        *((small_kernel, 1, branch) for branch in range(3)),
        *((small_kernel, 2, branch) for branch in range(2)),
        *((medium_kernel, stride, branch) for stride in (1, 2) for branch in range(4)),
    ],
)
def test_every_branch_of_repnext_merges_alone(
    make: Callable[[int, int], BranchedDepthwise], stride: int, branch: int
) -> None:
    conv = make(3, stride)
    _draw(conv)
    conv.others = nn.ModuleList([conv.others[branch]])
    images = torch.randn(2, 3, 9, 8)
    with torch.no_grad():
        expected = conv(images)
        assert not torch.equal(expected, conv.main(images))
        conv.reparameterize()
        torch.testing.assert_close(conv(images), expected, rtol=1e-4, atol=1e-4)
    assert {name for name, _ in conv.named_parameters()} == {"main.weight", "main.bias"}


def test_repnext_branches() -> None:
    def sizes(conv: BranchedDepthwise) -> list[tuple[int, ...]]:
        return [child.kernel_size for child in conv.modules() if isinstance(child, nn.Conv2d)]

    assert sizes(small_kernel(1, 1)) == [(3, 3), (2, 2), (1, 3), (3, 1)]
    assert sizes(small_kernel(1, 2)) == [(3, 3), (2, 2), (1, 3), (3, 1)]
    medium = [(7, 7), (5, 3), (3, 5), (1, 7), (7, 1), (1, 5), (5, 1)]
    assert sizes(medium_kernel(1, 1)) == sizes(medium_kernel(1, 2)) == medium
    # Per channel, biases counted: 10 + 5 + 4 + 4 and 50 + 16 + 16 + 14 + 10.
    assert _parameters(small_kernel(1, 1)) == 23
    assert _parameters(small_kernel(1, 2)) == 10 + 5 + 6
    assert _parameters(medium_kernel(1, 1)) == 106


def test_chunk_conv_leaves_its_first_quarter_alone() -> None:
    images = torch.randn(2, 8, 5, 6)
    conv = ChunkConv(8)
    output = conv(images)
    assert output.shape == images.shape
    assert torch.equal(output[:, :2], images[:, :2])
    for quarter, layer in ((1, conv.small), (2, conv.medium), (3, conv.large)):
        part = slice(2 * quarter, 2 * quarter + 2)
        assert torch.equal(output[:, part], layer(images[:, part]))


@pytest.mark.parametrize(("height", "width"), [(8, 8), (7, 5), (1, 2)])
def test_copy_conv_halves_the_image_and_doubles_the_channels(height: int, width: int) -> None:
    output = CopyConv(3)(torch.randn(2, 3, height, width))
    assert output.shape == (2, 6, (height + 1) // 2, (width + 1) // 2)


def test_repnext_downsampling_projects_only_where_the_channels_do_not_double() -> None:
    build = get_block("RepNeXtBlock").build
    images = torch.randn(1, 8, 6, 6)
    counts = []
    for out_channels in (16, 8):
        block = build(8, out_channels, 2, Position.MID)
        assert block(images).shape == (1, out_channels, 3, 3)
        counts.append(len(next(block.children()).state_dict()))
    # A 1x1 convolution and BN: 1 + 5 tensors more.
    assert counts[1] == counts[0] + 6


@pytest.mark.parametrize(
    ("name", "channels", "position", "reason"),
    [
        ("RepNeXtBlock", 10, Position.EARLY, "output channels must be a multiple of 4"),
        ("PPLCNetV2RepDepthSep", 3, Position.LATE, "4 input and 2 output channels or more"),
    ],
)
def test_channels_that_cannot_be_divided_are_refused(
    name: str, channels: int, position: Position, reason: str
) -> None:
    with pytest.raises(BlockError, match=reason):
        get_block(name).build(channels, channels, 1, position)


@pytest.mark.parametrize(
    ("position", "depthwise"),
    [(Position.EARLY, [3]), (Position.MID, [3]), (Position.LATE, [5, 3, 1])],
)
def test_pplcnetv2_has_branches_late_only(position: Position, depthwise: list[int]) -> None:
    block = get_block("PPLCNetV2RepDepthSep").build(8, 8, 1, position)
    convs = [child for child in block.modules() if isinstance(child, nn.Conv2d)]
    assert [conv.kernel_size[0] for conv in convs if conv.groups > 1] == depthwise


@pytest.mark.parametrize("name", ["RepVGGBlock", "RepViTBlock", "RepGhostBottleneck"])
@pytest.mark.parametrize("position", Position)
@pytest.mark.parametrize("stride", [1, 2])
def test_blocks_of_timm_merge_exactly(name: str, position: Position, stride: int) -> None:
    block = get_block(name).build(8, 8 * stride, stride, position).eval()
    _draw(block)
    images = torch.randn(2, 8, 7, 6)
    with torch.no_grad():
        expected = block(images)
        actual = to_deploy(block)(images)
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-5 * expected.abs().max().item())
