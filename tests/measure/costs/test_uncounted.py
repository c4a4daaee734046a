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
from blockzoo.measure.costs.products import does_unseen_work


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
        (Apply(torch.cdist), [(30, 8), (40, 8)], {"aten._euclidean_dist": 30 * 40 * 8}),
        (Apply(torch.cdist), [(2, 5, 8), (2, 4, 8)], {"aten._cdist_forward": 2 * 5 * 4 * 8}),
        (Apply(F.pdist), [(5, 8)], {"aten._pdist_forward": 10 * 8}),
        (Apply(lambda a, b, c: a.addmv_(b, c)), [(3,), (3, 4), (4,)], {"aten.addmv_": 12}),
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


def in_coordinates(a: Tensor, b: Tensor) -> Tensor:
    return a.to_sparse() @ b


def in_rows(a: Tensor, b: Tensor) -> Tensor:
    return a.to_sparse_csr() @ b


def sampled_products(a: Tensor, b: Tensor) -> Tensor:
    product: Tensor = torch.sparse.sampled_addmm(a.to_sparse_csr(), a, b)
    return product


def integers(a: Tensor, b: Tensor) -> Tensor:
    return torch._int_mm(a.to(torch.int8), b.to(torch.int8))


@pytest.mark.filterwarnings("ignore:Sparse CSR")
@pytest.mark.parametrize("function", [in_coordinates, in_rows, sampled_products])
def test_a_sparse_product_is_named_and_not_counted_as_if_it_were_dense(
    function: Callable[..., Tensor],
) -> None:
    counts = count_complexity(Apply(function), torch.eye(3), torch.eye(3))
    assert counts.macs == 0
    assert counts.uncounted != ()
    assert counts.uncounted_macs == {}
    assert not any(" " in name for name in counts.uncounted)  # tables join names by spaces


@pytest.mark.parametrize(
    "name",
    [
        *("inv", "det", "slogdet", "cholesky", "qr", "svd", "svdvals", "eigh", "eigvalsh", "pinv"),
        *("matrix_exp", "matrix_rank", "cond", "lu_factor", "eig"),
    ],
)
def test_what_linear_algebra_computes_is_named(name: str) -> None:
    counts = count_complexity(Apply(getattr(torch.linalg, name)), torch.eye(3))
    assert counts.uncounted != ()


@pytest.mark.parametrize(
    "function",
    [
        lambda a: torch.linalg.solve(a, a),
        lambda a: torch.linalg.solve_triangular(a, a, upper=True),
        lambda a: torch.cholesky_solve(a, a),
        torch.cholesky_inverse,
        lambda a: torch.ormqr(a, a[0], a),
        lambda a: torch.cdist(a, a, p=1),
        lambda a: torch.fft.fft(a).abs(),
    ],
)
def test_solvers_transforms_and_other_distances_are_named(
    function: Callable[[Tensor], Tensor],
) -> None:
    assert count_complexity(Apply(function), torch.eye(3)).uncounted != ()


def test_products_of_linear_algebra_and_of_integers_are_counted() -> None:
    a = torch.empty(3, 3)
    for function in (lambda a: torch.linalg.multi_dot([a, a, a]), lambda a: a.matrix_power(3)):
        assert count_complexity(Apply(function), a).macs == 54
    square = torch.empty(32, 32)
    assert count_complexity(Apply(integers), square, square).macs == 32**3


def test_a_complex_product_by_a_formula_is_four_real_ones() -> None:
    matrix = torch.empty(3, 4, dtype=torch.complex64)
    counts = count_complexity(Apply(torch.mv), matrix, torch.empty(4, dtype=torch.complex64))
    assert counts.uncounted_macs == {"aten.mv": 48}


def test_work_that_is_no_product_is_not_named() -> None:
    layers = [nn.BatchNorm2d(4), nn.GELU(), nn.AvgPool2d(2), nn.Upsample(scale_factor=2)]
    more = [nn.LayerNorm(8), nn.Dropout(), nn.Softmax(-1), nn.PixelShuffle(2), nn.Hardswish()]
    assert count_complexity(nn.Sequential(*layers, *more), torch.empty(2, 4, 8, 8)).uncounted == ()


def test_an_operation_without_a_formula_is_named_alone() -> None:
    for function in (torch.linalg.inv, lambda x: torch.linalg.vector_norm(x, 1)):
        counts = count_complexity(Apply(function), torch.empty(3, 3))
        assert len(counts.uncounted) == 1
        assert counts.uncounted_macs == {}


def test_the_macs_of_one_operation_add_up() -> None:
    twice = nn.Sequential(nn.Unfold(2), nn.Flatten(0), nn.Unflatten(0, (1, 1, 8, 16)), nn.Unfold(1))
    counts = count_complexity(twice, torch.empty(1, 2, 5, 5))
    assert counts.uncounted_macs == {"aten.im2col": 2 * 4 * 16 + 128}


def grouped(*sizes: tuple[int, ...], ends: tuple[int, ...] | None = None) -> int:
    """Return the MACs of a grouped product of such tensors."""
    first, second = (torch.randn(size, dtype=torch.bfloat16) for size in sizes)
    at = None if ends is None else torch.tensor(ends, dtype=torch.int32)
    count = count_complexity(
        Apply(lambda a, b: torch._grouped_mm(a, b, offs=None if at is None else at.to(a.device))),
        first,
        second,
    )
    assert count.uncounted == ()
    return count.macs


@pytest.mark.skipif(not hasattr(torch, "_grouped_mm"), reason="this torch has no such product")
@pytest.mark.parametrize(
    ("sizes", "ends", "macs"),
    [
        (((2, 16, 16), (2, 16, 16)), None, 2 * 16**3),
        # Rows of a mixture of experts, each group with a matrix of its own: every row meets one.
        (((32, 16), (2, 16, 8)), (16, 32), 32 * 16 * 8),
        (((2, 16, 8), (8, 32)), (16, 32), 16 * 8 * 32),
        # Here the sums themselves are grouped, so that all of them together are one product.
        (((16, 32), (32, 8)), (16, 32), 16 * 32 * 8),
    ],
)
def test_grouped_products_are_counted(
    sizes: tuple[tuple[int, ...], ...], ends: tuple[int, ...] | None, macs: int
) -> None:
    assert grouped(*sizes, ends=ends) == macs


def test_products_with_quantised_weights_are_counted() -> None:
    weight, scales = torch.ones(8, 32, dtype=torch.int8), torch.ones(8, dtype=torch.bfloat16)
    count = count_complexity(
        Apply(lambda a: torch._weight_int8pack_mm(a, weight.to(a.device), scales.to(a.device))),
        torch.randn(4, 32, dtype=torch.bfloat16),
    )
    assert (count.macs, count.uncounted) == (4 * 32 * 8, ())


def test_an_unknown_operation_that_joins_two_tensors_is_named_by_rule() -> None:
    func = torch.ops.aten._spsolve.default  # its name tells none of the words
    numbers, indices = torch.ones(2), torch.ones(2, dtype=torch.int64)
    assert does_unseen_work(func, (numbers, numbers))
    assert not does_unseen_work(func, (numbers, indices))


KNOWN_TO_MULTIPLY_NOTHING: dict[str, Callable[..., Any]] = {
    "add": torch.add,
    "add in place": lambda a, b: a.clone().add_(b),
    "add into": lambda a, b: torch.add(a, b, out=torch.empty_like(a)),
    "cat": lambda a, b: torch.cat([a, b]),
    "copy": lambda a, b: a.clone().copy_(b),
    "lerp": lambda a, b: torch.lerp(a, b, 0.5),
    "where": lambda a, b: torch.where(a > 0, a, b),
    "addcmul": lambda a, b: torch.addcmul(a, a, b),
    "maximum": torch.maximum,
    "index_add": lambda a, b: a.index_add(0, torch.arange(4, device=a.device), b),
    "scatter_add": lambda a, b: a.scatter_add(0, (b > 9).long(), b),
    "masked_scatter": lambda a, b: a.masked_scatter(a > 0, b),
    "slice_scatter": lambda a, b: a.slice_scatter(b[:2], 0, 0, 2),
    "index_put": lambda a, b: a.index_put((torch.arange(4, device=a.device),), b),
    "layer_norm": lambda a, b: F.layer_norm(a, (4,), b[0], b[0]),
    "rms_norm": lambda a, b: F.rms_norm(a, (4,), b[0]),
    "prelu": lambda a, b: F.prelu(a, b[0]),
    "mse": F.mse_loss,
    "huber": F.huber_loss,
    "kl": lambda a, b: F.kl_div(a, b, reduction="sum"),
    "bce": lambda a, b: F.binary_cross_entropy(a.sigmoid(), b.sigmoid()),
    "copysign": torch.copysign,
    "polar": torch.polar,
    "foreach": lambda a, b: torch._foreach_add([a], [b])[0],
}


@pytest.mark.parametrize("name", KNOWN_TO_MULTIPLY_NOTHING)
def test_what_moves_or_compares_values_is_not_named(name: str) -> None:
    count = count_complexity(
        Apply(KNOWN_TO_MULTIPLY_NOTHING[name]), torch.randn(4, 4), torch.randn(4, 4)
    )
    assert count.uncounted == ()
