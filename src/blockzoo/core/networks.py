"""A network copied, cast and laid out, whatever its weights are and whatever else it holds.

`copy.deepcopy` refuses what `weight_norm`, `spectral_norm` and `prune` leave on a layer, which is
computed from other weights, and whatever belongs to this process, such as a lock. `Module.to` casts
complex weights to real ones and gives only networks of convolutions a memory layout.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from types import FunctionType, ModuleType
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)

_COMPLEX_OF = {torch.float64: torch.complex128}
# Copies of these are themselves.
_ATOMS = (bool, int, float, complex, str, bytes, type(None), type, FunctionType)


def copied(module: Module) -> Module:
    """Return a copy of a network that shares no weights with it.

    A tensor that was computed from others is copied by its values. What cannot be copied at all (a
    lock, an open file, a generator, a stream) is one object in both. Raises what the network's own
    ways of being copied raise.

    >>> from torch.nn.utils import prune
    >>> layer = prune.l1_unstructured(nn.Linear(2, 2), "weight", 0.5)
    >>> twin = copied(layer)  # its weight is computed from two others
    >>> torch.equal(twin.weight, layer.weight), twin.weight_orig is layer.weight_orig
    (True, False)
    """
    try:
        return copy.deepcopy(module)
    except (TypeError, NotImplementedError, RuntimeError):
        memo = _memo_for(module)
        if not memo:
            raise
        return copy.deepcopy(module, memo)


def named_parts(module: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return what `module.named_modules()` yields, which walks in a third of the time.

    >>> [name for name, _ in named_parts(nn.Sequential(nn.Sequential(nn.ReLU()), nn.ReLU()))]
    ['', '0', '0.0', '1']
    """
    found, seen = [], set()
    waiting: list[tuple[str, Any]] = [("", module)]
    while waiting:
        path, part = waiting.pop()
        if part not in seen:
            seen.add(part)
            found.append((path, part))
            inside = f"{path}." if path else ""
            children = [
                (f"{inside}{name}", c) for name, c in part._modules.items() if c is not None
            ]
            waiting += reversed(children)
    return found


def _memo_for(module: nn.Module) -> dict[int, Any]:
    """Return, by its id, what stands in the copy for each thing that `copy.deepcopy` refuses."""
    memo: dict[int, Any] = {}
    for value in _held_by(module):
        if isinstance(value, Tensor):
            if value.grad_fn is not None:
                memo[id(value)] = value.detach().clone()
        elif not _can_be_copied(value):
            memo[id(value)] = value
    return memo


def cast(value: Tensor, dtype: torch.dtype) -> Tensor:
    """Return real numbers as `dtype`, complex ones as pairs of such, and others as they are.

    There are no pairs of bfloat16, and of float16 few operations: those stay pairs of float32.

    >>> [cast(torch.ones(1, dtype=d), torch.float64).dtype for d in (torch.cfloat, torch.int8)]
    [torch.complex128, torch.int8]
    """
    if value.is_complex():
        return value.to(_COMPLEX_OF.get(dtype, torch.complex64))
    return value.to(dtype) if value.is_floating_point() else value


def laid_out(value: Tensor, memory_format: torch.memory_format) -> Tensor:
    """Return a tensor in that memory layout; channels-last is one of images and kernels alone.

    >>> bank = torch.ones(4, 8, 8, 3, 3)
    >>> laid_out(bank, torch.channels_last) is bank
    True
    """
    of_images = (4,) if memory_format is torch.channels_last else (4, 5)
    return value.contiguous(memory_format=memory_format) if value.dim() in of_images else value


def cast_network(module: Module, dtype: torch.dtype) -> Module:
    """Cast all weights and buffers of `module` itself, see `cast`, and return it.

    >>> layer = nn.Conv2d(1, 1, 1, dtype=torch.cfloat)
    >>> cast_network(layer, torch.float64).weight.dtype
    torch.complex128
    """
    _apply(module, lambda value: cast(value, dtype))
    return module


def lay_out_network(module: Module, memory_format: torch.memory_format) -> Module:
    """Lay out all weights and buffers of `module` itself, see `laid_out`, and return it.

    >>> layer = lay_out_network(nn.Conv3d(2, 2, 1), torch.channels_last)  # has kernels of 5 sizes
    >>> layer.weight.is_contiguous()
    True
    """
    _apply(module, lambda value: laid_out(value, memory_format))
    return module


def _apply(module: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
    # What `Module.to` does; layers that keep more than weights (nn.LSTM) take part in it.
    module._apply(change)  # type: ignore[no-untyped-call]


def _can_be_copied(value: object) -> bool:
    if isinstance(value, nn.Module | Mapping | list | tuple | set):
        return True  # what is in them is judged by itself
    try:
        copy.deepcopy(value)
    except Exception:  # noqa: BLE001 - how a class of somebody refuses is its own
        return False
    return True


def _held_by(module: nn.Module) -> Iterator[object]:
    """Yield what a network holds, each once: values of its parts, in containers and objects too."""
    seen: set[int] = set()
    waiting: list[object] = [module]
    while waiting:
        value = waiting.pop()
        if isinstance(value, _ATOMS) or id(value) in seen:
            continue
        seen.add(id(value))
        yield value
        waiting += _parts_of(value)


def _parts_of(value: object) -> list[object]:
    if isinstance(value, Mapping):
        return list(value.values())
    if isinstance(value, list | tuple | set):
        return list(value)
    if isinstance(value, Tensor | ModuleType):
        return []
    return list(getattr(value, "__dict__", {}).values())
