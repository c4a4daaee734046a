"""Where the blocks of users run that a command was given, and what they may take there."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Concatenate, ParamSpec, TypeVar

from blockzoo.blocks.registry import TrialKind
from blockzoo.cli.option_groups import ApartOptions
from blockzoo.cli.screen.consoles import say
from blockzoo.core.errors import InputError, UnknownNameError
from blockzoo.core.ranges import SECONDS
from blockzoo.experiments.execution.user_blocks import TrialLimits, load_here, run_apart

_BYTES_PER_GIB = 2**30
_KINDS: tuple[TrialKind, ...] = ("identity", "cost", "latency", "training")


Parameters = ParamSpec("Parameters")
Chosen = TypeVar("Chosen", bound=ApartOptions)


def blocks_apart(
    action: Callable[Concatenate[Chosen, Parameters], None],
) -> Callable[Concatenate[Chosen, Parameters], None]:
    """Decorate what a command does: users' blocks among those chosen run in their own processes.

    It then raises `InputError` also for a limit that is none and for a block that is not there.
    """

    @functools.wraps(action)
    def run(chosen: Chosen, /, *args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
        with apart(chosen):
            action(chosen, *args, **kwargs)

    return run


@contextmanager
def apart(chosen: ApartOptions, also: Iterable[str] = ()) -> Iterator[None]:
    """Have the users' blocks among those chosen, and `also` these, run in their own processes."""
    limits = chosen_limits(chosen)
    if chosen.in_process:
        load_here()
    others = (getattr(chosen, option, None) for option in ("baseline", "context"))
    named = [*(getattr(chosen, "blocks", None) or ()), *others, *also]
    with run_apart([name for name in named if name], limits, tell=say):
        yield


def chosen_limits(chosen: ApartOptions) -> TrialLimits:
    """Return what a trial in a process of its own may take."""
    return TrialLimits(
        time_s=chosen_time_limits(chosen.time_limits),
        memory_bytes=_bytes(chosen.memory_limit_gib),
    )


def chosen_time_limits(texts: Sequence[str] | None) -> dict[TrialKind, float | None]:
    """Return the seconds by kind of trial; a number alone is for all kinds.

    >>> chosen_time_limits(["60", "training=3600"])
    {'identity': 60.0, 'cost': 60.0, 'latency': 60.0, 'training': 3600.0}
    """
    limits: dict[TrialKind, float | None] = {}
    for text in texts or ():
        kind, equals, seconds = text.rpartition("=")
        if equals and kind not in _KINDS:
            raise UnknownNameError("kind of trial in --time-limit", kind, _KINDS)
        limits |= {each: _seconds(seconds) for each in _KINDS if not equals or each == kind}
    return limits


def _seconds(text: str) -> float:
    try:
        return SECONDS.checked("--time-limit", float(text))
    except ValueError:
        raise InputError(f"--time-limit is {text!r}; give seconds, or KIND=SECONDS") from None


def _bytes(gibibytes: float | None) -> int | None:
    if gibibytes is None:
        return None
    return max(1, int(gibibytes * _BYTES_PER_GIB))
