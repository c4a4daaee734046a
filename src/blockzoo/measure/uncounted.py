"""Operations with matrix-like work that is not among the MACs, and what that work comes to.

An estimate is in MACs: one multiplication and one addition. The formulas:

addbmm, addmv, addr, mv, dot, vdot    one per pair of factors, as in any product
linalg_vector_norm (of order 2)       one per value: its square is added
grid_sampler_2d, grid_sampler_3d      one per output value and neighbour that it is mixed from: 4
                                      or 8 linear, 16 cubic, none nearest
im2col                                one per value laid out, as in the weighted sum over windows of
                                      k x k values that it is made for (involution: k k C H W); too
                                      much where a matrix product follows, which is counted already
torchvision.deform_conv2d             those of the convolution, and per sampled value 4 for bilinear
                                      interpolation and 1 for its mask

All others (Fourier transforms, solvers, recurrent kernels, foreign ones) are named without one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

_UNSEEN_NAMES = frozenset(
    {
        *("addbmm", "addmv", "addr", "dot", "mv", "vdot"),
        *("_cdist_forward", "_trilinear", "col2im", "im2col", "grid_sampler_2d"),
        *("grid_sampler_3d", "_fft_c2c", "_fft_c2r", "_fft_r2c", "_cudnn_rnn", "mkldnn_rnn_layer"),
    }
)
"""ATen operations that multiply and add as matrices do (or lay data out for it)."""

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
    order = args[1] if len(args) > 1 else 2
    return math.prod(args[0].shape) if order == 2 else None


def _grid_sample(args: tuple[Any, ...], output: Tensor) -> int:
    dimensions, mode = output.dim() - 2, args[2]
    neighbours = {0: 2**dimensions, 1: 0, 2: 4**dimensions}  # bilinear, nearest, bicubic
    macs: int = neighbours[mode] * output.numel()
    return macs


def _deformable_convolution(args: tuple[Any, ...], output: Tensor) -> int:
    images, weight = args[0], args[1]
    uses_mask = bool(args[-1])
    window, places = math.prod(weight.shape[2:]), math.prod(output.shape[2:])
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
