"""What a figure of accuracy against cost is drawn from: results chosen from a summary.

A result is one block at one position under one data set and protocol.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from blockzoo.analysis.groups import Terms
from blockzoo.analysis.summary import timings
from blockzoo.core.errors import ResultsError
from blockzoo.core.position import Position
from blockzoo.stats.pareto import pareto_front

Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class CostAxis:
    """One cost: the columns of the summary that hold it and how its axis is labelled.

    `interval` names the columns of its 95% interval. `units` are (factor, name), largest first; the
    largest that is not above the largest cost is taken. A `timed` cost depends on the machine and
    the batch size; a `relative` one is to a baseline that was timed beside it, so that it compares
    blocks of several runs and machines.
    """

    name: str
    title: str
    column: str
    label: str
    units: tuple[tuple[float, str], ...]
    interval: tuple[str, str] | None = None
    timed: bool = False
    relative: bool = False

    def unit(self, largest: float) -> tuple[float, str]:
        """Return the (factor, name) of the unit in which `largest` reads well.

        >>> FLOPS.unit(2.5e6)
        (1000000.0, 'MFLOPs')
        """
        fitting = (unit for unit in self.units if largest >= unit[0])
        return next(fitting, self.units[-1])


LATENCY = CostAxis(
    name="latency",
    title="latency",
    column="latency_ms",
    label="Latency, deploy form, median",
    units=((1.0, "ms"),),
    interval=("latency_low_ms", "latency_high_ms"),
    timed=True,
)
LATENCY_RATIO = CostAxis(
    name="latency_ratio",
    title="latency ratio",
    column="latency_ratio",
    label="Latency, deploy form, over that of the baseline timed beside it",
    units=((1.0, "ratio"),),
    interval=("latency_ratio_low", "latency_ratio_high"),
    timed=True,
    relative=True,
)
FLOPS = CostAxis(
    name="flops",
    title="FLOPs",
    column="flops",
    label="FLOPs of one image, deploy form, 2 x MACs",
    units=((1e9, "GFLOPs"), (1e6, "MFLOPs"), (1e3, "kFLOPs")),
)
MEMORY = CostAxis(
    name="memory",
    title="memory",
    column="memory_mb",
    label="Peak memory of inference, batch 1",
    units=((1.0, "MB"),),
)
COST_AXES = (LATENCY, LATENCY_RATIO, FLOPS, MEMORY)


@dataclass(frozen=True, kw_only=True)
class Result:
    """One point: accuracies in percent, costs in the unit of its axis, 95% intervals or None.

    The mean is over `seeds`; `failed` ones are not in it.
    """

    block: str
    position: Position
    cost: float
    accuracy: float
    cost_interval: Interval | None
    accuracy_interval: Interval | None
    seeds: int
    failed: int = 0
    verdict: str = ""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The results of one figure, how many were left out and why, and what the axes say.

    `protocol` is "" where it is not known, `variant` where nothing else tells the results from
    those of other figures. `hardware`, `batch_sizes` and `baselines` are of the timed cost.
    """

    dataset: str
    protocol: str
    results: tuple[Result, ...]
    unit: str
    without_cost: int
    without_accuracy: int
    accuracy_sources: tuple[str, ...]
    hardware: tuple[str, ...] = ()
    batch_sizes: tuple[str, ...] = ()
    baselines: tuple[str, ...] = ()
    variant: str = ""

    @property
    def with_failures(self) -> tuple[Result, ...]:
        """The results of which some seeds failed: their means are of those that did not."""
        return tuple(result for result in self.results if result.failed)

    @property
    def has_intervals(self) -> bool:
        """Whether any result has an interval on either axis."""
        return any(result.cost_interval or result.accuracy_interval for result in self.results)

    @property
    def has_single_seeds(self) -> bool:
        """Whether any result is of one seed only."""
        return any(result.seeds == 1 for result in self.results)

    @property
    def at_shared_places(self) -> int:
        """How many results have exactly the cost and the accuracy of another."""
        places = Counter((result.cost, result.accuracy) for result in self.results)
        return sum(count for count in places.values() if count > 1)

    def front(self) -> tuple[Result, ...]:
        """Return the results that no other beats in accuracy and cost, cheapest first."""
        costs = np.array([result.cost for result in self.results])
        accuracies = np.array([result.accuracy for result in self.results])
        mask = pareto_front(costs, accuracies)
        chosen = [result for result, best in zip(self.results, mask, strict=True) if best]
        # By name too, so that equal results are always drawn in the same order.
        return tuple(sorted(chosen, key=lambda each: (each.cost, each.block, each.position)))

    def by_block(self) -> dict[str, list[Result]]:
        """Return the results of each block, blocks by name, results early to late."""
        ordered = sorted(self.results, key=lambda each: (each.block, each.position.stage_index))
        groups: dict[str, list[Result]] = {}
        for result in ordered:
            groups.setdefault(result.block, []).append(result)
        return groups


def select_results(summary: pd.DataFrame, cost: CostAxis) -> Selection:
    """Choose what can be drawn from the summary of one data set and protocol, on one set of terms.

    Raises `ResultsError` for a summary of several, where no result has accuracy and cost, and for
    latencies that were timed apart, which compare by their ratios only.
    """
    for name in Terms._fields:
        if name in summary:
            _only(summary, name)
    has_accuracy, has_cost = _finite(summary["accuracy"]), _finite(summary[cost.column])
    chosen = summary[has_accuracy & has_cost]
    if chosen.empty:
        raise ResultsError(
            f"nothing to plot: of {len(summary)} results, {int(has_accuracy.sum())} have an "
            f"accuracy and {int(has_cost.sum())} a {cost.title}, but none has both"
        )
    if cost.timed and not cost.relative and (apart := timings(chosen)):
        raise ResultsError(
            f"they were timed apart, in {len(apart)} runs or environments; "
            f"the figure of {LATENCY_RATIO.title} compares them"
        )
    factor, unit = cost.unit(float(chosen[cost.column].astype(float).max()))
    return Selection(
        dataset=_only(summary, "dataset"),
        protocol=_only(summary, "protocol"),
        results=tuple(_result(dict(row), cost, factor) for _, row in chosen.iterrows()),
        unit=unit,
        # What lacks both counts once, as without accuracy.
        without_cost=int((has_accuracy & ~has_cost).sum()),
        without_accuracy=int((~has_accuracy).sum()),
        accuracy_sources=_texts(chosen["accuracy_source"]),
        hardware=_texts(chosen["latency_hardware"]) if cost.timed else (),
        batch_sizes=_texts(chosen["latency_batch_size"]) if cost.timed else (),
        baselines=_texts(chosen["latency_baseline"]) if cost.relative else (),
        variant=_only(summary, "variant") if "variant" in summary else "",
    )


def _only(summary: pd.DataFrame, column: str) -> str:
    values = _texts(summary[column])
    if len(values) > 1:
        raise ResultsError(f"one figure shows one {column}; given {', '.join(values)}")
    return "".join(values)


def _texts(column: pd.Series) -> tuple[str, ...]:
    """Return the different values that are known, sorted, whole numbers without a fraction."""
    # A column with gaps holds its whole numbers as floats.
    known = {f"{v:g}" if isinstance(v, float) else str(v) for v in column.dropna()}
    return tuple(sorted(known - {""}))


def _finite(column: pd.Series) -> NDArray[np.bool_]:
    numbers = pd.to_numeric(column).to_numpy(dtype=float, na_value=np.nan)
    return np.asarray(np.isfinite(numbers))


def _result(row: Mapping[Any, object], cost: CostAxis, factor: float) -> Result:
    return Result(
        block=str(row["block"]),
        position=Position.parse(str(row["position"])),
        cost=_number(row[cost.column]) / factor,
        accuracy=100 * _number(row["accuracy"]),
        cost_interval=_interval(row, cost.interval, 1 / factor) if cost.interval else None,
        accuracy_interval=_interval(row, ("accuracy_low", "accuracy_high"), 100),
        seeds=int(_number(row["n"])),
        failed=int(_number(row["failed"])),
        verdict=str(row["latency_verdict"]) if cost.relative else "",
    )


def _interval(row: Mapping[Any, object], columns: tuple[str, str], scale: float) -> Interval | None:
    low, high = (_number(row[column]) * scale for column in columns)
    return (low, high) if np.isfinite(low) and np.isfinite(high) else None


def _number(value: object) -> float:
    # By way of text, for pandas' own numbers do not all convert.
    return float("nan") if value is None or value is pd.NA else float(str(value))
