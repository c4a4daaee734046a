"""MetaFormer blocks: what their mixers and their scaled shortcuts do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from blockzoo.blocks import get_block
from blockzoo.core.position import Position


@pytest.fixture(autouse=True)
def _seed() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def test_convformer_scales_its_shortcuts_late_only() -> None:
    def scales(position: Position) -> int:
        block = get_block("ConvFormerBlock").build(8, 8, 1, position)
        return sum("res_scale" in name for name, _ in block.named_parameters())

    assert [scales(position) for position in Position] == [0, 0, 2]


@pytest.mark.parametrize("name", ["PoolFormerBlock", "EfficientFormerMB4D"])
def test_pooling_mixers_do_nothing_where_nothing_differs(name: str) -> None:
    # The mean of equal neighbours minus itself is zero, at the border too.
    block = get_block(name).build(4, 4, 1, Position.EARLY).eval()
    for key, parameter in block.named_parameters():
        if "scale1" in key or "ls1" in key:
            nn.init.ones_(parameter)
        elif "scale2" in key or "ls2" in key:
            nn.init.zeros_(parameter)
    flat = torch.ones(1, 4, 5, 5)
    torch.testing.assert_close(block(flat), flat)
    bumpy = torch.randn(1, 4, 5, 5)
    assert not torch.allclose(block(bumpy), bumpy)
