"""What the gate compares on, and when it says that an output changed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from blockzoo.core.errors import ParityError
from blockzoo.core.run_way import RunWay
from blockzoo.measure.timing.backends.gate import other_inputs, require_unchanged

FLOATS = torch.arange(24.0).reshape(2, 3, 4)


@pytest.mark.parametrize("example", [FLOATS, FLOATS.long(), FLOATS.bfloat16()])
def test_other_inputs_are_the_same_values_elsewhere(example: Tensor) -> None:
    other = other_inputs(example)
    assert (other.shape, other.dtype) == (example.shape, example.dtype)
    assert not torch.equal(other, example)
    assert torch.equal(other.flatten().sort().values, example.flatten().sort().values)
    assert torch.equal(other, other_inputs(example))


@pytest.mark.parametrize("example", [torch.ones(2, 3), torch.zeros(1, 1)])
def test_an_input_of_equal_values_is_not_compared_with_itself(example: Tensor) -> None:
    assert not torch.equal(other_inputs(example), example)


@pytest.mark.parametrize(
    ("after", "precision"),
    [
        (torch.tensor([1.0, 2.0]), "fp32"),
        (torch.tensor([1.0, 2.0 + 1e-4]), "fp32"),
        (torch.tensor([1.05, 2.05]), "bf16"),
    ],
)
def test_rounding_is_no_change(after: Tensor, precision: str) -> None:
    require_unchanged(torch.tensor([1.0, 2.0]), after, RunWay(precision=precision))


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        (torch.tensor([1.0, 2.001]), "by 0.0005 of the largest"),
        (torch.tensor([1.0, 2.0, 3.0]), r"from shape \(2,\) to \(3,\)"),
        (torch.tensor([1.0, torch.nan]), "not finite where it was"),
    ],
)
def test_a_change_is_said(after: Tensor, reason: str) -> None:
    with pytest.raises(ParityError, match=reason):
        require_unchanged(torch.tensor([1.0, 2.0]), after, RunWay())


def test_values_that_are_not_finite_may_stay_so() -> None:
    odd = torch.tensor([torch.nan, torch.inf, 1.0])
    require_unchanged(odd, odd.clone(), RunWay())
    require_unchanged(odd[:2], odd[:2].clone(), RunWay())
