"""When a sampling session starts to count and when it stops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from blockzoo.core.errors import InputError


@dataclass(frozen=True, kw_only=True)
class SamplingPlan:
    """When to start and when to stop.

    A cell is converged after `min_rounds` rounds and `min_seconds` of timed work when the 95%
    interval of its median lies within `target_relative_interval` of it; with `stop_on` "ratio",
    when that of its ratio to the baseline does. The session ends when all cells are converged,
    after `rounds_max` rounds, or when `budget_s` seconds per cell are spent; then whatever is not
    converged says so.

    A cell is warm when a block of five samples no longer gains 2% on the best before, after
    `warmup_calls` calls and `warmup_min_s`, and in any case after `warmup_max_s`. A sample repeats
    its call until it lasts `min_sample_ms`, and is preceded by `prime_calls` calls that are not
    timed, so that it does not pay for what the cell before left in the caches.

    Raises `InputError` for values that cannot work.
    """

    min_rounds: int = 10
    rounds_max: int = 2000
    min_seconds: float = 0.5
    target_relative_interval: float = 0.01
    stop_on: Literal["median", "ratio"] = "median"
    budget_s: float = 6.0
    warmup_calls: int = 10
    warmup_min_s: float = 0.0
    warmup_max_s: float = 5.0
    min_sample_ms: float = 1.0
    prime_calls: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        self._require_at_least(1, "min_rounds")
        self._require_at_least(self.min_rounds, "rounds_max")
        for name in ("min_seconds", "warmup_calls", "warmup_min_s", "min_sample_ms", "prime_calls"):
            self._require_at_least(0, name)
        self._require_at_least(self.warmup_min_s, "warmup_max_s")
        for name in ("target_relative_interval", "budget_s"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name)}; it must be above 0")
        if self.stop_on not in ("median", "ratio"):
            raise InputError(f"stop_on is {self.stop_on!r}; allowed: median, ratio")

    def _require_at_least(self, least: float, name: str) -> None:
        if not getattr(self, name) >= least:
            raise InputError(f"{name} is {getattr(self, name)}; it must be {least} or more")
