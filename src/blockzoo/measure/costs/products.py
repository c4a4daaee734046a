"""What one operation costs: a table of formulas, and which operations are named for want of one.

A formula of the MACs is exact. Operations that multiply and add as matrices do and have none are
named; for some what they come to by a documented formula is told apart from the MACs. A product of
complex numbers is four of real ones, be it a convolution or a matrix product.

Which these are is told by their names, and by a rule for operations that nobody has heard of yet:
what makes one tensor of two or more of real or complex numbers, is not element-wise and is not
among those known to move, compare or reduce values alone, is named.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
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
# Two tensors or more go into these, and no products of them come out.
_MOVES_OR_COMPARES = frozenset(
    {
        *("copy", "_to_copy", "set", "resize_as", "lift_fresh", "where", "heaviside", "complex"),
        *("index_add", "index_copy", "index_fill", "index_put", "_index_put_impl", "index_reduce"),
        *("_unsafe_index_put", "_unsafe_masked_index_put_accumulate", "masked_fill", "put"),
        *("masked_scatter", "scatter", "scatter_add", "scatter_reduce", "segment_reduce"),
        *("slice_scatter", "select_scatter", "diagonal_scatter", "as_strided_scatter"),
        *("isin", "searchsorted", "bucketize", "equal", "allclose", "_prelu_kernel", "glu_jvp"),
        *("binary_cross_entropy", "huber_loss", "mse_loss", "multi_margin_loss", "polar"),
        *("smooth_l1_loss", "soft_margin_loss", "batch_norm_elemt", "rrelu_with_noise", "normal"),
        *("multilabel_margin_loss", "_dirichlet_grad", "_standard_gamma_grad", "_masked_scale"),
        *("quantize_per_tensor", "quantize_per_channel", "quantized_batch_norm", "_make_dual"),
    }
)
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


def _product(rows: Tensor, other: Tensor, *_: object, out_val: Tensor, **__: object) -> int:
    # Groups of rows or columns meet one matrix each, so every output is one sum over the columns of
    # the first; where the columns themselves are grouped, all groups together are one.
    if rows.dim() == other.dim() == 2 and out_val.dim() == 3:
        return 2 * rows.numel() * other.shape[-1]
    return 2 * out_val.numel() * rows.shape[-1]


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
    **dict.fromkeys(("_grouped_mm", "_scaled_grouped_mm", "_scaled_grouped_mm_v2"), _product),
    **dict.fromkeys(("_scaled_mm", "_scaled_mm_v2", "_dyn_quant_matmul_4bit"), _product),
    **dict.fromkeys(("_weight_int8pack_mm", "_weight_int4pack_mm"), _product),
    **dict.fromkeys(("_weight_int4pack_mm_for_cpu",), _product),
    **dict.fromkeys(("_weight_int4pack_mm_with_scales_and_zeros",), _product),
    "conv_tbc": _conv_tbc,
    "conv_tbc_backward": _conv_tbc_backward,
    "convolution_backward": _convolution_backward,
}
"""By ATen name, in FLOPs; before those of `torch.utils.flop_counter`."""


def formula_of(func: Any, args: tuple[Any, ...]) -> Callable[..., int] | None:
    """Return the formula of the FLOPs of this operation; None where no exact one is known."""
    formula = _about(func).formula
    return None if formula is None or is_sparse(args) else formula


# By id, because hashing an operation costs more than a look-up; the operation is kept so that no
# other one gets its id. Networks repeat few operations thousands of times.
_known: dict[int, _About] = {}


@dataclass(frozen=True, kw_only=True)
class _About:
    """What is known of an operation.

    `named`: it is to be named where it has no formula; `joins`: only where two of its tensors or
    more are of real or complex numbers. `reads`: what it returns depends on values, not on shapes.
    """

    func: Any
    formula: Callable[..., int] | None
    named: bool
    joins: bool
    reads: bool


def _about(func: Any) -> _About:
    known = _known.get(id(func))
    if known is None:
        known = _known[id(func)] = _About(
            func=func,
            formula=_registered(func),
            named=_looks_like_products(func),
            joins=_may_join(func),
            reads=not _READING.isdisjoint(func.tags),
        )
    return known


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


def does_unseen_work(func: Any, args: Iterable[Any]) -> bool:
    """Return whether this operation is to be named where no formula of the MACs knows it."""
    about = _about(func)
    return about.named or (about.joins and sum(map(_is_of_numbers, args)) >= 2)


def reads_values(func: Any) -> bool:
    """Tell whether what runs after this operation may depend on values, as after `Tensor.item`.

    >>> reads_values(aten._local_scalar_dense.default), reads_values(aten.relu.default)
    (True, False)
    """
    return _about(func).reads


_READING = frozenset({torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape})


def _is_of_numbers(value: object) -> bool:
    return isinstance(value, Tensor) and (value.is_floating_point() or value.is_complex())


def _may_join(func: Any) -> bool:
    """Tell whether this makes one tensor of two or more, by an unknown rule and not by element."""
    name, schema = function_name(func), func._schema
    if func.is_view or name.endswith("_backward") or name in _NO_WORK | _MOVES_OR_COMPARES:
        return False
    taken = [argument for argument in schema.arguments if str(argument.type) == "Tensor"]
    made = [str(value.type) for value in schema.returns]
    return len(taken) >= 2 and made == ["Tensor"] and not _is_by_element(func, name)


def _is_by_element(func: Any, name: str) -> bool:
    # Not all variants of an operation are marked: the one that writes into a given tensor is not.
    packets = (func._overloadpacket, getattr(aten, name, None))
    return any(
        torch.Tag.pointwise in getattr(packet, overload).tags
        for packet in packets
        if packet is not None
        for overload in packet.overloads()
    )


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
