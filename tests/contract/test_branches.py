"""Parallel branches that could be one convolution are named, and others are not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from blockzoo.blocks import get_block, list_available_blocks, to_deploy
from blockzoo.contract.branches import unmerged_branches
from blockzoo.contract.forms import FORM_LINES
from blockzoo.core.position import Position

IMAGES = torch.randn(2, 8, 6, 6)


def conv(size: int | tuple[int, int], groups: int = 1) -> nn.Sequential:
    height, width = (size, size) if isinstance(size, int) else size
    layer = nn.Conv2d(8, 8, size, padding=(height // 2, width // 2), groups=groups)
    return nn.Sequential(layer, nn.BatchNorm2d(8))


class Sum(nn.Module):
    """Branches of one input, added; what comes before and after is not linear."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.first, self.branches = conv(3), nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        return torch.relu(sum((branch(x) for branch in self.branches), torch.zeros(())))


class Gated(Sum):
    def forward(self, x: Tensor) -> Tensor:
        near, far = self.branches
        return torch.sigmoid(far(x)).mul(near(x))


class Joined(Sum):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x)[:, :4] for branch in self.branches], dim=1)


@pytest.mark.parametrize(
    ("block", "named"),
    [
        # DingXiaoH/RepVGG: 3x3, 1x1 and identity.
        (Sum(conv(3), conv(1), nn.BatchNorm2d(8)), ["0.0", "1.0"]),
        # DingXiaoH/ACNet: a square kernel and its two bars.
        (Sum(conv(3), conv((3, 1)), conv((1, 3))), ["0.0", "1.0", "2.0"]),
        # DingXiaoH/RepLKNet-pytorch: a large and a small kernel, depthwise.
        (Sum(conv(13, groups=8), conv(5, groups=8)), ["0.0", "1.0"]),
        # DingXiaoH/DiverseBranchBlock: a pointwise one before another, and one before a mean.
        (
            Sum(
                nn.Sequential(*conv(1), *conv(3)),
                nn.Sequential(*conv(1), nn.AvgPool2d(3, 1, 1)),
            ),
            ["0.0", "0.2", "1.0"],
        ),
        (Sum(conv(3), nn.Identity()), []),
        (Sum(nn.Sequential(*conv(3), nn.ReLU()), conv(1)), []),
        (Gated(conv(3), conv(1)), []),
        (Joined(conv(3), conv(1)), []),
    ],
)
def test_those_that_could_be_one_are_named(block: nn.Module, named: list[str]) -> None:
    expected = [f"branches.{name}" for name in named]
    assert unmerged_branches(block.eval(), IMAGES) == expected


class ChangesItsInput(Sum):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.relu_())


def test_one_that_changes_its_input_is_looked_at_too() -> None:
    block = ChangesItsInput(conv(3), conv(1)).eval()
    assert unmerged_branches(block, IMAGES.clone()) == ["branches.0.0", "branches.1.0"]


@pytest.mark.parametrize("name", ["RepVGG", "MobileOneBlock", "RepMixer", "DBBBasicBlock"])
def test_none_is_left_once_they_are_merged(name: str) -> None:
    block = get_block(name).build(8, 8, 1, Position.MID)
    assert unmerged_branches(block.eval(), IMAGES)
    assert unmerged_branches(to_deploy(block), IMAGES) == []


def test_the_contract_says_so() -> None:
    finding = FORM_LINES[0].judge(get_block(Two))
    assert finding.reason == (
        "the deploy form is the training form; "
        "branches that could be one convolution and that nothing merges: far, near"
    )


class Two(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.near = nn.Conv2d(in_channels, out_channels, 1, stride)
        self.far = nn.Conv2d(in_channels, out_channels, 3, stride, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.near(x) + self.far(x))


@pytest.mark.slow
def test_five_blocks_of_the_zoo_leave_some_as_their_authors_do() -> None:
    left = set()
    for name in list_available_blocks():
        block = get_block(name).build(64, 64, 1, Position.EARLY)
        if unmerged_branches(to_deploy(block), torch.randn(1, 64, 8, 8)):
            left.add(name)
    kept = {"EfficientViTCGA", "PKIBlock", "SLaKBlock", "SMTModulation", "TransXNetDMixer"}
    assert left == kept
