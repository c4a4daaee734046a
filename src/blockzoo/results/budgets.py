"""Tracks in which every block is fitted to a budget first: how the labels of records name them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from blockzoo.core.errors import InputError, UnknownNameError
from blockzoo.core.ranges import BUDGET
from blockzoo.results.records import FormCost

MatchedCost = Literal["macs", "params", "latency"]
MATCHED_COSTS: tuple[MatchedCost, ...] = get_args(MatchedCost)
_SUFFIX = re.compile(
    rf"(?P<name>.*)\+(?P<cost>{'|'.join(MATCHED_COSTS)})"
    r"(?:@(?P<budget>\d+(?:\.\d+)?)x)?(?:#(?P<machine>[0-9a-f]{6}))?"
)


@dataclass(frozen=True, kw_only=True)
class Match:
    """Which cost of the stage is made equal, and to what share of the context block's.

    Args:
        cost: "macs", "params" or "latency", of the deploy form of the stage under test.
        budget: The share.
        machine: On which one latencies were made equal; "" until blocks were fitted there, and for
            costs that are counted.

    Raises:
        UnknownNameError: For another cost.
        InputError: For a share out of range.

    Example:
        >>> Match(cost="macs").suffix, Match(cost="params", budget=0.5).suffix
        ('+macs', '+params@0.5x')
    """

    cost: MatchedCost
    budget: float = 1.0
    machine: str = ""

    def __post_init__(self) -> None:
        if self.cost not in MATCHED_COSTS:
            raise UnknownNameError("cost to match", self.cost, MATCHED_COSTS)
        BUDGET.checked("budget", self.budget)

    @property
    def suffix(self) -> str:
        """What the label of a protocol ends with in this track."""
        budget = "" if self.budget == 1 else f"@{self.budget:g}x"
        return f"+{self.cost}{budget}{self.machine and '#'}{self.machine}"

    @property
    def words(self) -> str:
        """What the track is, for people.

        >>> Match(cost="params", budget=0.5).words
        "stages of 0.5 times the context block's params"
        """
        machine = f" on machine {self.machine}" if self.machine else ""
        return f"stages of {self.budget:g} times the context block's {self.cost}{machine}"

    @classmethod
    def of_text(cls, text: str) -> Match:
        """Return what `macs`, `params@0.5x` or `latency` says.

        Args:
            text: A cost, and a share if it is not the whole.

        Raises:
            InputError: For another form.

        Example:
            >>> Match.of_text("params@0.5x")
            Match(cost='params', budget=0.5, machine='')
        """
        _, match = cls.of_label(f"+{text}")
        if match is None:
            raise InputError(
                f"{text!r} names no budget; write {', '.join(MATCHED_COSTS)}, or macs@0.5x"
            )
        return match

    @classmethod
    def of_label(cls, label: str) -> tuple[str, Match | None]:
        """Return the label without the track, and the track, None where there is none.

        Args:
            label: Of a protocol, as records have it.

        Example:
            >>> Match.of_label("v1+macs@2x")
            ('v1', Match(cost='macs', budget=2.0, machine=''))
            >>> Match.of_label("v1")
            ('v1', None)
        """
        found = _SUFFIX.fullmatch(label)
        if found is None:
            return label, None
        match = cls(
            cost=found["cost"],  # type: ignore[arg-type]
            budget=float(found["budget"] or 1),
            machine=found["machine"] or "",
        )
        return found["name"], match

    def of(self, form: FormCost) -> int:
        """Return the cost that is matched.

        Args:
            form: The counts of a stage.
        """
        return form.macs if self.cost == "macs" else form.params_total
