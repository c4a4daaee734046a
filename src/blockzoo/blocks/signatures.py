"""What classes, functions and methods of users can be called with, and calling them with it.

A block is built from `(in_channels, out_channels, stride, position)`. A class or function takes
them by these names, and may leave out the position; another is called by an adapter.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from torch import nn

from blockzoo.blocks.user_errors import place_of
from blockzoo.core.errors import InputError
from blockzoo.core.position import Position

Target = Callable[..., nn.Module]
EXPECTED_SIGNATURE = "(in_channels, out_channels, stride, position), position may be left out"
_ADAPTER = "(in_channels, out_channels, stride), or with the position as a fourth"
_OURS = ("in_channels", "out_channels", "stride")


def check_target(target: Any, name: str) -> None:
    """Raise `InputError` unless `target` is a module class or a function with our arguments.

    >>> check_target(lambda in_channels, out_channels, stride: nn.Identity(), "mine")
    """
    if isinstance(target, type):
        if not issubclass(target, nn.Module):
            raise InputError(f"class {name} ({place_of(target)}) is not a torch.nn.Module")
    elif not callable(target) or isinstance(target, nn.Module):
        kind = type(target).__name__
        raise InputError(f"{name} is a {kind}, not a class or function that makes blocks")
    if not _takes_by_name(target):
        raise InputError(_other_arguments(target, name))


def _other_arguments(target: Any, name: str) -> str:
    """Return the message about what cannot be called with our arguments, and why not."""
    what = "class" if isinstance(target, type) else "function"
    return (
        f"{what} {name} ({place_of(target)}) takes {_parameters(target)}; "
        f"it must take {EXPECTED_SIGNATURE}; others need a default{_not_supplied(target)}; "
        f"or register it with build=lambda i, o, s: ..."
    )


def registered_factory(target: Target, name: str) -> Target:
    """Return a registered class or function as a factory `(in, out, stride, position)`.

    It is called by our names where it has them, else in our order. Raises `InputError` naming what
    could not be supplied where it can be called neither way.
    """
    if _takes_by_name(target):
        return adapted(target)
    if _takes_in_order(target, 4) is not False:
        return target
    raise InputError(_other_arguments(target, name))


class _ByName:
    """Calls a class or function by the names of our arguments; `__wrapped__` is what it calls."""

    def __init__(self, target: Target) -> None:
        # Without its attributes: those of a class, such as its methods, are none of a function's.
        functools.update_wrapper(self, target, updated=())
        self._target, self._with_position = target, _takes(target, position=True)

    def __call__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        position: Position,
        **setting: float,
    ) -> nn.Module:
        extra = {"position": position} if self._with_position else {}
        return self._target(
            in_channels=in_channels, out_channels=out_channels, stride=stride, **extra, **setting
        )


def adapted(target: Target) -> Target:
    """Return `target` as a factory `(in_channels, out_channels, stride, position)`.

    >>> def plain(in_channels, out_channels, stride):
    ...     return nn.Conv2d(in_channels, out_channels, 3, stride, 1)
    >>> adapted(plain)(8, 16, 2, Position.MID).stride
    (2, 2)
    """
    return _ByName(target)


class Adapter:
    """Calls a function that builds what takes other arguments than ours, in our order.

    `__wrapped__` is that function, or the class that it builds once `stand_for` said which. Raises
    `InputError` where the function takes neither three arguments nor four.

    >>> build = Adapter(lambda i, o, s: nn.Conv2d(i, o, 3, s, 1), "Mine")
    >>> build(8, 16, 2, Position.MID).stride
    (2, 2)
    """

    def __init__(self, build: Target, name: str) -> None:
        functools.update_wrapper(self, build, updated=())
        self._build = build
        # A fourth that has a default is the function's own affair.
        self._with_position = _takes_in_order(build, 3) is False
        if self._with_position and not _takes_in_order(build, 4):
            raise InputError(
                f"build of block {name!r} ({place_of(build)}) takes {_parameters(build)}; "
                f"it must take {_ADAPTER}"
            )

    def __call__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        position: Position,
        **setting: float,
    ) -> nn.Module:
        """Build one block."""
        extra = (position,) if self._with_position else ()
        return self._build(in_channels, out_channels, stride, *extra, **setting)

    def stand_for(self, target: Target) -> None:
        """Have the class or function `target` be what this adapter builds."""
        functools.update_wrapper(self, target, updated=())


def check_knob(target: Target, name: str, knob: str) -> None:
    """Raise `InputError` unless `target` takes the knob that its block declares, by its name.

    >>> check_knob(lambda i, o, s, *, width=1.0: nn.Identity(), "mine", "width")
    """
    parameters = inspect.signature(target).parameters.values()
    kinds = inspect.Parameter
    keywords = {
        p.name for p in parameters if p.kind in (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY)
    }
    if knob not in keywords and not any(p.kind is kinds.VAR_KEYWORD for p in parameters):
        raise InputError(f"block {name} declares the knob {knob!r}; it takes {_parameters(target)}")


def _takes_by_name(target: Target) -> bool:
    return _takes(target, position=True) or _takes(target, position=False)


def _takes(target: Target, *, position: bool) -> bool:
    arguments = (*_OURS, *(("position",) if position else ()))
    try:
        # By name and not by position: blocks of others call their arguments many things.
        signature = inspect.signature(target)
        signature.bind(**dict.fromkeys(arguments))
    except (TypeError, ValueError):
        return False
    # Further keywords are there to be handed on, to a layer that knows of no position.
    return not position or "position" in signature.parameters


def _takes_in_order(target: Target, count: int) -> bool | None:
    """Tell whether it can be called with so many arguments; None where that cannot be known."""
    try:
        inspect.signature(target).bind(*range(count))
    except TypeError:
        return False
    except ValueError:  # it is not written in Python
        return None
    return True


def _not_supplied(target: Target) -> str:
    """Return in words what it asks for that nothing gives it, and what of ours it does not take."""
    try:
        parameters = inspect.signature(target).parameters
    except (TypeError, ValueError):
        return ""
    kinds = inspect.Parameter
    by_name = {
        name
        for name, parameter in parameters.items()
        if parameter.kind in (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY)
    }
    needed = [
        name
        for name, parameter in parameters.items()
        if parameter.default is kinds.empty
        and parameter.kind not in (kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD)
        and not (name in by_name and name in (*_OURS, "position"))
    ]
    takes_any = any(each.kind is kinds.VAR_KEYWORD for each in parameters.values())
    refused = [] if takes_any else [name for name in _OURS if name not in by_name]
    said = [f"nothing supplies {', '.join(needed)}"] if needed else []
    said += [f"it has no {', '.join(refused)} by name"] if refused else []
    return "".join(f"; {each}" for each in said)


def _parameters(target: Target) -> str:
    try:
        return f"({', '.join(map(in_words, inspect.signature(target).parameters.values()))})"
    except (TypeError, ValueError):
        return "arguments that cannot be known"


def in_words(parameter: inspect.Parameter) -> str:
    """Return a parameter as it is written, without its type and value.

    >>> taken = inspect.signature(lambda a, *b, c=1, **d: 0).parameters
    >>> [in_words(each) for each in taken.values()]
    ['a', '*b', 'c=...', '**d']
    """
    stars: dict[object, str] = {
        inspect.Parameter.VAR_POSITIONAL: "*",
        inspect.Parameter.VAR_KEYWORD: "**",
    }
    default = "" if parameter.default is inspect.Parameter.empty else "=..."
    return f"{stars.get(parameter.kind, '')}{parameter.name}{default}"
