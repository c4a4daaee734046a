"""Every error BlockZoo raises on purpose.

BlockZooError
├── InputError             a value from the user that is not allowed (exit status 2)
│   ├── UnknownNameError   a name that is not registered; carries near names
│   ├── DataError          a data set that is missing, malformed or holds impossible values
│   └── DeviceError        a device that was asked for and is not there
├── ModelError             a module that cannot be measured: raises, returns NaN (exit status 1)
│   ├── ParityError        a deploy form or exported form that does not equal its original
│   ├── LateWeightsError   a module that makes weights as it first runs
│   └── BlockError         a block, of all modules, that raises, returns a wrong shape or NaN
├── DivergenceError        a training whose loss is no longer finite, or absurdly high
├── DeviceMemoryError      a training step that does not fit into memory
└── ResultsError           a store or results file that cannot be read or written
    ├── SchemaError        results written by a newer or unknown version
    └── BundleError        a bundle that holds anything it must not (exit status 2)

A message says what was given and what is allowed, in one line.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from difflib import get_close_matches

from blockzoo.core.text import visible


class BlockZooError(Exception):
    """Base of all errors raised on purpose; `exit_status` is what a command returns."""

    exit_status = 1


class InputError(BlockZooError):
    """A value from the user that is not allowed."""

    exit_status = 2


class UnknownNameError(InputError):
    """A name that is not registered; the message lists near names, or all where they are few.

    Args:
        kind: What the name is of, such as "block".
        name: The name as it was given.
        known: All names that are allowed.

    Example:
        >>> print(UnknownNameError("position", "middle", ["early", "mid", "late"]))
        unknown position 'middle'; did you mean mid?
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.kind, self.name, self.known = kind, name, tuple(known)
        # Folded, so that a name in other letters is the nearest of all.
        by_folded = {candidate.casefold(): candidate for candidate in self.known}
        given = name.casefold()
        # What a name begins with, as MBConv is of MBConvBlock, before what has like letters.
        begins = [each for each in by_folded if len(each) >= 4 and given.startswith(each)]
        alike = get_close_matches(given, by_folded, n=3, cutoff=0.5)
        folded = dict.fromkeys([*sorted(begins, key=len)[-1:], *alike])
        self.near = tuple(by_folded[candidate] for candidate in folded)[:3]
        if self.near:
            hint = f"did you mean {' or '.join(self.near)}?"
        elif len(self.known) <= 12:  # as many as a line holds
            hint = f"allowed: {', '.join(self.known)}"
        else:
            hint = f"none of the {len(self.known)} known names is near it"
        super().__init__(f"unknown {kind} {name!r}; {hint}")

    def __reduce__(self) -> tuple[type[UnknownNameError], tuple[str, str, tuple[str, ...]]]:
        # An error is made again from its message alone, unless it says from what.
        return type(self), (self.kind, self.name, self.known)


class DataError(InputError):
    """A data set that is missing, malformed or holds impossible values."""


class DeviceError(InputError):
    """A device that was asked for and is not there."""


class ModelError(BlockZooError):
    """A module that cannot be exported, loaded, run or measured, or that returns NaN."""


class ParityError(ModelError):
    """A deploy or exported form whose outputs do not equal those of the original."""


class LateWeightsError(ModelError):
    """A module that makes weights as it first runs, which no count of the module built can see."""


class BlockError(ModelError):
    """A block that raises in its constructor or forward, returns a wrong shape, or NaN."""


class DivergenceError(BlockZooError):
    """A training whose loss is no longer finite, or absurdly high for an epoch."""


class DeviceMemoryError(BlockZooError):
    """A training step that does not fit into the memory of its device."""


class ResultsError(BlockZooError):
    """A store or results file that cannot be read or written."""


class SchemaError(ResultsError):
    """Results written with a newer or unknown schema version."""


class BundleError(ResultsError):
    """A bundle that holds anything it must not; nothing of it was imported."""

    exit_status = 2


def one_line(error: BaseException, *, first_line_only: bool = False) -> str:
    """Return type and message of an error in one line that shows: control characters escaped.

    The lines of a longer message are joined, or cut off with `first_line_only`. Whatever the
    error's own text does, this does not raise.

    >>> one_line(ValueError("no kernel\\nfor int8"))
    'ValueError: no kernel for int8'
    >>> one_line(KeyError())
    'KeyError'
    """
    message = message_of(error)
    if first_line_only:
        message = next((line for line in message.splitlines() if line.strip()), "")
    return in_one_line(f"{type(error).__name__}: {message}").removesuffix(":")


def message_of(error: BaseException) -> str:
    """Return what an error says, as it is; a stand-in where saying it raises.

    >>> message_of(InputError("width is 0"))
    'width is 0'
    """
    try:
        # A syntax error's own text ends with the file and line, which is not part of the message.
        return str(error.msg if isinstance(error, SyntaxError) else error)
    except Exception:  # noqa: BLE001 - the class of the error may be a user's
        return "(what it says cannot be shown)"


def in_one_line(text: str) -> str:
    r"""Return the text with its lines joined and its control characters escaped.

    >>> in_one_line("no kernel\n  for \x1b[1mint8")
    'no kernel for \\x1b[1mint8'
    """
    return visible(" ".join(text.split()))


def reason_of(error: BaseException) -> str:
    """Return in one line why something failed: what was raised on purpose needs no type.

    >>> reason_of(InputError("batch size is 0; it must be 1 or more"))
    'batch size is 0; it must be 1 or more'
    >>> reason_of(ZeroDivisionError("division by zero"))
    'ZeroDivisionError: division by zero'
    """
    return in_one_line(message_of(error)) if isinstance(error, BlockZooError) else one_line(error)


def traceback_of(error: BaseException) -> str:
    """Return the traceback of an error, as lines that show.

    >>> traceback_of(ValueError("no"))
    'ValueError: no\\n'
    """
    return visible("".join(traceback.format_exception(error)), lines=True)
