"""Which of a sweep's trials are run here: some kinds, failed ones or not, one shard of several."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from blockzoo.core.errors import InputError, UnknownNameError

Kind = Literal["cost", "latency", "training"]
KINDS: tuple[Kind, ...] = get_args(Kind)
SHARDS_MAX = 10_000


@dataclass(frozen=True, kw_only=True)
class Shard:
    """Part `index` of `count`, from 1 on; raises `InputError` for one that is not there.

    >>> Shard.of_text("2/4")
    Shard(index=2, count=4)
    """

    index: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.count <= SHARDS_MAX:
            raise InputError(
                f"shard is {self}; it must be i/n, with i within 1..n and n at most {SHARDS_MAX}"
            )

    @classmethod
    def of_text(cls, text: str) -> Shard:
        """Return the shard that `i/n` names."""
        found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text, flags=re.ASCII)
        if found is None:
            raise InputError(f"shard is {text!r}; it must be i/n, such as 1/4")
        return cls(index=int(found[1]), count=int(found[2]))

    def mine(self, rounds: Iterable[Mapping[str, float]]) -> set[str]:
        """Return what of all that is dealt falls to this shard.

        `rounds`: by key, seconds; every shard is to be given the same. The longest of a round go
        first, each to the shard that has least so far, so that shards are alike after every round.

        >>> rounds = [{"a": 3.0, "b": 1.0, "c": 1.0}, {"d": 1.0}]
        >>> [sorted(Shard(index=each, count=2).mine(rounds)) for each in (1, 2)]
        [['a'], ['b', 'c', 'd']]
        """
        loads = [0.0] * self.count
        mine: set[str] = set()
        for each in rounds:
            # By key where they take as long: the order of a plan may differ between two stores.
            for key, seconds in sorted(each.items(), key=lambda item: (-item[1], item[0])):
                least = loads.index(min(loads))
                loads[least] += seconds
                if least == self.index - 1:
                    mine.add(key)
        return mine

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What of a plan is run here; by default all of it.

    Args:
        only: The kinds of trials; none given are all.
        retry_failed: Whether trials are run again that failed before.
        shard: The part of all trials, done or not, that is run here; by default all.
        seconds_of_training: By block, what shards are balanced by; the same for all of them.

    Raises:
        UnknownNameError: For another kind.

    Example:
        >>> Choice(only=("cost",)).takes("latency"), Choice().takes("latency")
        (False, True)
    """

    only: tuple[Kind, ...] = ()
    retry_failed: bool = True
    shard: Shard | None = None
    seconds_of_training: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for kind in self.only:
            if kind not in KINDS:
                raise UnknownNameError("kind of trial", kind, KINDS)

    def takes(self, kind: Kind) -> bool:
        """Tell whether trials of that kind are run."""
        return not self.only or kind in self.only
