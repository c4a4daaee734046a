"""Parameters and multiply-accumulate operations (MACs) of any module, as exact integers.

One MAC is one multiplication and one addition; FLOPs are 2 x MACs. Convolutions and matrix
products count, with the formulas of `torch.utils.flop_counter`, whose figures are FLOPs. By
convention element-wise work, normalisation, pooling and biases do not. Operations that do the work
of a convolution or a matrix product where no formula sees it are named, and what they come to by
a documented formula is kept apart from the MACs (see `products.py`). Where what is computed
depends on values, that is named as well, and the count is that of inputs that are zero. Counts are
of the module in the mode it is in, for the inputs given: one image if the batch is 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from blockzoo.measure.costs.backward import (
    UNKNOWN_BACKWARD,
    factors_with_gradient,
    has_own_backward,
    saving_is_changed,
)
from blockzoo.measure.costs.meta import (
    run_operation,
    stand_in,
    stand_ins,
    standing_in,
    tensors_in,
    without_data,
)
from blockzoo.measure.costs.products import (
    CONVOLUTIONS,
    does_unseen_work,
    estimated_macs,
    formula_of,
    function_name,
    is_complex,
    reads_values,
    real_products,
    shown_name,
)

BY_VALUES = "control_flow_on_values"
"""Stands among the uncounted where other inputs may take another way: this one is all zeros.

One word, as names of operations are: tables join them by spaces.
"""


@dataclass(frozen=True, kw_only=True)
class ParameterCount:
    """Numbers of parameters; a parameter used in two places counts once."""

    total: int
    trainable: int


@dataclass(frozen=True, kw_only=True)
class Complexity:
    """MACs of a forward pass, of a training step, and the operations in it that none counted.

    The gradient of one factor of a product costs what the product costs, grouped convolutions
    included, so `training_macs`, of a forward and a backward pass, are 3 x the forward pass, and
    2 x for a layer whose input needs no gradient: the first one, unless an input requires a
    gradient. Where a custom `autograd.Function` or checkpointing makes the backward pass do
    something else, it is run and its operations are counted. `uncounted`: the operations with
    matrix-like work that is in neither, sorted. `uncounted_macs` are those of the forward pass by
    operation, where a formula is documented.
    """

    macs: int
    training_macs: int
    uncounted: tuple[str, ...]
    uncounted_macs: dict[str, int] = field(default_factory=dict)


def count_parameters(module: nn.Module) -> ParameterCount:
    """Return the numbers of parameters, all and those that a training changes.

    Args:
        module: Any module; a parameter used in two places counts once.

    Returns:
        A `ParameterCount` with `total` and `trainable`.

    Example:
        >>> count_parameters(nn.Linear(4, 2))
        ParameterCount(total=10, trainable=10)
    """
    sizes = [(value.numel(), value.requires_grad) for value in module.parameters()]
    return ParameterCount(
        total=sum(size for size, _ in sizes),
        trainable=sum(size for size, trainable in sizes if trainable),
    )


def count_macs(module: nn.Module, *inputs: object) -> int:
    """Return the multiply-accumulate operations of `module(*inputs)`; FLOPs are twice as many.

    Convolutions and matrix products count, element-wise work does not. No arithmetic is done, so
    the values of the inputs do not matter.

    Args:
        module: Any module.
        *inputs: What it is called with, such as a tensor (N, 3, H, W).

    Returns:
        The MACs of the whole batch, exact.

    Example:
        >>> count_macs(nn.Conv2d(3, 8, 3, padding=1), torch.empty(1, 3, 32, 32))  # 3*9*8*32*32
        221184
    """
    return count_complexity(module, *inputs).macs


def count_complexity(module: nn.Module, *inputs: object) -> Complexity:
    """Return all counts of `module(*inputs)` from one run without data, see `costs/meta.py`.

    >>> complexity = count_complexity(nn.Linear(4, 2), torch.empty(1, 4))
    >>> complexity.macs, complexity.training_macs  # the input needs no gradient
    (8, 16)
    """

    def run(device: str) -> Complexity:
        parameters, buffers = stand_ins(module, device)
        counter = _Counter([*parameters.values(), *buffers.values()])
        # To the end of it: a backward pass may run parts of the module again.
        in_place = standing_in(module, parameters, buffers)
        with torch.enable_grad(), in_place, counter, _ComplexConvolutions(counter):
            output = module(*[_moved(value, device) for value in inputs])
            outputs = [value for value in tensors_in(output) if value.requires_grad]
            if counter.recomputes or has_own_backward(outputs):
                _count_backward(counter, outputs, device)
        return counter.result()

    return without_data(run)


def _moved(value: object, device: str) -> object:
    if not isinstance(value, Tensor):
        return value
    # An input that requires a gradient makes the first layer's backward pass dearer.
    return stand_in(value, device).requires_grad_(value.requires_grad)


def _count_backward(counter: _Counter, outputs: list[Tensor], device: str) -> None:
    """Run the backward pass and count it operation by operation, where no rule tells its cost."""
    counter.begin_backward()
    try:
        torch.autograd.backward(outputs, [torch.ones_like(value) for value in outputs])
    except Exception:
        if device == "meta":  # the run on the CPU decides
            raise
        counter.name_backward()


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operation of a forward pass and adds up what it costs, and its backward."""

    def __init__(self, state: list[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._state = {id(value) for value in state}
        self.macs = self.backward_macs = 0
        self.recomputes = self._in_backward = False
        self._uncounted: set[str] = set()
        self._reads_values = False
        self._uncounted_macs: Counter[str] = Counter()

    def result(self) -> Complexity:
        return Complexity(
            macs=self.macs,
            training_macs=self.macs + self.backward_macs,
            uncounted=tuple(
                sorted(self._uncounted | ({BY_VALUES} if self._reads_values else set()))
            ),
            uncounted_macs=dict(self._uncounted_macs),
        )

    def begin_backward(self) -> None:
        """Count what runs from here on as the backward pass, in the place of the rule."""
        self._in_backward, self.backward_macs = True, 0

    def name_backward(self) -> None:
        """Name the backward pass as one that could be neither run nor counted."""
        self._uncounted.add(UNKNOWN_BACKWARD)

    def __torch_dispatch__(
        self,
        func: Any,
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        formula = formula_of(func, args)
        if formula is None:
            return self._run_uncounted(func, args, kwargs)
        output = run_operation(func, args, kwargs)
        self._count(func, formula(*args, **kwargs, out_val=output), args)
        return output

    def _run_uncounted(self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        with self:  # inside a forward's own inference mode an operation arrives undecomposed
            output = func.decompose(*args, **kwargs)
        if output is not NotImplemented:
            return output
        output = run_operation(func, args, kwargs)
        if reads_values(func) and id(args[0]) not in self._state:  # a counter, say, is no input
            self._reads_values = True
        if does_unseen_work(func, args) and not self._is_gradient_of_named(func):
            name = shown_name(func, args)
            self._uncounted.add(name)
            macs = estimated_macs(func, args, output)
            if macs is not None and not self._in_backward:
                self._uncounted_macs[name] += macs
        return output

    def _is_gradient_of_named(self, func: Any) -> bool:
        """Tell whether this is the backward pass of an operation that is named already."""
        forward = function_name(func).strip("_").removesuffix("_backward")
        names = {name.split(".")[1].split("[")[0].strip("_") for name in self._uncounted}
        return self._in_backward and forward in {name.removesuffix("_forward") for name in names}

    def _count(self, func: Any, flops: int, args: tuple[Any, ...]) -> None:
        macs = real_products(args) * (flops // 2)  # torch's figures are FLOPs
        if self._in_backward:
            self.backward_macs += macs
            return
        self.macs += macs
        if torch.is_grad_enabled():
            self.backward_macs += macs * factors_with_gradient(func, args)
            # What is saved for the backward pass is not kept: it will be computed once more.
            self.recomputes = self.recomputes or saving_is_changed()


class _ComplexConvolutions(TorchFunctionMode):
    """Counts a convolution of complex numbers as four of real ones, as other products are.

    PyTorch computes it by three, with additions in the place of the fourth: an operation counter
    sees these alone.
    """

    def __init__(self, counter: _Counter) -> None:
        super().__init__()
        self._counter = counter

    def __torch_function__(
        self,
        func: Any,
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run one function; PyTorch calls this."""
        kwargs = kwargs or {}
        if func not in CONVOLUTIONS or not is_complex((*args, *kwargs.values())):
            return func(*args, **kwargs)
        counter = self._counter
        before = counter.macs, counter.backward_macs
        output = func(*args, **kwargs)
        counter.macs += (counter.macs - before[0]) // 3
        counter.backward_macs += (counter.backward_macs - before[1]) // 3
        return output
