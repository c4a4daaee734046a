"""Blocks over batch sizes, resolutions or thread counts, and the batch of best throughput.

A ranking at batch 1 need not hold at batch 256. Each value is one session of `benchmark_blocks`, so
that within it blocks are compared from samples of the same rounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from blockzoo.analysis.scaling import ScalingAxis
from blockzoo.blocks import BlockLike
from blockzoo.core.errors import BlockError, InputError
from blockzoo.core.position import Position
from blockzoo.core.ranges import BATCH, SIDE, THREADS, Range, check_all
from blockzoo.experiments.benchmark import benchmark_blocks
from blockzoo.measure.timing.api import ThroughputSearch, search_throughput
from blockzoo.measure.timing.sampling import Progress
from blockzoo.measure.timing.settings import LatencySettings
from blockzoo.results.records import LatencyRecord
from blockzoo.scaffold.net import ScaffoldConfig

_RANGES: dict[ScalingAxis, Range] = {"batch_size": BATCH, "resolution": SIDE, "threads": THREADS}
_SEARCH_BUDGET_S = 2.0
_SEARCH_ROUNDS = 3


def measure_scaling(
    blocks: Sequence[BlockLike],
    position: str | Position,
    axis: ScalingAxis,
    values: Sequence[int],
    *,
    config: ScaffoldConfig | None = None,
    settings: LatencySettings | None = None,
    baseline: BlockLike | None = None,
    progress: Progress | None = None,
) -> list[LatencyRecord]:
    """Time the blocks at each value of one axis; everything else is as in `settings`.

    `axis` is batch_size, resolution (height and width of the input) or threads. A network that
    fails, for want of memory say, is a failed record and the others go on. Raises `InputError` for
    no values, and what `benchmark_blocks` raises.

    >>> small = ScaffoldConfig(width=8, depth=1, input_shape=(3, 8, 8))
    >>> once = LatencySettings(processes=0, rounds_max=3, min_rounds=3, warmup_max_s=0.01)
    >>> records = measure_scaling(
    ...     ["ConvBNAct"], "mid", "batch_size", [1, 2], config=small, settings=once
    ... )
    >>> [record.way.batch_size for record in records]
    [1, 2]
    """
    if not values:
        raise InputError(f"no values of {axis} are given; give some")
    check_all(values, axis, _RANGES[axis])
    report = progress or (lambda fraction, text: None)
    records: list[LatencyRecord] = []
    # One session a value: values of one block need not be compared round by round, blocks do.
    for index, value in enumerate(dict.fromkeys(values)):
        changed, chosen = _at_value(
            axis, value, config or ScaffoldConfig(), settings or LatencySettings()
        )

        # Bound as defaults, for a closure would read the loop's variables when it is called.
        def within(fraction: float, text: str, done: int = index, at: int = value) -> None:
            report((done + fraction) / len(values), f"{axis} {at}: {text}")

        records += benchmark_blocks(
            blocks,
            [position],
            config=changed,
            settings=chosen,
            baseline=baseline,
            progress=within,
        )
    return records


def _at_value(
    axis: ScalingAxis, value: int, config: ScaffoldConfig, settings: LatencySettings
) -> tuple[ScaffoldConfig, LatencySettings]:
    if axis == "resolution":
        shape = (config.input_shape[0], value, value)
        # One stem for all sizes: the automatic one changes at 128 pixels.
        return replace(config, input_shape=shape, stem="small"), settings
    way = settings.way
    if axis == "threads":
        return config, replace(settings, way=replace(way, threads=value))
    return config, replace(settings, way=replace(way, batch_size=value))


@dataclass(frozen=True, kw_only=True)
class BestThroughput:
    """The search of one block and the record of a full measurement at its best batch size."""

    search: ThroughputSearch
    record: LatencyRecord


def best_throughput(
    block: BlockLike,
    position: str | Position,
    *,
    config: ScaffoldConfig | None = None,
    settings: LatencySettings | None = None,
    largest_batch: int = 4096,
) -> BestThroughput:
    """Find the batch of most images per second by short measurements, then measure there in full.

    Raises `BlockError` where not even one image can be timed.

    >>> small = ScaffoldConfig(width=8, depth=1, input_shape=(3, 8, 8))
    >>> once = LatencySettings(processes=0, rounds_max=3, min_rounds=3, warmup_max_s=0.01)
    >>> best = best_throughput("ConvBNAct", "mid", config=small, settings=once, largest_batch=2)
    >>> [point.batch_size for point in best.search.points]
    [1, 2]
    """
    settings = settings or LatencySettings()

    def timed(settings: LatencySettings, batch_size: int) -> LatencyRecord:
        batched = replace(settings, way=replace(settings.way, batch_size=batch_size))
        (record,) = benchmark_blocks([block], [position], config=config, settings=batched)
        return record

    short = replace(
        settings,
        min_rounds=_SEARCH_ROUNDS,
        min_seconds=0.0,
        budget_s=_SEARCH_BUDGET_S,
        # This process (0) stays this one; of fresh ones a search needs one.
        processes=min(settings.processes, 1),
    )

    def latency_ms(batch_size: int) -> float:
        record = timed(short, batch_size)
        if record.median_ms is None:
            raise _reason_of(record)
        return record.median_ms

    search = search_throughput(latency_ms, largest_batch=largest_batch)
    return BestThroughput(search=search, record=timed(settings, search.best.batch_size))


def _reason_of(record: LatencyRecord) -> Exception:
    # The search goes on to its end where memory was short, and nowhere else; only the text of the
    # error came back from the process that raised it.
    reason = record.reason or "was not timed"
    if "OutOfMemoryError" in reason or "allocate memory" in reason:
        return MemoryError(reason)
    return BlockError(f"block {record.block}: {reason}")
