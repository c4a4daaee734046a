"""Parameters and multiply-accumulate operations (MACs) of any module, as exact integers.

One MAC is one multiplication and one addition; FLOPs are 2 x MACs. Convolutions and matrix
products count, with the formulas of `torch.utils.flop_counter`, whose figures are FLOPs. By
convention element-wise work, normalisation, pooling and biases do not. Operations that do the work
of a convolution or a matrix product where no formula sees it are named, and what they come to by
`measure/uncounted` is told apart from the MACs. Counts are of the module in the mode it is in, for
the inputs given: one image if the batch is 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from blockzoo.measure.dataless import call, stand_in, stand_ins, without_data
from blockzoo.measure.shapes import run_operation
from blockzoo.measure.uncounted import does_unseen_work, estimated_macs

aten = torch.ops.aten

_MATRIX_OPERANDS: dict[Any, tuple[int, int]] = {
    aten.mm: (0, 1),
    aten.bmm: (0, 1),
    aten.addmm: (1, 2),
    aten.baddbmm: (1, 2),
    aten.convolution: (0, 1),
    aten._convolution: (0, 1),
}
"""Where an operation that multiplies two tensors has them among its arguments."""

_ADDED_FORMULAS: dict[Any, Callable[..., int]] = dict.fromkeys(
    (
        aten._scaled_dot_product_flash_attention_for_cpu,
        aten._scaled_dot_product_fused_attention_overrideable,
    ),
    flop_registry[aten._scaled_dot_product_efficient_attention],
)
"""Fused attention that not every release of torch counts: its formula is that of the others."""


@dataclass(frozen=True, kw_only=True)
class ParameterCount:
    """Numbers of parameters; a parameter used in two places counts once."""

    total: int
    trainable: int


@dataclass(frozen=True, kw_only=True)
class Complexity:
    """MACs of a forward pass, of a training step, and the operations in it that none counted.

    `uncounted_macs` are those of the forward pass by operation, where a formula is documented.
    """

    macs: int
    training_macs: int
    uncounted: tuple[str, ...]
    uncounted_macs: dict[str, int] = field(default_factory=dict)


def count_parameters(module: nn.Module) -> ParameterCount:
    """Return the numbers of parameters, all and those that a training changes."""
    sizes = [(value.numel(), value.requires_grad) for value in module.parameters()]
    return ParameterCount(
        total=sum(size for size, _ in sizes),
        trainable=sum(size for size, trainable in sizes if trainable),
    )


def count_macs(module: nn.Module, *inputs: object) -> int:
    """Return the MACs of `module(*inputs)`; no arithmetic is done, the values do not matter."""
    return count_complexity(module, *inputs).macs


def count_training_macs(module: nn.Module, *inputs: object) -> int:
    """Return the MACs of a forward and a backward pass.

    The gradient of one factor of a product costs what the product costs, grouped convolutions
    included, so the backward pass is 2 x the forward pass, and half that for a layer whose input
    needs no gradient: the first one, unless an input requires a gradient.
    """
    return count_complexity(module, *inputs).training_macs


def uncounted_operations(module: nn.Module, *inputs: object) -> tuple[str, ...]:
    """Return, sorted, the operations of `module(*inputs)` with matrix-like work not in the MACs."""
    return count_complexity(module, *inputs).uncounted


def count_complexity(module: nn.Module, *inputs: object) -> Complexity:
    """Return all counts of `module(*inputs)` from one run without data (see `measure/dataless`)."""

    def run(device: str) -> Complexity:
        counter = _Counter()
        parameters, buffers = stand_ins(module, device)
        with torch.enable_grad(), counter:
            call(module, parameters, buffers, [_moved(value, device) for value in inputs])
        return counter.result()

    return without_data(run)


def _moved(value: object, device: str) -> object:
    if not isinstance(value, Tensor):
        return value
    return stand_in(value, device).requires_grad_(value.requires_grad)


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operation of a forward pass and adds up what it costs, and its backward."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._macs = self._backward_macs = 0
        self._uncounted: set[str] = set()
        self._uncounted_macs: Counter[str] = Counter()

    def result(self) -> Complexity:
        return Complexity(
            macs=self._macs,
            training_macs=self._macs + self._backward_macs,
            uncounted=tuple(sorted(self._uncounted)),
            uncounted_macs=dict(self._uncounted_macs),
        )

    def __torch_dispatch__(
        self,
        func: Any,
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        operation = func._overloadpacket
        formula = flop_registry.get(operation) or _ADDED_FORMULAS.get(operation)
        if formula is None:
            return self._run_uncounted(func, args, kwargs)
        output = run_operation(func, args, kwargs)
        self._count(operation, formula, args, kwargs, output)
        return output

    def _run_uncounted(self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        with self:  # inside a forward's own inference mode an operation arrives undecomposed
            output = func.decompose(*args, **kwargs)
        if output is not NotImplemented:
            return output
        output = run_operation(func, args, kwargs)
        if does_unseen_work(func):
            name = str(func._overloadpacket)
            self._uncounted.add(name)
            macs = estimated_macs(func, args, output)
            if macs is not None:
                self._uncounted_macs[name] += macs
        return output

    def _count(
        self,
        operation: Any,
        formula: Callable[..., int],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        output: Any,
    ) -> None:
        macs = formula(*args, **kwargs, out_val=output) // 2
        self._macs += macs
        if torch.is_grad_enabled():
            self._backward_macs += macs * _factors_with_gradient(operation, args)


def _factors_with_gradient(operation: Any, args: tuple[Any, ...]) -> int:
    """Return how many of the two factors of a product need a gradient.

    Fused attention is two products in one operation; all its operands are taken alike.
    """
    if operation in _MATRIX_OPERANDS:
        return sum(args[index].requires_grad for index in _MATRIX_OPERANDS[operation])
    needs_gradient = any(value.requires_grad for value in args if isinstance(value, Tensor))
    return 2 if needs_gradient else 0
