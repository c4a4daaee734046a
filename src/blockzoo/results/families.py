"""Families of comparisons, declared before looking: what is compared with what, and how judged."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, kw_only=True)
class Family:
    """One block against others, by one protocol on one data set, at each of these positions.

    `margin`: within it accuracies are equal, a fraction of 1. `levels`: numbers of seeds at which
    somebody looks, and the level of each look. How many seeds there are is no part of a family
    without looks: more of them change no comparison.

    >>> family = Family(
    ...     protocol="v1", dataset="digits", block="Mine", others=("Theirs",), positions=("mid",),
    ...     margin=0.003,
    ... )
    >>> len(family.identity)
    32
    """

    protocol: str
    dataset: str
    block: str
    others: tuple[str, ...]
    positions: tuple[str, ...]
    margin: float
    levels: tuple[tuple[int, float], ...] = ()

    @property
    def identity(self) -> str:
        """Its id: 32 hexadecimal digits of all that it says."""
        return hashlib.sha256(self.payload.encode()).hexdigest()[:32]

    @property
    def payload(self) -> str:
        """All of it as JSON on one line."""
        return json.dumps(asdict(self), sort_keys=True)
