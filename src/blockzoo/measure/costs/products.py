"""What one operation costs: a table of formulas, and which operations are named for want of one.

A formula of the MACs is exact. Operations that multiply and add as matrices do and have none are
named; for some what they come to by a documented formula is told apart from the MACs. A product of
complex numbers is four of real ones, be it a convolution or a matrix product.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import flop_registry, sdpa_flop_count

from blockzoo.measure.costs.meta import tensors_in

aten = torch.ops.aten

CONVOLUTIONS: frozenset[Any] = frozenset(
    {
        *(F.conv1d, F.conv2d, F.conv3d),
        *(F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d),
    }
)
"""The functions that PyTorch computes by three real convolutions where numbers are complex."""

# Words of ATen names whose operations multiply and add as matrices do, or lay data out for it.
_MATRIX_WORDS = re.compile(
    r"""(^|_)(
        \w*mm | \w*mv | v?dot | \w*matmul | conv(?!ert)\w* | convolution | \w*dist | linear | addr
        | linalg\w* | cholesky\w* | lu | qr | ormqr | orgqr | geqrf | triangular | solve | lstsq
        | svd | inverse | fft | rnn | trilinear | im2col | col2im | grid | encoder
        | (?<=head_)attention | (?<=product_)(\w+_)?attention
    )(_|$)""",
    re.VERBOSE,
)
_NO_WORK = frozenset({"_linalg_check_errors", "lu_unpack", "slice_inverse", "linalg_diagonal"})
# Operations of these namespaces are known one by one; those of any other are custom kernels.
_PLAIN_NAMESPACES = frozenset({"aten", "prim", "prims", "profiler"})


def _conv_tbc(images: Tensor, weight: Tensor, *_: object, out_val: Tensor, **__: object) -> int:
    return 2 * out_val.numel() * math.prod(weight.shape[:2])


def _conv_tbc_backward(
    grad: Tensor, images: Tensor, weight: Tensor, *_: object, out_val: object
) -> int:
    return 2 * 2 * grad.numel() * math.prod(weight.shape[:2])


def _convolution_backward(
    grad: Tensor, images: Tensor, weight: Tensor, *options: Any, out_val: object
) -> int:
    # Each gradient costs what the convolution does; torch's formula is wrong for groups.
    transposed, mask = options[4], options[7]
    positions = images if transposed else grad
    gradients = int(mask[0]) + int(mask[1])
    return 2 * positions.numel() * math.prod(weight.shape[1:]) * gradients


def _attention_backward(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, *_: object, **__: object
) -> int:
    # Two gradients for each of its two products; what a fused kernel computes anew is its own.
    count: Callable[..., int] = sdpa_flop_count
    return 2 * count(query.shape, key.shape, value.shape)


_ATTENTION = flop_registry[aten._scaled_dot_product_efficient_attention]
_ADDED_FORMULAS: Mapping[str, Callable[..., int]] = {
    # Fused attention that not every release of torch counts: its formula is that of the others.
    "_scaled_dot_product_flash_attention_for_cpu": _ATTENTION,
    "_scaled_dot_product_fused_attention_overrideable": _ATTENTION,
    "_scaled_dot_product_flash_attention_for_cpu_backward": _attention_backward,
    "_scaled_dot_product_flash_attention_backward": _attention_backward,
    "_scaled_dot_product_efficient_attention_backward": _attention_backward,
    "_scaled_dot_product_cudnn_attention_backward": _attention_backward,
    "_int_mm": flop_registry[aten.mm],
    "conv_tbc": _conv_tbc,
    "conv_tbc_backward": _conv_tbc_backward,
    "convolution_backward": _convolution_backward,
}
"""By ATen name, in FLOPs; before those of `torch.utils.flop_counter`."""


def formula_of(func: Any, args: tuple[Any, ...]) -> Callable[..., int] | None:
    """Return the formula of the FLOPs of this operation; None where no exact one is known."""
    formula = _about(func)[0]
    return None if formula is None or is_sparse(args) else formula


# By id, because hashing an operation costs more than a look-up; the operation is kept so that no
# other one gets its id. Networks repeat few operations thousands of times.
_known: dict[int, tuple[Callable[..., int] | None, bool, Any]] = {}


def _about(func: Any) -> tuple[Callable[..., int] | None, bool, Any]:
    """Return the formula of an operation, whether it is to be named without, and itself."""
    if id(func) not in _known:
        _known[id(func)] = _registered(func), _looks_like_products(func), func
    return _known[id(func)]


def _registered(func: Any) -> Callable[..., int] | None:
    if func.namespace != "aten":
        return None
    name = function_name(func)
    if name in _ADDED_FORMULAS:
        return _ADDED_FORMULAS[name]
    packet = func._overloadpacket
    if packet not in flop_registry and func._schema.name.endswith("_"):
        packet = getattr(aten, name, packet)  # in place it costs the same
    formula: Callable[..., int] | None = flop_registry.get(packet)
    return formula


def does_unseen_work(func: Any) -> bool:
    """Return whether this operation is to be named where no formula of the MACs knows it."""
    return _about(func)[1]


def _looks_like_products(func: Any) -> bool:
    if func.namespace not in _PLAIN_NAMESPACES:
        return True
    name = function_name(func)
    return name not in _NO_WORK and _MATRIX_WORDS.search(name) is not None


def shown_name(func: Any, args: tuple[Any, ...]) -> str:
    """Return the name of an operation that is not counted: `aten.mm[sparse]`."""
    return f"{func._overloadpacket}{'[sparse]' if is_sparse(args) else ''}"


def estimated_macs(func: Any, args: tuple[Any, ...], output: Any) -> int | None:
    """Return the MACs of such an operation by its documented formula; None where it has none."""
    formula = None if is_sparse(args) else _FORMULAS.get(f"{func.namespace}.{function_name(func)}")
    macs = None if formula is None else formula(args, output)
    return None if macs is None else real_products(args) * macs


def function_name(func: Any) -> str:
    """Return the name of an operation without its namespace; in place or not it is the same."""
    name: str = func._schema.name.split("::")[1]
    return name.removesuffix("_")


def real_products(args: Iterable[Any]) -> int:
    """Return how many products of real numbers one of these operands takes: 4 if complex, else 1.

    >>> real_products([torch.ones(2, dtype=torch.complex64)])
    4
    """
    return 4 if is_complex(args) else 1


def is_complex(args: Iterable[Any]) -> bool:
    """Tell whether a tensor among the arguments is of complex numbers."""
    return any(value.is_complex() for value in args if isinstance(value, Tensor))


def is_sparse(args: Iterable[Any]) -> bool:
    """Tell whether a tensor among the arguments is sparse: how much it holds no shape tells."""
    return any(value.layout is not torch.strided for value in tensors_in(tuple(args)))


def _size_of(index: int) -> Callable[[tuple[Any, ...], Any], int]:
    """Return the formula of one MAC per value of that argument."""
    return lambda args, output: math.prod(args[index].shape)


def _vector_norm(args: tuple[Any, ...], output: Any) -> int | None:
    # Only the Euclidean norm multiplies: one product for each value.
    order = args[1] if len(args) > 1 else 2
    return math.prod(args[0].shape) if order == 2 else None


def _distances(args: tuple[Any, ...], output: Tensor) -> int | None:
    # Of a pair of points, one product for each coordinate; so for the Euclidean distance alone.
    order = args[2] if len(args) > 2 else 2
    return output.numel() * int(args[0].shape[-1]) if order == 2 else None


def _distances_within(args: tuple[Any, ...], output: Tensor) -> int | None:
    order = args[1] if len(args) > 1 else 2
    return output.numel() * int(args[0].shape[-1]) if order == 2 else None


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
    "aten._cdist_forward": _distances,
    "aten._euclidean_dist": _distances,
    "aten._pdist_forward": _distances_within,
    "aten.linalg_vector_norm": _vector_norm,
    "aten.grid_sampler_2d": _grid_sample,
    "aten.grid_sampler_3d": _grid_sample,
    "aten.im2col": lambda args, output: output.numel(),
    "torchvision.deform_conv2d": _deformable_convolution,
}
