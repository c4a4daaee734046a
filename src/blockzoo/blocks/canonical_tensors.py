"""Tensors, arrays and generators of random numbers as text."""

from __future__ import annotations

import hashlib
import random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from blockzoo.blocks.canonical import Describer, handles

_PLAIN = (Tensor, nn.Parameter)


@handles(Tensor)
def _tensor(describer: Describer, tensor: Tensor) -> str:
    return describer.once(tensor, described_with_values)


def described_with_values(describer: Describer, tensor: Tensor) -> str:
    """Return all there is of a tensor: what `described` does, and its numbers where it has some."""
    return f"{described(describer, tensor)} {_values(describer, tensor)}"


def described(describer: Describer, tensor: Tensor) -> str:
    """Return shape, type and what is attached to a tensor, but not its numbers."""
    text = f"{tuple(tensor.shape)} {tensor.dtype} grad={tensor.requires_grad}"
    if type(tensor) not in _PLAIN:
        text += f" {describer.text(type(tensor))}"
    if tensor.layout is torch.strided and not tensor.is_contiguous():
        text += f" strides {tensor.stride()}"
    if hooks := getattr(tensor, "_backward_hooks", None):
        text += f" hooks {describer.texts(hooks.values())}"
    if hooks := getattr(tensor, "_post_accumulate_grad_hooks", None):
        text += f" late hooks {describer.texts(hooks.values())}"
    # A mark that whoever made the parameter left on it.
    if attributes := vars(tensor):
        text += f" ({describer.named(attributes, 'a tensor')})"
    return text


def _values(describer: Describer, tensor: Tensor) -> str:
    if tensor.is_meta:
        return "without data"
    if tensor.layout is not torch.strided or tensor.is_quantized or type(tensor) not in _PLAIN:
        return describer.without_form(tensor)
    shared = ""
    if tensor.numel():
        storage = tensor.untyped_storage().data_ptr()
        known = describer.number(("storage", storage))
        shared = "" if known is None else f" in memory of #{known} at {tensor.storage_offset()}"
    plain = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous().flatten()
    return f"{_digest(plain.view(torch.uint8).numpy().tobytes())}{shared}"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


@handles(np.ndarray)
def _array(describer: Describer, array: np.ndarray[Any, Any]) -> str:
    return describer.once(array, _described_array)


def _described_array(describer: Describer, array: np.ndarray[Any, Any]) -> str:
    text = f"array {array.shape} {array.dtype.descr!r}"
    if type(array) is not np.ndarray:
        text += f" {describer.text(type(array))}"
    if array.dtype.hasobject:
        return f"{text} {describer.text(array.tolist())}"
    return f"{text} {_digest(np.ascontiguousarray(array).tobytes())}"


@handles(np.generic)
def _scalar(_: Describer, scalar: np.generic) -> str:
    return f"{type(scalar).__name__} {scalar.tobytes().hex()}"


@handles(
    np.dtype,
    torch.dtype,
    torch.device,
    torch.layout,
    torch.memory_format,
    torch.finfo,
    torch.iinfo,
)
def _by_repr(_: Describer, value: object) -> str:
    return f"{type(value).__name__} {value!r}"


@handles(type(torch.ops.aten.relu), type(torch.ops.aten.relu.default))
def _operation(_: Describer, value: object) -> str:
    return str(value)


@handles(random.Random)
def _python_generator(describer: Describer, generator: random.Random) -> str:
    return f"random {_digest(repr(generator.getstate()).encode())}"


@handles(np.random.Generator)
def _numpy_generator(describer: Describer, generator: np.random.Generator) -> str:
    return f"random {describer.text(dict(generator.bit_generator.state))}"


@handles(np.random.RandomState)
def _old_numpy_generator(describer: Describer, generator: np.random.RandomState) -> str:
    return f"random {describer.text(generator.get_state(legacy=False))}"


@handles(torch.Generator)
def _torch_generator(_: Describer, generator: torch.Generator) -> str:
    return f"random {generator.device} {_digest(generator.get_state().numpy().tobytes())}"
