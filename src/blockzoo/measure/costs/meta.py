"""Run a module on tensors that have shapes but no data: any size, no arithmetic, nothing changed.

The module may be on any device. Its own parameters, buffers and mode stay as they are: the run
uses stand-ins of the same shapes on the meta device. What it keeps as it runs is taken away again.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from blockzoo.core.errors import LateWeightsError
from blockzoo.core.networks import named_parts
from blockzoo.measure.costs.unchanged import left_unchanged

Result = TypeVar("Result")


def without_data(run: Callable[[str], Result]) -> Result:
    """Return `run("meta")`, or `run("cpu")` where an operation cannot do without numbers.

    Such operations are custom kernels with no shape rule and control flow on values. Raises what
    `run("cpu")` raises.

    >>> without_data(lambda device: torch.empty(2, 3, device=device).sum(dim=0).shape)
    torch.Size([3])
    """
    with torch.inference_mode(False):  # tensors made in a caller's inference mode have no gradient
        try:
            return run("meta")
        except Exception:  # noqa: BLE001 - the run on the CPU decides, with the better message
            return run("cpu")


def stand_ins(module: nn.Module, device: str) -> tuple[dict[str, nn.Parameter], dict[str, Tensor]]:
    """Return parameters and buffers of the shapes of the module's own, zero where they have data.

    A parameter requires a gradient where the original does.

    >>> parameters, buffers = stand_ins(nn.BatchNorm2d(8), "meta")
    >>> parameters["weight"].is_meta, sorted(buffers)
    (True, ['num_batches_tracked', 'running_mean', 'running_var'])
    """
    parameters = {
        name: nn.Parameter(stand_in(value, device), value.requires_grad)
        for name, value in module.named_parameters()
    }
    buffers = {name: stand_in(value, device) for name, value in module.named_buffers()}
    return parameters, buffers


def stand_in(value: Tensor, device: str) -> Tensor:
    """Return a tensor of that shape, layout and type: without data on "meta", elsewhere zero.

    Indices, flags and counters are what they are, where they have data: zeros would be others.
    """
    if device == "meta":
        return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="meta")
    if not (value.is_meta or value.is_floating_point() or value.is_complex()):
        return value.detach().to(device, copy=True)
    return torch.zeros_like(value, device=device)


def call(
    module: nn.Module,
    parameters: Mapping[str, Tensor],
    buffers: Mapping[str, Tensor],
    inputs: Sequence[object],
) -> object:
    """Return `module(*inputs)` computed with these parameters and buffers instead of its own.

    The module is left as it was, see `standing_in`, which also says what is raised.
    """
    with standing_in(module, parameters, buffers):
        return module(*inputs)


@contextmanager
def standing_in(
    module: nn.Module, parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor]
) -> Iterator[None]:
    """Within it these are the parameters and buffers of the module; after it its own are again.

    The module is left as it was, see `unchanged.py`: what it keeps of a run is of these tensors.
    Raises `LateWeightsError` where it made weights meanwhile, for which there are no stand-ins.
    Unlike `call`, for what runs parts of the module once more later on, as a backward pass does
    that recomputes what it needs.

    >>> layer = nn.Linear(2, 2)
    >>> with standing_in(layer, *stand_ins(layer, "meta")):
    ...     layer.weight.is_meta
    True
    >>> layer.weight.is_meta
    False
    """
    parts = named_parts(module)
    weights = _number_of_weights(parts)
    with left_unchanged(module), _replaced(parts, {**parameters, **buffers}):
        yield
        # Counting them is quicker than looking each one up.
        if _number_of_weights(named_parts(module)) != weights:
            refuse_late_weights(module, parameters)


def _number_of_weights(parts: Iterable[tuple[str, nn.Module]]) -> int:
    return sum(value is not None for _, part in parts for value in part._parameters.values())


@contextmanager
def _replaced(
    parts: Iterable[tuple[str, nn.Module]], given: Mapping[str, Tensor]
) -> Iterator[None]:
    # By the tensors and not by names: what is used in several places is one tensor in all.
    holders: list[dict[str, Any]] = []
    substitutes: dict[int, Any] = {}
    for path, part in parts:
        inside = f"{path}." if path else ""
        for holder in (part._parameters, part._buffers):
            # A compiled part keeps its own elsewhere, where they cannot be replaced.
            if isinstance(holder, dict):
                holders.append(holder)
                for name, value in holder.items():
                    substitutes.setdefault(id(value), given.get(f"{inside}{name}", value))
    before = [dict(holder) for holder in holders]
    for holder in holders:
        holder.update({name: substitutes[id(value)] for name, value in holder.items()})
    try:
        yield
    finally:
        for holder, was in zip(holders, before, strict=True):
            holder.clear()
            holder.update(was)


def refuse_late_weights(module: nn.Module, known: Container[str]) -> None:
    """Raise `LateWeightsError` if the module has parameters beyond those `known` by name.

    >>> refuse_late_weights(nn.Linear(2, 2), known=("weight",))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    blockzoo.core.errors.LateWeightsError: makes weights in its first forward (bias); it ...
    """
    late = [name for name, _ in module.named_parameters() if name not in known]
    if late:
        raise LateWeightsError(
            f"makes weights in its first forward ({late[0]}); it must make them in its constructor"
        )


def tensors_in(value: object) -> Iterator[Tensor]:
    """Yield the tensors in what a module returns or an operation takes, however nested.

    >>> [tuple(tensor.shape) for tensor in tensors_in((torch.ones(2), {"a": [torch.ones(3)]}, 4))]
    [(2,), (3,)]
    """
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors_in(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from tensors_in(item)


@contextmanager
def in_mode(module: nn.Module, *, training: bool) -> Iterator[None]:
    """Put every part of the module in training or eval mode, and back as it was afterwards.

    >>> layer = nn.Dropout()
    >>> with in_mode(layer, training=False):
    ...     layer.training
    False
    >>> layer.training
    True
    """
    before = [(part, part.training) for _, part in named_parts(module)]
    changes = any(mode is not training for _, mode in before)
    # Some modules do work in `train` beyond setting the flag, so it is not called in vain, and what
    # it did, such as folding weights, is undone by it.
    works = changes and any(type(part).train is not nn.Module.train for part, _ in before)
    if changes:
        module.train(training)
    try:
        yield
    finally:
        if works:
            module.train(before[0][1])
        for part, mode in before:
            if part.training is not mode:
                part.training = mode


_Outputs = tuple[tuple[torch.Size, tuple[int, ...], torch.dtype] | None, ...]
_META = torch.device("meta")
_KNOWN_OUTPUTS_MAX = 100_000
_known_outputs: dict[Hashable, tuple[_Outputs, type]] = {}


class RememberedShapes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While entered, operations on tensors without data are fast; see `run_operation`."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(
        self,
        func: Any,
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run one operation; PyTorch calls this."""
        return run_operation(func, args, kwargs or {})


def run_operation(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Return `func(*args, **kwargs)`, for use in a dispatch mode; fast on tensors without data.

    PyTorch works out the outputs' shapes of many operations in Python, which takes milliseconds.
    They follow from the arguments' shapes, strides and types alone, and networks repeat themselves,
    so what was worked out once is remembered. An operation in place has nothing to do. Operations
    that make views, or that take tensors with data, are always run.
    """
    kind, _ = _kinds.get(id(func)) or _note_kind(func)
    if kind is not _Kind.MAKES_NEW:
        if kind is _Kind.WRITES_FIRST and args and args[0].is_meta:
            return args[0]
        if kind is _Kind.WRITES_LIST and args and all(value.is_meta for value in args[0]):
            return None
        return func(*args, **kwargs)
    try:
        named = [(name, _key(value)) for name, value in kwargs.items()] if kwargs else ()
        key = (id(func), *map(_key, args), *named)
        known = _known_outputs.get(key)
    except (_NotRemembered, TypeError):  # TypeError: an argument that has no hash
        return func(*args, **kwargs)
    if known is not None:
        return _made_again(*known)
    output = func(*args, **kwargs)
    _remember(key, output)
    return output


class _Kind(Enum):
    """What an operation does with tensors, as far as its schema tells."""

    MAKES_NEW = 1  # takes tensors, returns none that shares storage with them
    WRITES_FIRST = 2  # returns its first argument, changed in its values only
    WRITES_LIST = 3  # changes the values of its first argument, a list, and returns nothing
    OTHER = 4


# By id, because hashing an operation costs more than the rest of a look-up; the operation is kept
# so that no other one gets its id.
_kinds: dict[int, tuple[_Kind, Any]] = {}


def _note_kind(func: Any) -> tuple[_Kind, Any]:
    if _makes_new_tensors(func._schema):
        kind = _Kind.MAKES_NEW
    elif _writes_first(func._schema) and torch.Tag.inplace_view not in func.tags:
        kind = _Kind.WRITES_FIRST
    elif _writes_list(func._schema):
        kind = _Kind.WRITES_LIST
    else:
        kind = _Kind.OTHER
    _kinds[id(func)] = kind, func
    return kind, func


def _makes_new_tensors(schema: Any) -> bool:
    takes_tensors = any("Tensor" in str(argument.type) for argument in schema.arguments)
    shares = any(value.alias_info is not None for value in (*schema.arguments, *schema.returns))
    return takes_tensors and not shares


def _writes_first(schema: Any) -> bool:
    if not schema.arguments or len(schema.returns) != 1:
        return False
    first, returned = schema.arguments[0].alias_info, schema.returns[0].alias_info
    if first is None or returned is None:
        return False
    return bool(first.is_write and first.before_set == returned.before_set)


def _writes_list(schema: Any) -> bool:
    if not schema.arguments or schema.returns or not schema.name.startswith("aten::_foreach_"):
        return False
    first = schema.arguments[0]
    return bool(first.alias_info is not None and first.alias_info.is_write)


class _NotRemembered(Exception):  # noqa: N818 - steers, is no error
    """An argument that outputs may depend on in ways a key does not tell."""


def _key(value: Any) -> Hashable:
    if isinstance(value, Tensor):
        if not value.is_meta:  # its numbers may decide the shape of the output
            raise _NotRemembered
        return value.shape, value.stride(), value.dtype
    if isinstance(value, list | tuple):
        return tuple(map(_key, value))
    return type(value), value  # the type as well: 1, 1.0 and True are equal and hash alike


def _remember(key: Hashable, output: Any) -> None:
    values = output if isinstance(output, tuple) else (output,)
    if not all(value is None or _is_whole(value) for value in values):
        return
    # A process that profiles without end, over many input sizes, must not grow without end.
    if len(_known_outputs) >= _KNOWN_OUTPUTS_MAX:
        _known_outputs.clear()
    described = tuple(v if v is None else (v.shape, v.stride(), v.dtype) for v in values)
    _known_outputs[key] = described, tuple if isinstance(output, tuple) else Tensor


def _is_whole(value: Any) -> bool:
    """Tell whether this is a tensor that fills a storage of its own, as `empty_strided` makes."""
    if not isinstance(value, Tensor) or value.storage_offset() != 0:
        return False
    if not value.is_meta:  # made where data are, of one without: the next is to be there, too
        return False
    twin = torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device=_META)
    return value.untyped_storage().nbytes() == twin.untyped_storage().nbytes()


def _made_again(described: _Outputs, kind: type) -> Any:
    values = [
        d if d is None else torch.empty_strided(d[0], d[1], dtype=d[2], device=_META)
        for d in described
    ]
    return tuple(values) if kind is tuple else values[0]
