"""The line of the contract about parameters: all are registered, and whose start values they have.

A layer in a plain list is none of its module's: it is not counted, moved, trained or saved.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor, nn

from blockzoo.blocks.initialisation import StartValues, start_values
from blockzoo.blocks.registry import BlockSpec
from blockzoo.contract.cases import cases
from blockzoo.contract.findings import Line
from blockzoo.core.errors import BlockError

_NAMED_MAX = 4


def some(names: list[str]) -> str:
    """Return the first names of a list, and how many more there are.

    >>> some(["a", "b", "c", "d", "e"])
    'a, b, c, d and 1 more'
    """
    more = len(names) - _NAMED_MAX
    return ", ".join(names[:_NAMED_MAX]) + (f" and {more} more" if more > 0 else "")


def _parameters(spec: BlockSpec) -> str:
    note = ""
    for case in cases(spec):
        block = case.build()
        hidden = list(_unregistered(block))
        if hidden:
            raise BlockError(
                f"{case}: {some(hidden)}: layers in a plain list, tuple or dict are neither "
                f"counted nor trained; use nn.ModuleList, nn.ParameterList or nn.ModuleDict"
            )
        note = _whose(start_values(block), spec)
    return note


def _whose(values: StartValues, spec: BlockSpec) -> str:
    """Say which start values the policy drew; what a block draws for itself counts as kept."""
    own = spec.initialisation == "own"
    said = {
        "drawn by the policy": () if own else values.drawn,
        "kept from the constructor": (*values.drawn, *values.kept) if own else values.kept,
        "frozen, kept as constants": values.frozen,
    }
    return "; ".join(f"{what}: {some(list(names))}" for what, names in said.items() if names)


def _unregistered(block: nn.Module) -> Iterator[str]:
    """Yield attributes that hold layers or parameters which the block does not know of."""
    known = {id(each) for each in (*block.modules(), *block.parameters(), *block.buffers())}
    for path, module in block.named_modules():
        for name, value in vars(module).items():
            # What torch keeps itself: its own tables of children, parameters and hooks.
            if name in _TORCHS_OWN or not isinstance(value, (list, tuple, Mapping)):
                continue
            if any(id(each) not in known for each in _held(value)):
                yield f"{path}.{name}" if path else name


_TORCHS_OWN = frozenset(vars(nn.Module()))


def _held(value: object) -> Iterator[object]:
    """Yield the layers and trainable tensors in nested lists, tuples and dicts."""
    if isinstance(value, (list, tuple)):
        for each in value:
            yield from _held(each)
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _held(each)
    elif isinstance(value, nn.Module):
        yield from [value] if any(True for _ in value.parameters()) else []
    elif isinstance(value, Tensor) and value.requires_grad:
        yield value


PARAMETERS = Line(
    name="parameters",
    checks="every layer is registered; which start values are the policy's, which the block's",
    run=_parameters,
)
