"""What a timing session tells while it runs: typed messages between processes and to listeners.

A measuring or preparing process sends these to the driver, which keeps what they hold and hands
them to whoever listens, such as the live table. Receivers match on the type.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from blockzoo.stats.paired_rounds import NetworkSamples, Spent

Stage = Literal[
    "starting",
    "waiting",
    "preparing",
    "loading",
    "warm-up",
    "sampling",
    "checking",
    "memory",
    "energy",
]


class Sample(NamedTuple):
    """One sample: the name of what was timed, in which round, and nanoseconds per call."""

    name: str
    round: int
    nanoseconds: float


@dataclass(frozen=True, kw_only=True)
class Networks:
    """What is going to be timed: a label to be shown, by name."""

    labels: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class State:
    """What is now done with one of them."""

    name: str
    stage: Stage


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Samples that have come since the last message."""

    samples: tuple[Sample, ...]


@dataclass(frozen=True, kw_only=True)
class Failed:
    """One that raised, or cost its process: why, and the traceback where there is one."""

    name: str
    reason: str
    traceback: str | None = None


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """One that is ready to be timed, as its backend's bytes."""

    name: str
    payload: bytes


@dataclass(frozen=True, kw_only=True)
class Done:
    """A process has sampled all that it could.

    `ends` is the rest of `NetworkSamples` by name, without the samples; `throttled` the devices
    that were slowed down meanwhile.
    """

    ends: Mapping[str, NetworkSamples] = field(default_factory=dict)
    spent: Spent = field(default_factory=Spent)
    throttled: tuple[str, ...] = ()


Event = Networks | State | Samples | Failed | Prepared | Done
Listener = Callable[[Event], None]
