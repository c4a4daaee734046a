"""A fingerprint of a module as built: structure, shapes and hyperparameters, not weights.

Two modules with equal fingerprints compute the same function of the same weights, as far as their
attributes tell; a record made with one stands for the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from types import BuiltinFunctionType, FunctionType

import torch
from torch import nn

_NOT_STRUCTURE = {"training", "_version"}
_FUNCTIONS = (FunctionType, BuiltinFunctionType)
_PLAIN = (bool, int, float, str, torch.dtype, *_FUNCTIONS)


def fingerprint(module: nn.Module) -> str:
    """Return 16 hexadecimal digits that change when the structure of `module` changes."""
    digest = hashlib.sha256()
    for line in _describe(module):
        digest.update(line.encode())
        digest.update(b"\n")
    return digest.hexdigest()[:16]


def _describe(module: nn.Module) -> Iterator[str]:
    for name, child in module.named_modules():
        yield f"{name}: {type(child).__module__}.{type(child).__qualname__}"
        for key, value in sorted(vars(child).items()):
            if key not in _NOT_STRUCTURE and _is_plain(value):
                yield f"  {key} = {_told(value)}"
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        yield f"{name}: {tuple(tensor.shape)} {tensor.dtype} grad={tensor.requires_grad}"


def _is_plain(value: object) -> bool:
    if isinstance(value, tuple | list):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, _PLAIN)


def _told(value: object) -> str:
    """Return the value as text, without the address that the repr of a function holds."""
    if isinstance(value, tuple | list):
        return f"({', '.join(map(_told, value))})"
    if isinstance(value, _FUNCTIONS):
        return f"{value.__module__}.{value.__qualname__}"
    return repr(value)
