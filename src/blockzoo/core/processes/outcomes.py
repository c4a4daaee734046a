"""What one task may take of a process, and how it can come out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from blockzoo.core.errors import InputError

Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one task may take; a process that takes more is stopped. None is no limit.

    `time_s`: seconds by the clock for the whole task. `silence_s`: seconds without a message or
    another sign of life. `memory_bytes`: resident memory of the process, without its children.
    `start_s`: seconds before the task begins, which is after function and task are read and all
    their modules imported; the other limits count from then on.

    Raises `InputError` for a limit that is not above zero.

    >>> Limits(time_s=60.0, memory_bytes=4 * 2**30).time_s
    60.0
    """

    time_s: float | None = None
    silence_s: float | None = None
    memory_bytes: int | None = None
    start_s: float = 300.0

    def __post_init__(self) -> None:
        for name, limit_s in (("time", self.time_s), ("silence", self.silence_s)):
            if limit_s is not None and not (limit_s > 0 and math.isfinite(limit_s)):
                raise InputError(f"{name} limit is {limit_s} s; it must be above 0")
        if self.memory_bytes is not None and self.memory_bytes < 1:
            raise InputError(f"memory limit is {self.memory_bytes} bytes; it must be above 0")


@dataclass(frozen=True, kw_only=True)
class Answer(Generic[Value]):
    """What the function returned."""

    value: Value


@dataclass(frozen=True, kw_only=True)
class Raised:
    """What the function raised, with the traceback as it was in the child.

    An error that cannot be pickled, or not be made again here, is a `BlockZooError` with its line.
    """

    error: Exception
    traceback: str


@dataclass(frozen=True, kw_only=True)
class Ended:
    """Why there is no answer and no process any more.

    `reason` is said after a name for the process: "died by SIGKILL", "ended with status 1". `cause`
    is the limit that was exceeded ("start", "time", "silence", "memory"), "stopped" after `stop`,
    or "died", also by an exit on purpose.
    """

    cause: Literal["died", "start", "time", "silence", "memory", "stopped"]
    reason: str


Outcome = Answer[Value] | Raised | Ended
"""What comes of a task."""
