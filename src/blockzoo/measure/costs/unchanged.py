"""Leaves a module as it was before it ran: what its forward pass keeps is taken away again.

Blocks keep grids and masks by size in attributes, in dicts of their own, of their class or of their
file, in closures of hooks and in caches of functions. What a run without data puts there has no
numbers, and what a run at another size puts there is another state than the constructor's.

Whatever a module holds or its code can reach is noted before the run, each container by what it
holds and not by copies, and put back after it. PyTorch, BlockZoo and Python itself are taken to
keep nothing beside their modules. Of an installed package the classes in the module are looked at
and the files that these stand in, not all that those import.
"""

from __future__ import annotations

import random
import sys
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial
from operator import is_
from pathlib import Path
from types import CellType, FunctionType, MemberDescriptorType, MethodType, ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.utils._python_dispatch import _disable_current_modes

from blockzoo.core.networks import named_parts

_FOUNDATIONS = {"blockzoo", "builtins", "numpy", "timm", "torch", "torchvision"}
_INSTALLED = {"site-packages", "dist-packages"}
_HOLDERS = {"collections", "types", "weakref", "argparse", "threading"}
"""Modules of the standard library whose objects do nothing but hold others."""

_TENSOR_BYTES_MAX = 2**24
"""Plain tensors up to here are copied, for they may be changed in place; a grid is far smaller."""

_CONTAINERS = {dict, OrderedDict, list, set}
_CACHES = (dict, list, set, Tensor, nn.Module)
"""What is looked at in the files of an installed package."""
_EMPTY = object()


@contextmanager
def left_unchanged(*roots: object) -> Iterator[None]:
    """Have `roots`, modules or what makes them, and all they keep be afterwards what they are now.

    Weights and buffers that are changed in place are not put back: runs have stand-ins for them.

    >>> kept = {"grid": None}
    >>> with left_unchanged(kept):
    ...     kept["grid"] = torch.ones(2)
    >>> kept
    {'grid': None}
    """
    if all(map(_keeps_nothing, roots)):
        yield
        return
    # Unseen by whoever counts or records the operations of the run.
    with _disable_current_modes():
        notes = _notes_of(roots)
    try:
        yield
    finally:
        with _disable_current_modes():
            for put_back, owner, before in notes:
                put_back(owner, before)


def _keeps_nothing(root: object) -> bool:
    """Tell whether all code that runs in this module is known to keep nothing.

    So it is with most of the zoo, which is profiled as a whole and often.
    """
    return isinstance(root, nn.Module) and not any(
        _may_keep(type(part), part.__dict__) or part._forward_pre_hooks or part._forward_hooks
        for _, part in named_parts(root)
    )


def _may_keep(kind: type, attributes: dict[str, Any]) -> bool:
    """Tell whether a layer is of a user, has a forward of its own or a dict to keep things in.

    timm's attention keeps its biases by device in one; no layer of torch does.
    """
    if not _is_known(kind) or "forward" in attributes:
        return True
    return not _is_of_torch(kind) and any(
        type(value) is dict and name[0] != "_" for name, value in attributes.items()
    )


@cache
def _is_known(kind: type) -> bool:
    # A lazy layer becomes another one as it first runs.
    known = kind.__module__.partition(".")[0] in ("blockzoo", "timm", "torch", "torchvision")
    return known and not issubclass(kind, LazyModuleMixin)


@cache
def _is_of_torch(kind: type) -> bool:
    return kind.__module__.startswith("torch.nn.")


class _Note(NamedTuple):
    put_back: Callable[[Any, Any], None]
    owner: Any
    before: Any


def _notes_of(roots: Iterable[object]) -> list[_Note]:
    """Return how everything that can be reached from `roots` is put back."""
    notes: list[_Note] = []
    # The objects themselves beside their ids, which would be given to others once they are gone.
    seen: dict[int, object] = {}
    waiting = list(roots)
    while waiting:
        value = waiting.pop()
        kind: Any = type(value)
        look = _look_at(kind)
        if look is not None and id(value) not in seen:
            seen[id(value)] = value
            # What refuses to be looked at is left alone: it says nothing of the module.
            with suppress(Exception):
                look(value, notes, waiting)
    return notes


_Look = Callable[[Any, list[_Note], list[Any]], None]
"""Notes what a value is made of, and adds to the list of what is to be looked at next."""


@cache
def _look_at(kind: type) -> _Look | None:
    """Return how values of that type are looked at; None for those that keep nothing."""
    for base, look in _LOOKS:
        if issubclass(kind, base):
            return look
    if hasattr(kind, "cache_info") and hasattr(kind, "cache_clear"):
        return _look_at_function_cache
    if _is_library(kind.__module__) and kind.__module__.partition(".")[0] not in _HOLDERS:
        return None
    return _look_at_object


def _look_at_module(module: nn.Module, notes: list[_Note], waiting: list[Any]) -> None:
    attributes, empty = module.__dict__, []
    for name, value in attributes.items():
        kind: Any = type(value)
        if kind in _CONTAINERS and not value:
            empty.append(value)  # as nearly all are of the fifteen that every module has
        elif name in ("_parameters", "_buffers") and kind in _CONTAINERS:
            # Not what they hold, for which the run has stand-ins.
            notes.append(_Note(_put_back_dict, value, value.copy()))
        elif _look_at(kind) is not None:
            waiting.append(value)
    notes.append(_Note(_put_back_module, module, (type(module), attributes.copy(), empty)))
    if not _is_library(type(module).__module__):
        waiting.append(type(module))


def _look_at_dict(values: dict[Any, Any], notes: list[_Note], waiting: list[Any]) -> None:
    # `dict(values)`, for a class of a user may copy itself in a way of its own.
    notes.append(_Note(_put_back_dict, values, dict(values)))
    if values:
        waiting.extend(dict.values(values))
    if type(values) not in (dict, OrderedDict):
        _look_at_object(values, notes, waiting)


def _look_at_list(values: list[Any] | deque[Any], notes: list[_Note], waiting: list[Any]) -> None:
    notes.append(_Note(_put_back_list, values, list(values)))
    waiting.extend(values)


def _look_at_set(values: set[Any], notes: list[_Note], waiting: list[Any]) -> None:
    notes.append(_Note(_put_back_set, values, set(values)))


def _look_at_tuple(values: tuple[Any, ...], notes: list[_Note], waiting: list[Any]) -> None:
    waiting.extend(values)


def _look_at_object(value: Any, notes: list[_Note], waiting: list[Any]) -> None:
    waiting.append(type(value))
    attributes = getattr(value, "__dict__", None)
    if type(attributes) is dict:
        waiting.append(attributes)
    kind: Any = type(value)
    for slot in _slots(kind):
        content = _in_slot(slot, value)
        notes.append(_Note(partial(_put_back_slot, slot), value, content))
        waiting.append(content)


def _look_at_class(kind: type, notes: list[_Note], waiting: list[Any]) -> None:
    for base in kind.__mro__:
        if not _is_library(base.__module__):
            attributes = dict(vars(base))
            notes.append(_Note(_put_back_class_attributes, base, attributes))
            waiting.extend(attributes.values())


def _look_at_function(function: FunctionType, notes: list[_Note], waiting: list[Any]) -> None:
    if _is_library(function.__module__):
        # A hook of a library may still enclose what a user gave it.
        waiting.extend(function.__closure__ or ())
        return
    waiting.extend((function.__dict__, function.__defaults__, function.__kwdefaults__))
    waiting.extend(function.__closure__ or ())
    names = function.__globals__
    # Without those of Python itself, such as which warnings were shown.
    before = {name: value for name, value in names.items() if not name.startswith("__")}
    notes.append(_Note(_put_back_globals, names, before))
    # What this function calls may keep something, too; a package as a whole is too much to look at.
    if _is_installed(function.__module__):
        waiting.extend(value for value in before.values() if isinstance(value, _CACHES))
    else:
        waiting.extend(value for value in before.values() if not _is_of_package(value))


def _look_at_cell(cell: CellType, notes: list[_Note], waiting: list[Any]) -> None:
    try:
        content = cell.cell_contents
    except ValueError:  # nothing is in it yet
        return
    notes.append(_Note(_put_back_cell, cell, content))
    waiting.append(content)


def _look_at_method(method: MethodType, notes: list[_Note], waiting: list[Any]) -> None:
    waiting.extend((method.__self__, method.__func__))


def _look_at_wrapper(value: Any, notes: list[_Note], waiting: list[Any]) -> None:
    waiting.extend(getattr(value, name, None) for name in ("__func__", "fget", "func", "args"))


def _look_at_function_cache(function: Any, notes: list[_Note], waiting: list[Any]) -> None:
    notes.append(_Note(_put_back_function_cache, function, function.cache_info().misses))
    waiting.append(getattr(function, "__wrapped__", None))


def _look_at_tensor(value: Tensor, notes: list[_Note], waiting: list[Any]) -> None:
    if value.layout is not torch.strided or value.is_meta or value.is_inference():
        return
    if value.nbytes > _TENSOR_BYTES_MAX:
        return
    notes.append(_Note(_put_back_tensor, value, (value._version, value.detach().clone())))


def _look_at_generator(generator: Any, notes: list[_Note], waiting: list[Any]) -> None:
    if isinstance(generator, torch.Generator):
        notes.append(_Note(_put_back_torch_state, generator, generator.get_state()))
    elif isinstance(generator, random.Random):
        notes.append(_Note(random.Random.setstate, generator, generator.getstate()))
    else:
        bits = generator.bit_generator
        notes.append(_Note(_put_back_bits, bits, bits.state))


_LOOKS: tuple[tuple[type | tuple[type, ...], _Look | None], ...] = (
    # Neither kept by a cache nor changed by a run: most of what attributes hold.
    ((int, float, complex, str, bytes, type(None), torch.Size, nn.Parameter, ModuleType), None),
    (nn.Module, _look_at_module),
    (dict, _look_at_dict),
    ((list, deque), _look_at_list),
    (set, _look_at_set),
    (tuple, _look_at_tuple),
    (Tensor, _look_at_tensor),
    (type, _look_at_class),
    (FunctionType, _look_at_function),
    (CellType, _look_at_cell),
    (MethodType, _look_at_method),
    ((staticmethod, classmethod, property, partial), _look_at_wrapper),
    ((torch.Generator, random.Random, np.random.Generator), _look_at_generator),
)


def _put_back_module(module: nn.Module, before: tuple[type, dict[str, Any], list[Any]]) -> None:
    kind, attributes, empty = before
    if type(module) is not kind:  # a lazy layer becomes another one as it first runs
        module.__class__ = kind
    _put_back_dict(module.__dict__, attributes)
    if any(empty):
        for container in empty:
            container.clear()


def _put_back_dict(values: dict[Any, Any], before: dict[Any, Any]) -> None:
    # In this order, for that of layers counts.
    if _holds(values, before) and _holds(values.values(), before.values()):
        return
    # Its own methods only, for a class of a user may limit what it holds.
    plain = OrderedDict if isinstance(values, OrderedDict) else dict
    plain.clear(values)
    for name, value in before.items():
        plain.__setitem__(values, name, value)


def _put_back_globals(names: dict[str, Any], before: dict[str, Any]) -> None:
    for name in [n for n in names if n not in before and not n.startswith("__")]:
        del names[name]
    # One by one, for other threads may look names up meanwhile.
    for name, value in before.items():
        if names.get(name, _EMPTY) is not value:
            names[name] = value


def _put_back_list(values: list[Any] | deque[Any], before: list[Any]) -> None:
    if not _holds(values, before):
        values.clear()
        values.extend(before)


def _holds(values: Collection[object], before: Collection[object]) -> bool:
    """Tell whether these are the same objects, for tensors have no plain equality."""
    return len(values) == len(before) and all(map(is_, values, before))


def _put_back_set(values: set[Any], before: set[Any]) -> None:
    if len(values) != len(before) or {*map(id, values)} != {*map(id, before)}:
        values.clear()
        values.update(before)


def _put_back_class_attributes(kind: type, before: dict[str, Any]) -> None:
    now = dict(vars(kind))
    for name in now.keys() - before.keys():
        if not name.startswith("__"):
            delattr(kind, name)
    for name, value in before.items():
        if now.get(name, _EMPTY) is not value:
            setattr(kind, name, value)


def _put_back_slot(slot: MemberDescriptorType, value: object, before: object) -> None:
    if _in_slot(slot, value) is before:
        return
    if before is _EMPTY:
        slot.__delete__(value)
    else:
        slot.__set__(value, before)  # a frozen dataclass refuses the usual way


def _in_slot(slot: MemberDescriptorType, value: object) -> object:
    # By the slot itself: asked by its name, a class of a user may compute what is not there.
    try:
        return slot.__get__(value)
    except AttributeError:
        return _EMPTY


def _put_back_cell(cell: CellType, before: object) -> None:
    if cell.cell_contents is not before:
        cell.cell_contents = before


def _put_back_function_cache(function: Any, misses: int) -> None:
    # What it holds cannot be seen; what it held before is made again.
    if function.cache_info().misses != misses:
        function.cache_clear()


def _put_back_tensor(value: Tensor, before: tuple[int, Tensor]) -> None:
    version, content = before
    if value.shape != content.shape:
        value.data = content
    elif value._version != version:
        value.data.copy_(content)  # in its own memory, which others may share


def _put_back_torch_state(generator: torch.Generator, before: Tensor) -> None:
    generator.set_state(before)


def _put_back_bits(bits: Any, before: object) -> None:
    bits.state = before


@cache
def _slots(kind: type) -> tuple[MemberDescriptorType, ...]:
    declaring = (base for base in kind.__mro__ if "__slots__" in vars(base))
    members = (member for base in declaring for member in vars(base).values())
    return tuple(member for member in members if isinstance(member, MemberDescriptorType))


def _is_of_package(value: object) -> bool:
    """Tell whether a value in a user's file comes of an installed package, but for layers."""
    home = value if isinstance(value, (FunctionType, type)) else type(value)
    return _is_installed(home.__module__) and not isinstance(value, nn.Module)


@cache
def _is_library(module: str | None) -> bool:
    """Tell whether a module of that name is Python's, BlockZoo's or of what that stands on."""
    package = str(module).partition(".")[0]
    return package in _FOUNDATIONS or package in sys.stdlib_module_names


@cache
def _is_installed(module: str | None) -> bool:
    file = getattr(sys.modules.get(str(module)), "__file__", None)
    return file is not None and bool(_INSTALLED & {*Path(file).parts})
