"""Points of a search, and what became of each that was tried."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from blockzoo.core.errors import DivergenceError

Point = Mapping[str, float]
Space = Mapping[str, tuple[float, float]]
"""The lowest and the highest value of each number."""
State = Literal["complete", "stopped", "diverged"]
Report = Callable[[int, float], None]
"""Called with (step, value) as a try goes on; raises `HopelessTry` when it is behind the others."""


class HopelessTry(Exception):  # noqa: N818 - no error: it unwinds a try that is stopped early
    """Raised by `Report`: the best value so far is below the median of the others at this step."""


@dataclass(frozen=True, kw_only=True)
class Try:
    """One point that was tried.

    Attributes:
        index: Which one it was, from 0.
        point: The value of each number that was tried.
        state: "complete"; "stopped" early by the rule; or "diverged".
        value: The validation accuracy, a fraction of 1; None unless complete.
        tie_breaker: The validation loss, negated; decides between equal values.
        curve: The values that were reported, by epoch.
        reason: Why it diverged.
    """

    index: int
    point: Point
    state: State
    value: float | None = None
    tie_breaker: float = 0.0
    curve: Mapping[int, float] = field(default_factory=dict)
    reason: str = ""

    @property
    def steps(self) -> int:
        """How many values were reported."""
        return len(self.curve)


def best_of(tries: tuple[Try, ...]) -> Try:
    """Return the complete try of the highest value, then tie-breaker, then the first.

    Raises `DivergenceError` when none is complete.

    >>> tries = [Try(index=0, point={}, state="stopped"),
    ...          Try(index=1, point={}, state="complete", value=0.5),
    ...          Try(index=2, point={}, state="complete", value=0.5)]
    >>> best_of(tuple(tries)).index
    1
    """
    complete = [attempt for attempt in tries if attempt.value is not None]
    if not complete:
        reason = next((attempt.reason for attempt in tries if attempt.reason), "none was run")
        raise DivergenceError(f"none of {len(tries)} trials came to its end; the first: {reason}")
    return max(complete, key=lambda attempt: (attempt.value, attempt.tie_breaker, -attempt.index))
