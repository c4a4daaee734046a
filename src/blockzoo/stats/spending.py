"""Looking repeatedly, and still being wrong in 5% at most: what each look may spend.

Looked at after every seed from 5 to 30, a test at 0.05 is wrong in 23% of cases. A plan names the
looks and what each spends; whatever they have in common, they are wrong in the sum at most.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SpendingPlan:
    """Numbers of seeds at which to look, and the level of each look.

    Args:
        looks: Numbers of seeds, rising.
        levels: The level of each look; they add up to `total` at most.
        total: The share of false verdicts that all looks together may make.

    Raises:
        ValueError: Where looks do not rise, or levels add up to more than `total`.

    Example:
        >>> PLAN.level_by_look
        {5: 0.005, 10: 0.015, 20: 0.03}
    """

    looks: tuple[int, ...]
    levels: tuple[float, ...]
    total: float = 0.05

    def __post_init__(self) -> None:
        if len(self.looks) != len(self.levels) or list(self.looks) != sorted(set(self.looks)):
            raise ValueError(f"looks {self.looks} must rise, with a level each: {self.levels}")
        if min(self.levels) <= 0 or sum(self.levels) > self.total + 1e-12:
            raise ValueError(f"levels {self.levels} must be above 0 and add up to {self.total}")

    @property
    def level_by_look(self) -> dict[int, float]:
        """The level at which to judge at each number of seeds, the first look first."""
        return dict(zip(self.looks, self.levels, strict=True))

    def __str__(self) -> str:
        return ", ".join(f"{n} seeds at {level:g}" for n, level in self.level_by_look.items())


PLAN = SpendingPlan(looks=(5, 10, 20), levels=(0.005, 0.015, 0.03))
