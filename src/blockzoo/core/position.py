"""The three positions of the block under test; the one place that spells them."""

from __future__ import annotations

from enum import Enum

from blockzoo.core.errors import UnknownNameError


class Position(str, Enum):
    """Which stage holds the block under test: early = stage A, mid = stage B, late = stage C.

    Example:
        >>> Position("mid"), str(Position.LATE), Position.LATE.stage_index
        (<Position.MID: 'mid'>, 'late', 2)
    """

    EARLY = "early"
    MID = "mid"
    LATE = "late"

    def __str__(self) -> str:
        return self.value

    @property
    def stage_index(self) -> int:
        """The order of the stages, 0 for early, 1 for mid, 2 for late."""
        return list(Position).index(self)

    @classmethod
    def parse(cls, text: str) -> Position:
        """Return the position of that name.

        Args:
            text: "early", "mid" or "late".

        Raises:
            UnknownNameError: For any other text.
        """
        try:
            return cls(text)
        except ValueError:
            raise UnknownNameError("position", text, [p.value for p in cls]) from None


POSITIONS = tuple(Position)
