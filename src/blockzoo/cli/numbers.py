"""The numbers of options, checked before a command does anything.

An option that takes a number names its range beside it, `Annotated[int, typer.Option(...), WIDTH]`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, get_args, get_type_hints

from typer.models import OptionInfo

from blockzoo.core.ranges import Range


def checking_numbers(command: Callable[..., None]) -> Callable[..., None]:
    """Return `command`, which first checks the values of options that have a range.

    >>> from typing import Annotated
    >>> import typer
    >>> Width = Annotated[int, typer.Option("--width"), Range(least=1, most=9)]
    >>> def show(width: Width = 3) -> None:
    ...     print(width)
    >>> checking_numbers(show)(width=10)
    Traceback (most recent call last):
    blockzoo.core.errors.InputError: --width is 10; it must be within 1..9
    """
    ranges = ranges_of(command)

    @functools.wraps(command)
    def checked(**values: Any) -> None:
        _check(values, ranges)
        command(**values)

    return checked


def ranges_of(command: Callable[..., None]) -> dict[str, tuple[str, Range]]:
    """Return the flag and the range of each parameter that has one."""
    hints = get_type_hints(command, include_extras=True)
    found = {}
    for name, hint in hints.items():
        options = [each for each in get_args(hint) if isinstance(each, OptionInfo)]
        ranges = [each for each in get_args(hint) if isinstance(each, Range)]
        if options and ranges:
            found[name] = (flag_of(options[0]), ranges[0])
    return found


def flag_of(option: OptionInfo) -> str:
    """Return the first name of an option.

    >>> import typer
    >>> flag_of(typer.Option("--lr", "--learning-rate"))
    '--lr'
    """
    # Within `Annotated`, where defaults stand elsewhere, typer keeps the first in their place.
    return next(str(name) for name in (option.default, *(option.param_decls or ())) if name)


def _check(values: Mapping[str, Any], ranges: Mapping[str, tuple[str, Range]]) -> None:
    for name, (flag, allowed) in ranges.items():
        value = values.get(name)
        # Several numbers of an option that may be repeated, or that takes some at once.
        for each in value if isinstance(value, list | tuple) else [value]:
            if each is not None:
                allowed.checked(flag, each)
