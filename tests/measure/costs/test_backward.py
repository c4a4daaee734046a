"""Backward passes that no rule tells: custom functions and checkpointing, by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from blockzoo.measure.costs.backward import UNKNOWN_BACKWARD
from blockzoo.measure.costs.complexity import count_complexity


class Product(torch.autograd.Function):
    """x W^T as a function of its own, which autograd does not see into."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return x @ weight.t()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        (gradient,) = gradients
        return gradient @ weight, gradient.t() @ x


class Unknown(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x @ x

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        raise RuntimeError("there is none")


class Custom(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(6, 8))
        self.after = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.after(Product.apply(x, self.weight))
        return y


class Checkpointed(nn.Module):
    """Two grouped convolutions that keep nothing for the backward pass."""

    def __init__(self, *, reentrant: bool, groups: int = 2) -> None:
        super().__init__()
        layers = [nn.Conv2d(4, 4, 3, padding=1, groups=groups, bias=False) for _ in range(2)]
        self.layers, self.reentrant = nn.Sequential(*layers), reentrant

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = checkpoint(self.layers, x, use_reentrant=self.reentrant)
        return y


def test_a_custom_function_costs_what_its_backward_pass_does() -> None:
    first, second = 10 * 8 * 6, 10 * 6 * 5
    counts = count_complexity(Custom(), torch.empty(10, 8, requires_grad=True))
    assert (counts.macs, counts.training_macs) == (first + second, 3 * (first + second))
    assert counts.uncounted == ()


@pytest.mark.parametrize(
    ("reentrant", "recomputed"),
    # Without reentrance the last layer is not run again: what it saves are its inputs.
    [(True, 2), (False, 1)],
)
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_checkpointing_computes_the_forward_pass_once_more(
    reentrant: bool, recomputed: int, groups: int
) -> None:
    layer = 3 * 4 * 4 * 9 * 100 // groups
    images = torch.empty(3, 4, 10, 10, requires_grad=True)
    counts = count_complexity(Checkpointed(reentrant=reentrant, groups=groups), images)
    assert counts.macs == 2 * layer
    assert counts.training_macs == (2 + 4 + recomputed) * layer


def test_attention_that_is_checkpointed_by_hand() -> None:
    class Attention(nn.Module):
        def forward(self, q: Tensor) -> Tensor:
            y: Tensor = checkpoint(
                nn.functional.scaled_dot_product_attention, q, q, q, use_reentrant=True
            )
            return y

    macs = 2 * 2 * 5 * 5 * 8
    counts = count_complexity(Attention(), torch.empty(1, 2, 5, 8, requires_grad=True))
    assert (counts.macs, counts.training_macs) == (macs, 4 * macs)


def test_a_backward_pass_that_cannot_be_run_is_named() -> None:
    class Module(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = Unknown.apply(x)
            return y

    counts = count_complexity(Module(), torch.empty(3, 3, requires_grad=True))
    assert counts.macs == 27
    assert counts.uncounted == (UNKNOWN_BACKWARD,)


def test_a_convolution_that_is_frozen_or_gets_no_gradient_is_counted_by_its_mask() -> None:
    """Beside a custom function all is counted by the operations that run."""
    layer = 3 * 4 * 4 * 9 * 100
    net = Checkpointed(reentrant=True, groups=1)
    net.layers[0].requires_grad_(False)
    counts = count_complexity(net, torch.empty(3, 4, 10, 10, requires_grad=True))
    assert counts.training_macs == (2 + 3 + 2) * layer
