"""Work that is not among the MACs: named, and told by a formula where there is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import DeformConv2d, deform_conv2d

from blockzoo.measure.costs.complexity import count_complexity


class Apply(nn.Module):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *values: Tensor) -> Any:
        return self.function(*values)


def masked(x: Tensor, weight: Tensor, offset: Tensor, mask: Tensor) -> Tensor:
    output: Tensor = deform_conv2d(x, offset, weight, padding=1, mask=mask)
    return output


def sampled(mode: str) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda x, grid: F.grid_sample(x, grid, mode=mode, align_corners=False)


@pytest.mark.parametrize(
    ("module", "shapes", "macs"),
    [
        (nn.Unfold(3, padding=1), [(2, 4, 5, 5)], {"aten.im2col": 2 * 4 * 9 * 25}),
        (Apply(torch.mv), [(3, 4), (4,)], {"aten.mv": 12}),
        (Apply(torch.dot), [(7,), (7,)], {"aten.dot": 7}),
        (Apply(torch.addmv), [(3,), (3, 4), (4,)], {"aten.addmv": 12}),
        (Apply(torch.addr), [(3, 4), (3,), (4,)], {"aten.addr": 12}),
        (Apply(torch.addbmm), [(3, 5), (2, 3, 4), (2, 4, 5)], {"aten.addbmm": 2 * 3 * 4 * 5}),
        (Apply(torch.linalg.vector_norm), [(3, 4)], {"aten.linalg_vector_norm": 12}),
        (
            Apply(sampled("bilinear")),
            [(2, 3, 8, 8), (2, 4, 4, 2)],
            {"aten.grid_sampler_2d": 4 * 2 * 3 * 16},
        ),
        (
            Apply(sampled("bilinear")),
            [(2, 3, 8, 8, 8), (2, 4, 4, 4, 3)],
            {"aten.grid_sampler_3d": 8 * 2 * 3 * 64},
        ),
        (
            Apply(sampled("bicubic")),
            [(2, 3, 8, 8), (2, 4, 4, 2)],
            {"aten.grid_sampler_2d": 16 * 2 * 3 * 16},
        ),
        (Apply(sampled("nearest")), [(2, 3, 8, 8), (2, 4, 4, 2)], {"aten.grid_sampler_2d": 0}),
        (
            DeformConv2d(4, 6, 3, groups=2),
            [(1, 4, 5, 5), (1, 18, 3, 3)],
            {"torchvision.deform_conv2d": 6 * 9 * 2 * 9 + 4 * (4 * 9 * 9)},
        ),
        (
            Apply(masked),
            [(1, 4, 5, 5), (6, 4, 3, 3), (1, 18, 5, 5), (1, 9, 5, 5)],
            {"torchvision.deform_conv2d": 6 * 25 * 4 * 9 + 5 * (4 * 9 * 25)},
        ),
    ],
)
def test_an_operation_with_a_formula_tells_its_macs_apart(
    module: nn.Module, shapes: list[tuple[int, ...]], macs: dict[str, int]
) -> None:
    counts = count_complexity(module, *map(torch.empty, shapes))
    assert counts.macs == 0
    assert counts.uncounted_macs == macs
    assert counts.uncounted == tuple(macs)


def test_an_operation_without_a_formula_is_named_alone() -> None:
    for function in (torch.linalg.inv, lambda x: torch.linalg.vector_norm(x, 1)):
        counts = count_complexity(Apply(function), torch.empty(3, 3))
        assert len(counts.uncounted) == 1
        assert counts.uncounted_macs == {}


def test_the_macs_of_one_operation_add_up() -> None:
    twice = nn.Sequential(nn.Unfold(2), nn.Flatten(0), nn.Unflatten(0, (1, 1, 8, 16)), nn.Unfold(1))
    counts = count_complexity(twice, torch.empty(1, 2, 5, 5))
    assert counts.uncounted_macs == {"aten.im2col": 2 * 4 * 16 + 128}
