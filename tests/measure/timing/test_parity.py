"""The gate: equal forms pass, and mistakes that a fresh network would hide are found."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from blockzoo.core.errors import ModelError, ParityError
from blockzoo.measure.timing.parity import (
    check_merge,
    check_parity,
    with_nontrivial_state,
)
from blockzoo.scaffold.net import ScaffoldConfig, ScaffoldNet

EXAMPLE = torch.tensor([[1.0, -4.0], [2.0, 0.5]])


def difference(original: nn.Module, other: nn.Module, example: Tensor) -> float:
    return check_parity(original, other, example, tolerance=math.inf)


class Affine(nn.Module):
    """y = scale x + shift, element by element."""

    def __init__(self, scale: float, shift: float = 0.0) -> None:
        super().__init__()
        self.scale, self.shift = scale, shift

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * x + self.shift


class ConvNorm(nn.Module):
    """A convolution and its batch normalization, the pair that every merge folds."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(self.conv(x))
        return y


class ScaledBranch(nn.Module):
    """y = x + scale * conv(x), with a layer scale of 1e-5 as papers start it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.gamma = nn.Parameter(torch.full((3, 1, 1), 1e-5))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.gamma * self.conv(x)
        return y


def fold(module: nn.Module, *, forget_mean: bool = False) -> nn.Module:
    """Fold a `ConvNorm` into one convolution, forgetting the mean if told to."""
    assert isinstance(module, ConvNorm)
    norm = module.norm
    assert norm.running_var is not None
    assert norm.running_mean is not None
    factor = norm.weight / (norm.running_var + norm.eps).sqrt()
    mean = torch.zeros_like(norm.running_mean) if forget_mean else norm.running_mean
    folded = nn.Conv2d(3, 4, 3, padding=1).to(factor.dtype)
    with torch.no_grad():
        folded.weight.copy_(module.conv.weight * factor[:, None, None, None])
        assert folded.bias is not None
        folded.bias.copy_(norm.bias - mean * factor)
    return folded


def fold_forgetting_the_mean(module: nn.Module) -> nn.Module:
    return fold(module, forget_mean=True)


def images() -> Tensor:
    return torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def test_difference_is_relative_to_the_largest_output() -> None:
    # Outputs reach 8, the shift is 0.02.
    assert difference(Affine(2.0), Affine(2.0, 0.02), EXAMPLE) == pytest.approx(0.0025, rel=1e-4)


def test_a_module_equals_itself_even_where_it_returns_zero() -> None:
    assert difference(Affine(2.0), Affine(2.0), EXAMPLE) == 0.0
    assert difference(Affine(0.0), Affine(0.0), EXAMPLE) == 0.0
    assert difference(Affine(0.0), Affine(1.0), EXAMPLE) == float("inf")


def test_parity_returns_the_difference_it_accepts() -> None:
    accepted = check_parity(Affine(2.0), Affine(2.0, 0.02), EXAMPLE, tolerance=0.01)
    assert accepted == pytest.approx(0.0025, rel=1e-4)


def test_parity_refuses_a_large_difference_and_tells_it() -> None:
    with pytest.raises(ParityError, match=r"differ by 0\.5 of the largest; allowed is 0\.0001"):
        check_parity(Affine(2.0), Affine(1.0), EXAMPLE)


def test_parity_refuses_another_first_choice() -> None:
    original, other = nn.Linear(1, 2, bias=False), nn.Linear(1, 2, bias=False)
    with torch.no_grad():
        original.weight.copy_(torch.tensor([[1.00], [0.94]]))
        other.weight.copy_(torch.tensor([[0.96], [0.98]]))
    with pytest.raises(ParityError, match="first choice differs for 1 of 1 inputs"):
        check_parity(original, other, torch.ones(1, 1), tolerance=0.05)


def test_a_tie_may_fall_either_way() -> None:
    original, other = nn.Linear(1, 2, bias=False), nn.Linear(1, 2, bias=False)
    with torch.no_grad():
        original.weight.copy_(torch.tensor([[1.0], [1.0 - 1e-6]]))
        other.weight.copy_(torch.tensor([[1.0 - 1e-6], [1.0]]))
    assert 0 < check_parity(original, other, torch.ones(1, 1)) < 1e-5


def test_outputs_of_one_column_have_no_choice() -> None:
    assert check_parity(nn.Identity(), nn.Identity(), torch.ones(3, 1)) == 0.0


def test_parity_refuses_other_shapes() -> None:
    with pytest.raises(ParityError, match=r"shapes \(2, 2\) and \(4,\); they must be equal"):
        check_parity(Affine(1.0), nn.Flatten(0), EXAMPLE)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_outputs_must_be_finite(bad: float) -> None:
    with pytest.raises(ModelError, match=r"original form.*\(2, 2\) holds 4 values that are NaN"):
        check_parity(Affine(bad, bad), Affine(1.0), EXAMPLE)
    with pytest.raises(ModelError, match="the other form"):
        check_parity(Affine(1.0), Affine(bad, bad), EXAMPLE)


def test_a_forgotten_mean_shows_only_with_a_nontrivial_state() -> None:
    fresh = ConvNorm().eval()
    assert difference(fresh, fold_forgetting_the_mean(fresh), images()) < 1e-5
    module = with_nontrivial_state(fresh)
    assert check_parity(module, fold(module), images()) < 1e-5
    with pytest.raises(ParityError):
        check_parity(module, fold_forgetting_the_mean(module), images())


def test_a_forgotten_branch_shows_only_with_a_nontrivial_state() -> None:
    fresh = ScaledBranch().eval()
    assert check_parity(fresh, nn.Identity(), images()) < 1e-4
    with pytest.raises(ParityError):
        check_parity(with_nontrivial_state(fresh), nn.Identity(), images())


def test_nontrivial_state_is_moderate_repeatable_and_a_copy() -> None:
    fresh = nn.Sequential(ConvNorm(), ScaledBranch())
    before = copy.deepcopy(fresh.state_dict())
    state = with_nontrivial_state(fresh, seed=1).state_dict()
    again = with_nontrivial_state(fresh, seed=1).state_dict()
    other = with_nontrivial_state(fresh, seed=2).state_dict()
    assert all(torch.equal(fresh.state_dict()[key], before[key]) for key in before)
    assert all(torch.equal(state[key], again[key]) for key in state)
    changed = {key for key in state if not torch.equal(state[key], before[key])}
    assert changed == {
        "0.norm.weight",
        "0.norm.bias",
        "0.norm.running_mean",
        "0.norm.running_var",
        "1.gamma",
    }
    assert changed == {key for key in state if not torch.equal(state[key], other[key])}
    for key in ("0.norm.weight", "0.norm.running_var", "1.gamma"):
        assert 0.5 <= state[key].min() <= state[key].max() <= 1.5
    assert state["0.norm.running_mean"].abs().max() < 0.5


def test_small_biases_are_raised_and_large_vectors_kept() -> None:
    layer = nn.Linear(4, 3)
    nn.init.zeros_(layer.bias)
    scale = nn.Parameter(torch.full((3,), 0.5))
    layer.register_parameter("scale", scale)
    raised = with_nontrivial_state(layer)
    assert isinstance(raised, nn.Linear)
    assert 0 < raised.bias.abs().max() < 0.5
    assert torch.equal(raised.weight, layer.weight)
    assert torch.equal(raised.get_parameter("scale"), scale)


def test_normalization_without_state_is_left_alone() -> None:
    norm = nn.InstanceNorm2d(3)
    assert with_nontrivial_state(norm).state_dict() == {}


def test_running_statistics_move_nine_tenths_of_the_way_to_those_of_the_example() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).eval()
    before = with_nontrivial_state(net)
    after = with_nontrivial_state(net, example=images())
    activations = before.get_submodule("0")(images()).transpose(0, 1).flatten(1)
    mean, variance = activations.mean(1), activations.var(1)
    norms = [module.get_submodule("1") for module in (before, after)]
    assert all(isinstance(norm, nn.BatchNorm2d) and not norm.training for norm in norms)
    expected = 0.1 * norms[0].get_buffer("running_mean") + 0.9 * mean
    torch.testing.assert_close(norms[1].get_buffer("running_mean"), expected)
    expected = 0.1 * norms[0].get_buffer("running_var") + 0.9 * variance
    torch.testing.assert_close(norms[1].get_buffer("running_var"), expected)
    assert norms[1].momentum == 0.1


def test_with_statistics_of_activations_a_network_does_not_magnify_rounding() -> None:
    example = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(8))

    def error_of_float(net: nn.Module) -> float:
        exact = copy.deepcopy(net).double()(example.double())
        return float((net(example) - exact).abs().max() / exact.abs().max())

    net = ScaffoldNet("EfficientViTCGA", "mid", ScaffoldConfig()).eval()
    with torch.no_grad():
        assert error_of_float(with_nontrivial_state(net)) > 1e-3
        assert error_of_float(with_nontrivial_state(net, example=example)) < 1e-5


def test_a_right_merge_is_returned_with_its_difference() -> None:
    module = with_nontrivial_state(ConvNorm().eval())
    merged, difference = check_merge(module, fold, images())
    assert isinstance(merged, nn.Conv2d)
    assert difference < 1e-5


def test_a_wrong_merge_stays_wrong_in_double_precision() -> None:
    with pytest.raises(ParityError):
        check_merge(with_nontrivial_state(ConvNorm().eval()), fold_forgetting_the_mean, images())


class Cancelling(nn.Module):
    """y = (x + 3e6) - 3e6: rounding in single precision leaves multiples of 0.25."""

    def forward(self, x: Tensor) -> Tensor:
        return (x + 3e6) - 3e6


def test_magnified_rounding_is_no_mistake() -> None:
    def merge(module: nn.Module) -> nn.Module:
        return nn.Identity()

    with pytest.raises(ParityError):
        check_parity(Cancelling(), merge(Cancelling()), images())
    _, difference = check_merge(Cancelling(), merge, images())
    assert difference < 1e-8


class SingleOnly(Cancelling):
    """The same, for single precision only."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.mm(super().forward(x), torch.eye(2, dtype=torch.float32))


def test_without_double_precision_the_first_answer_stands() -> None:
    with pytest.raises(ParityError, match="of the largest"):
        check_merge(SingleOnly(), lambda module: nn.Identity(), EXAMPLE + 0.1)
