"""Tracks in which every block is fitted to a budget first: how the labels of records name them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from blockzoo.core.errors import InputError, UnknownNameError
from blockzoo.core.ranges import BUDGET
from blockzoo.results.records import FormCost

MatchedCost = Literal["macs", "params"]
MATCHED_COSTS: tuple[MatchedCost, ...] = get_args(MatchedCost)
_SUFFIX = re.compile(rf"(.*)\+({'|'.join(MATCHED_COSTS)})(?:@(\d+(?:\.\d+)?)x)?")


@dataclass(frozen=True, kw_only=True)
class Match:
    """Which cost of the stage is made equal, and to what share of the context block's.

    Raises `UnknownNameError` for another cost and `InputError` for a share out of range.

    >>> Match(cost="macs").suffix, Match(cost="params", budget=0.5).suffix
    ('+macs', '+params@0.5x')
    """

    cost: MatchedCost
    budget: float = 1.0

    def __post_init__(self) -> None:
        if self.cost not in MATCHED_COSTS:
            raise UnknownNameError("cost to match", self.cost, MATCHED_COSTS)
        BUDGET.checked("budget", self.budget)

    @property
    def suffix(self) -> str:
        """What the label of a protocol ends with in this track."""
        return f"+{self.cost}" if self.budget == 1 else f"+{self.cost}@{self.budget:g}x"

    @property
    def words(self) -> str:
        """What the track is, for people.

        >>> Match(cost="params", budget=0.5).words
        "stages of 0.5 times the context block's params"
        """
        return f"stages of {self.budget:g} times the context block's {self.cost}"

    @classmethod
    def of_text(cls, text: str) -> Match:
        """Return what `macs` or `params@0.5x` says; raises `InputError` for another form.

        >>> Match.of_text("params@0.5x")
        Match(cost='params', budget=0.5)
        """
        _, match = cls.of_label(f"+{text}")
        if match is None:
            raise InputError(f"{text!r} names no budget; write macs, params, or macs@0.5x")
        return match

    @classmethod
    def of_label(cls, label: str) -> tuple[str, Match | None]:
        """Return the label without the track, and the track, None where there is none.

        >>> Match.of_label("v1+macs@2x")
        ('v1', Match(cost='macs', budget=2.0))
        >>> Match.of_label("v1")
        ('v1', None)
        """
        found = _SUFFIX.fullmatch(label)
        if found is None:
            return label, None
        name, cost, budget = found.groups()
        return name, cls(cost=cost, budget=float(budget or 1))  # type: ignore[arg-type]

    def of(self, form: FormCost) -> int:
        """Return the cost that is matched."""
        return form.macs if self.cost == "macs" else form.params_total
