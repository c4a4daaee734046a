"""When a sampling session starts to count and when it stops."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import torch

from blockzoo.core.errors import InputError
from blockzoo.core.ranges import CALLS, PROCESSES, ROUNDS
from blockzoo.core.run_way import RunWay
from blockzoo.measure.machine.devices import resolve_device
from blockzoo.measure.timing.parity import TOLERANCE
from blockzoo.stats.verdicts import SAME_WITHIN


@dataclass(frozen=True, kw_only=True)
class SamplingPlan:
    """When to start and when to stop.

    A network is converged after `min_rounds` rounds and `min_seconds` of timed work when the 95%
    interval of its median lies within `target_relative_interval` of it; with `stop_on` "ratio",
    when that of its ratio to the baseline does. With "verdict", where there is a baseline, that of
    the ratio decides too, and is to be as narrow as the verdict needs: within
    `target_same_interval` where the ratio is near 1, so that "same" can be said, and wider in
    proportion the further the ratio is beyond the band of "same". The session ends when all
    networks are converged, after `rounds_max` rounds, or when `budget_s` seconds per network are
    spent; then whatever is not converged says so.

    A network is warm when it no longer gained 1% from one span of `warmup_span_s` (and no more than
    a tenth of the budget) to the next, after `warmup_calls` calls and `warmup_min_s`, and in any
    case after `warmup_max_s`. A sample repeats its call until that of the shortest network lasts
    `min_sample_ms`, and is preceded by `prime_calls` calls that are not timed, so that it does not
    pay for what the network before left in the caches.

    Raises `InputError` for values that cannot work.
    """

    min_rounds: int = 10
    rounds_max: int = 2000
    min_seconds: float = 0.5
    target_relative_interval: float = 0.01
    target_same_interval: float = 0.6 * SAME_WITHIN
    stop_on: Literal["median", "ratio", "verdict"] = "verdict"
    budget_s: float = 6.0
    # At the least: what still gets faster is warmed up further, up to `warmup_max_s`.
    warmup_calls: int = 10
    warmup_span_s: float = 0.25
    warmup_min_s: float = 0.0
    warmup_max_s: float = 5.0
    min_sample_ms: float = 1.0
    prime_calls: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        ROUNDS.checked("min_rounds", self.min_rounds)
        ROUNDS.checked("rounds_max", self.rounds_max)
        self._require_at_least(self.min_rounds, "rounds_max")
        CALLS.checked("warmup_calls", self.warmup_calls)
        CALLS.checked("prime_calls", self.prime_calls)
        for name in ("min_seconds", "warmup_span_s", "warmup_min_s", "min_sample_ms"):
            self._require_at_least(0, name)
        self._require_at_least(self.warmup_min_s, "warmup_max_s")
        for name in ("target_relative_interval", "target_same_interval", "budget_s"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name)}; it must be above 0")
        if self.stop_on not in ("median", "ratio", "verdict"):
            raise InputError(f"stop_on is {self.stop_on!r}; allowed: median, ratio, verdict")

    def _require_at_least(self, least: float, name: str) -> None:
        # Asked this way round, NaN is refused too.
        if not getattr(self, name) >= least:
            raise InputError(f"{name} is {getattr(self, name)}; it must be {least} or more")


# Not int8: an int8 network takes and returns fp32.
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Of weights and inputs, by precision."""


def resolved_way(way: RunWay) -> RunWay:
    """Return the way with its device by its own name; raises `DeviceError` where it is not there.

    >>> resolved_way(RunWay(device="auto")).device in ("cpu", "cuda:0")
    True
    """
    return replace(way, device=str(resolve_device(way.device)))


@dataclass(frozen=True, kw_only=True)
class LatencySettings(SamplingPlan):
    """How latency is measured; all of it is recorded and part of a trial's identity.

    A network is warm when it no longer gained 1% from one span to the next, and converged when the
    interval that `stop_on` names is narrow enough. The session ends when all networks are
    converged, or its rounds or its budget are spent; then whatever is not converged says so.

    Args:
        min_rounds: Rounds that a network needs before it is converged.
        rounds_max: Rounds after which the session ends.
        min_seconds: Timed work, in s, that a network needs before it is converged.
        target_relative_interval: Half of the 95% interval, as a share of the median or ratio, at
            which a network is converged.
        target_same_interval: The same for "verdict" where the ratio is near 1, so that "same" can
            be said; it grows in proportion to how far the ratio is beyond the band of "same".
        stop_on: What is to be known: the "median", the "ratio" to the baseline, or with "verdict"
            the ratio as well as its verdict needs, where there is a baseline.
        budget_s: Seconds per network after which the session ends.
        warmup_calls: Calls before a network can be warm.
        warmup_span_s: Seconds of the spans that warm-up is judged by; a tenth of the budget at
            most.
        warmup_min_s: Seconds before a network can be warm; on a GPU at least one.
        warmup_max_s: Seconds after which a network counts as warm in any case.
        min_sample_ms: A sample repeats its call until that of the shortest network lasts so long.
        prime_calls: Calls before each sample that are not timed, so that it does not pay for what
            the network before left in the caches.
        seed: Of the order of networks within rounds.
        way: How the networks are run.
        parity_tolerance: The largest difference between a deploy or exported form and its original,
            as a share of the largest output.
        processes: Fresh ones that share rounds and budget; 0 is this process, which starts at once.
            Fewer than three cannot tell how far processes differ, and give no verdict.
        keep_freed_memory: Whether fresh processes reuse memory that a call freed, as under the
            allocators of servers, instead of getting it anew from the system whenever glibc happens
            to have returned it.

    Raises:
        InputError: For values that cannot work.

    Example:
        >>> settings = LatencySettings(way=RunWay(threads=2), budget_s=2.0)
        >>> settings.way.threads, settings.processes
        (2, 3)
    """

    way: RunWay = field(default_factory=RunWay)
    parity_tolerance: float = TOLERANCE
    processes: int = 3
    keep_freed_memory: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        PROCESSES.checked("processes", self.processes)
        self._require_at_least(0, "parity_tolerance")
