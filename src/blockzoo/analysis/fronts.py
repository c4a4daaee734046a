"""What accuracy costs: which blocks no other beats, how sure that is, and the best within limits.

A candidate is a block at a position. Accuracies are drawn jointly over seeds, latency ratios within
their intervals; the share of draws in which a candidate is on the front is how sure that is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from blockzoo.analysis.groups import Terms, differences
from blockzoo.analysis.trainings import Seeds, Trained, by_seeds, trained
from blockzoo.core.errors import InputError
from blockzoo.core.position import Position
from blockzoo.core.run_way import RunWay
from blockzoo.results.records import CostRecord, LatencyRecord, Record
from blockzoo.results.selection import usual_way
from blockzoo.results.store.database import Store
from blockzoo.results.table.join import measured_beside, parted, run_of
from blockzoo.stats.accuracy import LEAST_SEEDS
from blockzoo.stats.joint_means import drawn_means
from blockzoo.stats.paired_seeds import MeanInterval, mean_interval
from blockzoo.stats.pareto import attainment, domination, front_probability, pareto_front

CostName = Literal["latency", "macs", "params", "memory", "energy"]
COST_NAMES: tuple[CostName, ...] = get_args(CostName)
_Costs = tuple[CostRecord | None, LatencyRecord | None]
_Run = tuple[str, RunWay, str | None]
DRAWS = 2000
_SURE = 0.95
_QUANTILES = (0.025, 0.25, 0.5, 0.75, 0.975)
_PLACES = 48
"""Costs at which the band of a front is said, beside those of the front's own candidates."""
_NORMAL_95 = 1.959964
"""Half the width of a 95% interval in standard deviations."""


class Cost(NamedTuple):
    """A cost with its 95% interval; None for one that is counted or has none."""

    value: float
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A block at a position, or at several where the network is the same.

    `cost` is that of the front, `measured` has all that limits may be on, in their units.
    `probability`: of being on the front. `best_probability`: of being the most accurate within the
    limits, 0 for one beyond them. `dominated_by`: who is better for as much, or as good for less,
    in 95% of draws.
    """

    block: str
    positions: tuple[Position, ...]
    accuracy: MeanInterval
    failed: int
    cost: Cost
    measured: Mapping[str, float] = field(default_factory=dict)
    on_front: bool = False
    probability: float = 0.0
    within: bool = True
    best_probability: float = 0.0
    dominated_by: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Block and position."""
        return f"{self.block} {self.place}"

    @property
    def place(self) -> str:
        """The positions, as in "early/mid"."""
        return "/".join(map(str, self.positions))

    @property
    def judged(self) -> bool:
        """Whether there are seeds enough to say how sure anything is."""
        return self.accuracy.n >= LEAST_SEEDS


class Attained(NamedTuple):
    """Accuracy that is attained at a cost, a fraction of 1, in quantiles over the draws.

    The median, the middle half and the middle 95%. Where in so many draws no candidate is as cheap,
    the end is None.
    """

    cost: float
    low: float | None
    lower: float | None
    median: float | None
    upper: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class Front:
    """The candidates of one data set and protocol, cheapest first. `left_out` lack a cost.

    `attained` is the front with its band, over all candidates with seeds enough.
    """

    terms: Terms
    cost: CostName
    candidates: tuple[Candidate, ...]
    left_out: tuple[str, ...] = ()
    timed: str = ""
    variant: str = ""
    attained: tuple[Attained, ...] = ()


@dataclass(frozen=True, kw_only=True)
class CostLimits:
    """What a candidate may cost at the most, None for no limit.

    Milliseconds at the batch size it was timed at, MACs and parameters of the deploy form, and
    megabytes (10^6 bytes) of inference at batch 1.
    """

    max_latency_ms: float | None = None
    max_macs: float | None = None
    max_params: float | None = None
    max_memory_mb: float | None = None

    @property
    def given(self) -> dict[str, float]:
        """The limits there are, by the name of what they limit."""
        limits = {
            "latency_ms": self.max_latency_ms,
            "macs": self.max_macs,
            "params": self.max_params,
            "memory_mb": self.max_memory_mb,
        }
        return {name: limit for name, limit in limits.items() if limit is not None}


def as_cost(name: str) -> CostName:
    """Return the cost of that name; raises `InputError` for a name that is none.

    >>> as_cost("macs")
    'macs'
    """
    for cost in COST_NAMES:
        if cost == name:
            return cost
    raise InputError(f"cost is {name!r}; allowed: {', '.join(COST_NAMES)}")


def fronts(
    source: Store | Iterable[Record],
    cost: CostName,
    *,
    limits: CostLimits | None = None,
    positions: Sequence[Position] = (),
) -> list[Front]:
    """Return a front for each data set, protocol and terms, over all positions or those given.

    Latency is the ratio to the baseline timed beside it, in the way of running that most candidates
    share. What lacks the cost, or one that a limit is on, is left out and named.
    """
    measured, trainings = parted(source)
    beside = measured_beside(measured)
    return fronts_of(by_seeds(trained(trainings)), beside, cost, limits=limits, positions=positions)


def fronts_of(
    every: Iterable[Seeds[Trained]],
    beside: Callable[[Trained, Position], _Costs],
    cost: CostName,
    *,
    limits: CostLimits | None = None,
    positions: Sequence[Position] = (),
) -> list[Front]:
    """Return what `fronts` does, of trainings that were read and what finds their costs.

    >>> fronts_of([], measured_beside([]), "macs")
    []
    """
    limits = limits or CostLimits()
    places: dict[Terms, list[tuple[tuple[Position, ...], Seeds[Trained]]]] = {}
    for seeds in every:
        asked = tuple(p for p in seeds.records[0].positions if not positions or p in positions)
        if asked:
            places.setdefault(seeds.terms, []).append((asked, seeds))
    found = [_front(terms, group, cost, beside, limits) for terms, group in places.items()]
    variants = differences([front.terms for front in found])
    return [
        replace(front, variant=variant)
        for front, variant in sorted(
            zip(found, variants, strict=True), key=lambda pair: pair[0].terms
        )
        if front.candidates or front.left_out
    ]


def _front(
    terms: Terms,
    group: Sequence[tuple[tuple[Position, ...], Seeds[Trained]]],
    cost: CostName,
    beside: Callable[[Trained, Position], _Costs],
    limits: CostLimits,
) -> Front:
    candidates, results, left_out = [], [], []
    costs = [beside(seeds.records[-1], places[0]) for places, seeds in group]
    run = _usual_run(zip((seeds for _, seeds in group), costs, strict=True))
    for (places, seeds), (counted, timed) in zip(group, costs, strict=True):
        block, accuracies = seeds.records[0].block, seeds.accuracies
        timed = timed if timed is not None and run_of(timed) == run else None
        measured = _measured(counted, timed)
        price = _price(cost, measured, timed)
        if price is None or not accuracies or limits.given.keys() - measured.keys():
            left_out.append(f"{block} {'/'.join(map(str, places))}")
            continue
        results.append(accuracies)
        candidates.append(
            Candidate(
                block=block,
                positions=places,
                accuracy=mean_interval(list(accuracies.values())),
                failed=seeds.failed,
                cost=price,
                measured=measured,
                within=all(measured[name] <= limit for name, limit in limits.given.items()),
            )
        )
    judged, attained = _judged(candidates, results)
    return Front(
        terms=terms,
        cost=cost,
        candidates=tuple(sorted(judged, key=lambda each: each.cost.value)),
        attained=attained,
        left_out=tuple(left_out),
        timed=_in_words(run) if cost in ("latency", "energy") or limits.max_latency_ms else "",
    )


def _in_words(run: _Run | None) -> str:
    if run is None:
        return ""
    hardware, way, baseline = run
    return f"ratio to {baseline}, {way.label()}, {hardware}"


def _judged(
    candidates: Sequence[Candidate], results: Sequence[Mapping[int, float]]
) -> tuple[list[Candidate], tuple[Attained, ...]]:
    if not candidates:
        return [], ()
    seeds = sorted({seed for accuracies in results for seed in accuracies})
    table = np.array([[each.get(seed, np.nan) for seed in seeds] for each in results])
    gains = drawn_means(table, draws=DRAWS)
    costs = _drawn_costs([each.cost for each in candidates])
    front = pareto_front([c.cost.value for c in candidates], [c.accuracy.mean for c in candidates])
    on_front, dominated = front_probability(costs, gains), domination(costs, gains)
    within = np.array([each.within for each in candidates])
    allowed = np.where(within, gains, -np.inf)
    best = np.bincount(allowed.argmax(axis=1), minlength=len(candidates)) / DRAWS * within
    judged = [
        replace(
            each,
            on_front=bool(front[index]),
            probability=float(on_front[index]),
            best_probability=float(best[index]),
            dominated_by=tuple(
                candidates[int(other)].name
                for other in np.flatnonzero(dominated[index] >= _SURE)
                if each.judged and candidates[int(other)].judged
            ),
        )
        for index, each in enumerate(candidates)
    ]
    return judged, _attained(judged, costs, gains)


def _attained(
    candidates: Sequence[Candidate], costs: NDArray[np.float64], gains: NDArray[np.float64]
) -> tuple[Attained, ...]:
    """Return the front with its band, at costs spread as evenly as the eye has it."""
    # Of one seed nothing is known of how far it may lie, and the band would be too narrow.
    known = np.array([each.judged for each in candidates])
    values = np.array([each.cost.value for each in candidates])[known]
    if not len(values) or min(values) <= 0:
        return ()
    steps = [each.cost.value for each in candidates if each.on_front]
    at = np.unique([*np.geomspace(min(values), max(values), _PLACES), *steps])
    band = attainment(costs[:, known], gains[:, known], at, _QUANTILES)
    return tuple(
        Attained(float(cost), *(float(gain) if np.isfinite(gain) else None for gain in column))
        for cost, column in zip(at, band.T, strict=True)
    )


def _drawn_costs(costs: Sequence[Cost]) -> NDArray[np.float64]:
    """Return draws (draws, k) of costs, each within its own interval as a normal on a log scale."""
    generator = np.random.default_rng(1)
    drawn = np.tile([each.value for each in costs], (DRAWS, 1))
    for column, each in enumerate(costs):
        if each.interval is not None and min(each.interval) > 0 and each.value > 0:
            low, high = np.log(each.interval)
            deviation = (high - low) / 2 / _NORMAL_95
            drawn[:, column] *= np.exp(generator.normal(0, deviation, DRAWS))
    return drawn


def _usual_run(found: Iterable[tuple[Seeds[Trained], _Costs]]) -> _Run | None:
    """Return hardware, way and baseline under which most of the candidates were timed."""
    return usual_way(
        [
            (seeds.records[0].block_fingerprint or seeds.records[0].block, run_of(timed))
            for seeds, (_, timed) in found
            if timed is not None and timed.median_ms is not None
        ]
    )


def _measured(counted: CostRecord | None, timed: LatencyRecord | None) -> dict[str, float]:
    """Return what is known of a candidate that limits may be on."""
    deploy, memory = (counted.deploy, counted.memory_inference) if counted else (None, None)
    found: dict[str, float | None] = {
        "latency_ms": timed.median_ms if timed else None,
        "macs": deploy.macs if deploy else None,
        "params": deploy.params_total if deploy else None,
        "memory_mb": memory.peak_bytes / 1e6 if memory else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _price(
    cost: CostName, measured: Mapping[str, float], timed: LatencyRecord | None
) -> Cost | None:
    """Return what a candidate costs, None where that was not measured."""
    if cost == "latency":
        return Cost(timed.ratio, timed.ratio_interval) if timed and timed.ratio else None
    if cost == "energy":
        joules = timed.energy_j_per_image if timed else None
        return Cost(joules, timed.energy_interval_j) if timed and joules else None
    value = measured.get("memory_mb" if cost == "memory" else cost)
    return None if value is None else Cost(value)
