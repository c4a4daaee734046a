"""Parameters and multiply-accumulate operations (MACs) of any module, as exact integers.

One MAC is one multiplication and one addition; FLOPs are 2 x MACs. Convolutions and matrix
products count, with the formulas of `torch.utils.flop_counter`, whose figures are FLOPs. By
convention element-wise work, normalisation, pooling and biases do not. Operations that do the work
of a convolution or a matrix product where no formula sees it are named, and what they come to by
a documented formula is kept apart from the MACs. Counts are of the module in the mode it is in, for
the inputs given: one image if the batch is 1.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from blockzoo.measure.costs.meta import call, run_operation, stand_in, stand_ins, without_data

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

_UNSEEN_NAMES = frozenset(
    {
        *("addbmm", "addmv", "addr", "dot", "mv", "vdot"),
        *("_cdist_forward", "_trilinear", "col2im", "im2col", "grid_sampler_2d"),
        *("grid_sampler_3d", "_fft_c2c", "_fft_c2r", "_fft_r2c", "_cudnn_rnn", "mkldnn_rnn_layer"),
    }
)
"""ATen operations that multiply and add as matrices do (or lay data out for it)."""

# Operations of these namespaces are known one by one; those of any other are custom kernels.
_PLAIN_NAMESPACES = frozenset({"aten", "prim", "prims", "profiler"})


def does_unseen_work(func: Any) -> bool:
    """Return whether this operation is to be named where no formula of the MACs knows it."""
    if func.namespace not in _PLAIN_NAMESPACES:
        return True
    name = _name(func)
    return name in _UNSEEN_NAMES or name.startswith("linalg_")


def estimated_macs(func: Any, args: tuple[Any, ...], output: Any) -> int | None:
    """Return the MACs of such an operation by its documented formula; None where it has none."""
    formula = _FORMULAS.get(f"{func.namespace}.{_name(func)}")
    return None if formula is None else formula(args, output)


def _name(func: Any) -> str:
    name: str = func._schema.name.split("::")[1]
    return name


def _size_of(index: int) -> Callable[[tuple[Any, ...], Any], int]:
    """Return the formula of one MAC per value of that argument."""
    return lambda args, output: math.prod(args[index].shape)


def _vector_norm(args: tuple[Any, ...], output: Any) -> int | None:
    # Only the Euclidean norm multiplies: one product for each value.
    order = args[1] if len(args) > 1 else 2
    return math.prod(args[0].shape) if order == 2 else None


def _grid_sample(args: tuple[Any, ...], output: Tensor) -> int:
    # Each value read is a weighted sum of the values around the place it is read at.
    dimensions, mode = output.dim() - 2, args[2]
    corners = {0: 2**dimensions, 1: 0, 2: 4**dimensions}  # bilinear, nearest, bicubic
    macs: int = corners[mode] * output.numel()
    return macs


def _deformable_convolution(args: tuple[Any, ...], output: Tensor) -> int:
    images, weight = args[0], args[1]
    uses_mask = bool(args[-1])
    window, places = math.prod(weight.shape[2:]), math.prod(output.shape[2:])
    # Beside the product with the kernel each sample is interpolated between four pixels, and
    # multiplied by its mask where there is one.
    sampled = output.shape[0] * images.shape[1] * window * places
    macs: int = output.numel() * math.prod(weight.shape[1:]) + (5 if uses_mask else 4) * sampled
    return macs


_FORMULAS: Mapping[str, Callable[[tuple[Any, ...], Any], int | None]] = {
    "aten.addbmm": lambda args, output: math.prod(args[1].shape) * args[2].shape[2],
    "aten.addmv": _size_of(1),
    "aten.addr": lambda args, output: output.numel(),
    "aten.mv": _size_of(0),
    "aten.dot": _size_of(0),
    "aten.vdot": _size_of(0),
    "aten.linalg_vector_norm": _vector_norm,
    "aten.grid_sampler_2d": _grid_sample,
    "aten.grid_sampler_3d": _grid_sample,
    "aten.im2col": lambda args, output: output.numel(),
    "torchvision.deform_conv2d": _deformable_convolution,
}


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
    gradient. `uncounted`: the operations with matrix-like work that is in neither, sorted.
    `uncounted_macs` are those of the forward pass by operation, where a formula is documented.
    """

    macs: int
    training_macs: int
    uncounted: tuple[str, ...]
    uncounted_macs: dict[str, int] = field(default_factory=dict)


def count_parameters(module: nn.Module) -> ParameterCount:
    """Return the numbers of parameters, all and those that a training changes.

    >>> count_parameters(nn.Linear(4, 2))
    ParameterCount(total=10, trainable=10)
    """
    sizes = [(value.numel(), value.requires_grad) for value in module.parameters()]
    return ParameterCount(
        total=sum(size for size, _ in sizes),
        trainable=sum(size for size, trainable in sizes if trainable),
    )


def count_macs(module: nn.Module, *inputs: object) -> int:
    """Return the MACs of `module(*inputs)`; no arithmetic is done, the values do not matter.

    >>> count_macs(nn.Conv2d(3, 8, 3, padding=1), torch.empty(1, 3, 32, 32))  # 3 * 9 * 8 * 32 * 32
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
        counter = _Counter()
        parameters, buffers = stand_ins(module, device)
        with torch.enable_grad(), counter:
            call(module, parameters, buffers, [_moved(value, device) for value in inputs])
        return counter.result()

    return without_data(run)


def _moved(value: object, device: str) -> object:
    if not isinstance(value, Tensor):
        return value
    # An input that requires a gradient makes the first layer's backward pass dearer.
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
        macs = formula(*args, **kwargs, out_val=output) // 2  # torch's figures are FLOPs
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
