"""The deploy form: in any precision, of one that is deployed already, and what is trainable."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from blockzoo.blocks import get_block, list_available_blocks, to_deploy
from blockzoo.core.position import Position


def built(block: str) -> nn.Module:
    torch.manual_seed(0)
    return get_block(block).build(32, 64, 2, Position.MID).eval()


@pytest.mark.parametrize("block", list_available_blocks())
def test_every_block_is_deployed_in_double_precision_and_twice(block: str) -> None:
    images = torch.randn(2, 32, 16, 16)
    original = built(block)
    once = to_deploy(original)
    assert all(parameter.requires_grad for parameter in once.parameters())
    twice = to_deploy(once)
    assert {name: value.shape for name, value in twice.state_dict().items()} == {
        name: value.shape for name, value in once.state_dict().items()
    }
    exact = to_deploy(original.double())
    assert {parameter.dtype for parameter in exact.parameters()} <= {torch.float64}
    with torch.no_grad():
        torch.testing.assert_close(twice(images), once(images))
        torch.testing.assert_close(exact(images.double()), original(images.double()))


def test_the_default_precision_is_left_as_it_was() -> None:
    to_deploy(built("RepViTBlock").double())
    assert torch.get_default_dtype() is torch.float32


class Merging(nn.Module):
    """Merges its convolution and norm, detaching all that it holds, as timm's blocks do."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(4)
        self.last = nn.Conv2d(4, 4, 1)

    def reparameterize(self) -> None:
        """Merge; a second time there is no norm to merge."""
        assert isinstance(self.norm, nn.BatchNorm2d)
        self.merged = fuse_conv_bn_eval(self.conv, self.norm)
        for parameter in self.parameters():
            parameter.detach_()
        del self.conv, self.norm

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, 4, H, W) to the same shape."""
        y: Tensor = self.last(
            self.merged(x) if hasattr(self, "merged") else self.norm(self.conv(x))
        )
        return y


@pytest.mark.parametrize("frozen", [(), ("conv",), ("conv", "norm"), ("last",)])
def test_merged_parameters_are_trainable_where_their_sources_were(frozen: tuple[str, ...]) -> None:
    block = nn.Sequential(Merging())
    for name in frozen:
        block[0].get_submodule(name).requires_grad_(False)
    found = {name: p.requires_grad for name, p in to_deploy(block).named_parameters()}
    merged, last = frozen != ("conv", "norm"), "last" not in frozen
    assert found == {
        "0.last.weight": last,
        "0.last.bias": last,
        "0.merged.weight": merged,
        "0.merged.bias": merged,
    }


def test_a_merge_that_cannot_be_asked_twice_is_asked_once() -> None:
    once = to_deploy(nn.Sequential(Merging()))
    inside = nn.Sequential(nn.Identity(), once)
    images = torch.randn(1, 4, 6, 6)
    torch.testing.assert_close(to_deploy(inside)(images), once(images))
