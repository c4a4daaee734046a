"""Counts of one-operation nets, computed by hand; composites against PyTorch's own counter."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from torchvision.ops import DeformConv2d

from blockzoo.measure.costs.complexity import (
    ParameterCount,
    count_complexity,
    count_macs,
    count_parameters,
)
from blockzoo.measure.costs.meta import RememberedShapes


class Apply(nn.Module):
    """A function as a module."""

    def __init__(self, function: object) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Tensor) -> Tensor:
        assert callable(self.function)
        result = self.function(*inputs)
        assert isinstance(result, Tensor)
        return result


@pytest.mark.parametrize(
    ("layer", "shape", "macs"),
    [
        (nn.Conv2d(3, 8, 3, padding=1, bias=False), (1, 3, 5, 7), 8 * 3 * 9 * 5 * 7),
        (nn.Conv2d(3, 8, 3, padding=1, bias=True), (1, 3, 5, 7), 8 * 3 * 9 * 5 * 7),
        (nn.Conv2d(3, 8, 3, padding=1), (4, 3, 5, 7), 4 * 8 * 3 * 9 * 5 * 7),
        (nn.Conv2d(6, 8, 3, padding=1, groups=2), (1, 6, 5, 5), 8 * 3 * 9 * 25),
        (nn.Conv2d(6, 6, 5, padding=2, groups=6), (1, 6, 4, 4), 6 * 25 * 16),
        (nn.Conv2d(6, 12, 3, padding=1, groups=6), (1, 6, 4, 4), 12 * 9 * 16),
        (nn.Conv2d(4, 4, 3, stride=2, padding=1), (1, 4, 9, 9), 4 * 4 * 9 * 25),
        (nn.Conv2d(4, 4, 3, dilation=2), (1, 4, 9, 9), 4 * 4 * 9 * 25),
        (nn.Conv2d(4, 5, (1, 3)), (1, 4, 6, 6), 5 * 4 * 3 * 6 * 4),
        (nn.ConvTranspose2d(4, 5, 2, stride=2, bias=False), (1, 4, 3, 3), 4 * 5 * 4 * 9),
        (nn.Conv1d(4, 5, 3), (1, 4, 10), 5 * 4 * 3 * 8),
        (nn.Linear(7, 3), (1, 7), 21),
        (nn.Linear(7, 3, bias=False), (2, 5, 7), 10 * 21),
        (nn.BatchNorm2d(4), (2, 4, 3, 3), 0),
        (nn.AvgPool2d(2), (1, 4, 4, 4), 0),
        (nn.SiLU(), (1, 4, 4, 4), 0),
    ],
)
def test_macs_of_one_layer(layer: nn.Module, shape: tuple[int, ...], macs: int) -> None:
    assert count_macs(layer, torch.empty(shape)) == macs
    assert count_complexity(layer, torch.empty(shape)).uncounted == ()


@pytest.mark.parametrize(
    ("function", "shapes", "macs"),
    [
        (torch.matmul, [(3, 4), (4, 5)], 60),
        (torch.matmul, [(2, 3, 4), (2, 4, 5)], 120),
        (lambda a, b: torch.einsum("nij,nkj->nik", a, b), [(2, 3, 4), (2, 5, 4)], 120),
        (torch.mul, [(3, 4), (3, 4)], 0),
        (
            lambda x, w: torch.conv_tbc(x, w, torch.zeros(4, device=x.device)),
            [(7, 2, 3), (5, 3, 4)],
            3 * 2 * 4 * 5 * 3,
        ),
        (lambda c, a, b: c.addmm_(a, b), [(3, 5), (3, 4), (4, 5)], 60),
        (lambda c, a, b: c.baddbmm_(a, b), [(2, 3, 5), (2, 3, 4), (2, 4, 5)], 120),
        (F.scaled_dot_product_attention, [(1, 2, 5, 8)] * 3, 2 * 2 * 5 * 5 * 8),
    ],
)
def test_macs_of_products(function: object, shapes: list[tuple[int, ...]], macs: int) -> None:
    assert count_macs(Apply(function), *map(torch.empty, shapes)) == macs


@pytest.mark.parametrize(
    ("function", "shapes", "products"),
    [
        (F.linear, [(2, 3), (4, 3)], 24),
        (torch.matmul, [(5, 2, 3), (5, 3, 4)], 120),
        (F.conv1d, [(1, 2, 6), (3, 2, 3)], 3 * 2 * 3 * 4),
        (F.conv2d, [(1, 2, 5, 5), (3, 2, 3, 3)], 3 * 2 * 9 * 9),
        (F.conv_transpose2d, [(1, 2, 5, 5), (2, 3, 3, 3)], 2 * 3 * 9 * 25),
    ],
)
def test_a_complex_product_is_four_real_ones(
    function: Callable[..., Tensor], shapes: list[tuple[int, ...]], products: int
) -> None:
    values = (torch.empty(s, dtype=torch.complex64, requires_grad=True) for s in shapes)
    counts = count_complexity(Apply(function), *values)
    assert (counts.macs, counts.training_macs) == (4 * products, 3 * 4 * products)
    assert counts.uncounted == ()


def test_a_complex_convolution_among_real_ones() -> None:
    def both(x: Tensor, weight: Tensor) -> Tensor:
        return F.conv2d(torch.view_as_complex(x), torch.view_as_complex(weight)).real + F.conv2d(
            x[..., 0], weight[..., 0]
        )

    counts = count_complexity(Apply(both), torch.empty(1, 2, 5, 5, 2), torch.empty(3, 2, 3, 3, 2))
    assert counts.macs == (4 + 1) * 3 * 2 * 9 * 9


def test_training_macs_are_threefold_but_twofold_for_the_first_layer() -> None:
    first, second = 8 * 3 * 9 * 16, 8 * 9 * 16  # the second is depthwise
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1, groups=8))
    images = torch.empty(1, 3, 4, 4)
    assert count_complexity(net, images).training_macs == 2 * first + 3 * second
    assert count_complexity(net, images.requires_grad_()).training_macs == 3 * first + 3 * second


def test_a_frozen_layer_in_the_middle_still_passes_the_gradient_on() -> None:
    """By hand: first layer forward and weight, second forward and input, third all three."""
    net = nn.Sequential(nn.Conv2d(2, 3, 1), nn.Conv2d(3, 4, 1), nn.Conv2d(4, 5, 1))
    net[1].requires_grad_(False)
    expected = 16 * (2 * 2 * 3 + 2 * 3 * 4 + 3 * 4 * 5)
    assert count_complexity(net, torch.ones(1, 2, 4, 4)).training_macs == expected


def test_a_frozen_trunk_costs_its_forward_pass_alone() -> None:
    net = nn.Sequential(nn.Conv2d(2, 4, 3, groups=2), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 5, 1))
    net[0].requires_grad_(False)
    net[1].requires_grad_(False)
    expected = 4 * 9 * 4 + 4 * 4 * 4 + 2 * 4 * 5 * 4
    assert count_complexity(net, torch.ones(1, 2, 4, 4)).training_macs == expected


def test_a_frozen_weight_has_no_gradient_to_compute() -> None:
    net = nn.Sequential(nn.Linear(4, 5, bias=False), nn.Linear(5, 6, bias=False))
    net[1].weight.requires_grad_(False)
    assert count_complexity(net, torch.empty(1, 4)).training_macs == 2 * 20 + 2 * 30
    net[0].weight.requires_grad_(False)
    assert count_complexity(net, torch.empty(1, 4)).training_macs == 20 + 30


def test_attention_and_matrix_products_train_at_threefold_cost() -> None:
    q = torch.empty(1, 2, 5, 8, requires_grad=True)
    attention = Apply(F.scaled_dot_product_attention)
    assert count_complexity(attention, q, q, q).training_macs == 3 * count_macs(attention, q, q, q)
    a, b = torch.empty(3, 4, requires_grad=True), torch.empty(4, 5)
    assert count_complexity(Apply(torch.matmul), a, b).training_macs == 2 * 60


def test_attention_fused_into_one_operation_counts_the_same() -> None:
    """A look at the values moves the run to the CPU, which has a fused kernel."""

    def fused(q: Tensor) -> Tensor:
        assert float(q.sum()) == 0
        return F.scaled_dot_product_attention(q, q, q)

    q = torch.empty(1, 2, 5, 8, requires_grad=True)
    macs = 2 * 2 * 5 * 5 * 8
    counts = count_complexity(Apply(fused), q)
    assert (counts.macs, counts.training_macs) == (macs, 3 * macs)
    assert count_complexity(Apply(fused), q.detach()).training_macs == macs


@settings(max_examples=25, deadline=None)
@given(
    widths=st.lists(st.integers(1, 9), min_size=2, max_size=4),
    kernel=st.sampled_from([1, 3, 5]),
    stride=st.integers(1, 2),
    batch=st.integers(1, 3),
)
def test_counts_equal_those_of_torch_where_torch_is_right(
    widths: list[int], kernel: int, stride: int, batch: int
) -> None:
    """PyTorch's counter is wrong only for the backward pass of grouped convolutions."""
    pairs = list(pairwise(widths))
    layers = [nn.Conv2d(a, b, kernel, stride, padding=kernel // 2) for a, b in pairs]
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], 3))
    images = torch.zeros(batch, widths[0], 9, 9)
    with FlopCounterMode(display=False) as forward:
        loss = net(images).sum()
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    counts = count_complexity(net, images)
    assert 2 * counts.macs == forward.get_total_flops()
    both = forward.get_total_flops() + backward.get_total_flops()
    assert 2 * counts.training_macs == both


@pytest.mark.parametrize(
    ("module", "shapes", "names"),
    [
        (nn.Unfold(3), [(1, 2, 5, 5)], ("aten.im2col",)),
        (Apply(torch.mv), [(3, 4), (4,)], ("aten.mv",)),
        (Apply(torch.linalg.inv), [(3, 3)], ("aten.linalg_inv_ex",)),
        (Apply(lambda x: torch.fft.rfft2(x).abs()), [(4, 4)], ("aten._fft_r2c",)),
        (DeformConv2d(2, 4, 3), [(1, 2, 5, 5), (1, 18, 3, 3)], ("torchvision.deform_conv2d",)),
    ],
)
def test_matrix_like_work_that_no_formula_sees_is_named(
    module: nn.Module, shapes: list[tuple[int, ...]], names: tuple[str, ...]
) -> None:
    assert count_complexity(module, *map(torch.empty, shapes)).uncounted == names


def test_parameters_are_counted_once_and_by_trainability() -> None:
    shared = nn.Linear(3, 3)
    net = nn.Sequential(shared, shared, nn.Linear(3, 2, bias=False))
    net[2].weight.requires_grad_(False)
    assert count_parameters(net) == ParameterCount(total=18, trainable=12)
    assert count_macs(net, torch.empty(1, 3)) == 9 + 9 + 6


def test_counts_hold_inside_and_outside_inference_mode() -> None:
    net = nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 6))
    with torch.inference_mode():
        counts = count_complexity(net, torch.empty(1, 4))
    assert (counts.macs, counts.training_macs) == (50, 20 * 2 + 30 * 3)


def test_a_forward_in_inference_mode_of_its_own_is_counted_too() -> None:
    layer = nn.Conv2d(2, 3, 1)
    assert count_macs(Apply(torch.inference_mode()(layer)), torch.empty(1, 2, 4, 4)) == 96


def test_control_flow_on_values_is_counted_on_the_cpu() -> None:
    layer = nn.Linear(4, 5)

    class Choosy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.layer(x)
            return y if bool(y.sum() < 1) else self.layer(x)

    assert count_macs(Choosy(), torch.empty(1, 4)) == 20


def test_the_module_and_its_input_stay_as_they_were() -> None:
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    images = torch.ones(2, 2, 5, 5)
    count_complexity(net, images)
    assert net.training
    assert torch.equal(images, torch.ones(2, 2, 5, 5))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(value.grad is None for value in net.parameters())


def test_what_a_module_raises_is_raised() -> None:
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        count_macs(nn.Linear(4, 5), torch.empty(1, 3))


@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(st.integers(2, 4), st.just(4), st.integers(3, 9), st.integers(3, 9)),
    stride=st.integers(1, 3),
    channels_last=st.booleans(),
)
def test_remembered_shapes_are_those_that_torch_works_out(
    shape: tuple[int, int, int, int], stride: int, channels_last: bool
) -> None:
    layout = torch.channels_last if channels_last else torch.contiguous_format
    images = torch.empty(shape, device="meta", memory_format=layout)
    with torch.device("meta"):
        net = nn.Sequential(
            nn.Conv2d(4, 6, 3, stride, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace=True)
        )
    expected = net(images)
    with RememberedShapes():
        first, second = net(images), net(images)
    for output in (first, second):
        assert output.shape == expected.shape
        assert output.stride() == expected.stride()
        assert output.dtype == expected.dtype


def test_operations_on_tensors_with_data_are_computed() -> None:
    with RememberedShapes():
        total = torch.ones(3).add_(1).sum() + torch.ones(())
    assert total.item() == 7


def test_in_place_operations_that_change_a_shape_are_run() -> None:
    with RememberedShapes():
        assert torch.empty(1, 3, device="meta").squeeze_().shape == (3,)
        assert torch.empty(2, 3, device="meta").t_().shape == (3, 2)
        assert torch.empty(2, 3, device="meta").resize_(5).shape == (5,)


def test_an_integer_and_a_float_argument_are_not_taken_for_each_other() -> None:
    numbers = torch.empty(3, dtype=torch.long, device="meta")
    with RememberedShapes():
        types = [(numbers + other).dtype for other in (1, 1.0, True)]
    assert types == [torch.long, torch.float32, torch.long]
