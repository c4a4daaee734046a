"""How blocks rank as batch, resolution or threads change: records in, frames and numbers out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import pandas as pd

from blockzoo.core.errors import ResultsError
from blockzoo.results.records import LatencyRecord
from blockzoo.stats import ranks

ScalingAxis = Literal["batch_size", "resolution", "threads"]
SCALING_AXES: tuple[ScalingAxis, ...] = ("batch_size", "resolution", "threads")


def scaling_frame(records: Iterable[LatencyRecord]) -> pd.DataFrame:
    """Return one row per record that went well, ranked among those of the same three values.

    Columns: block, batch_size, resolution (H), threads, latency_ms, low_ms, high_ms,
    images_per_s, rank (1 is the most images per second). Raises `ResultsError` where none went
    well.
    """
    rows = [
        {
            "block": record.block,
            "batch_size": record.batch_size,
            "resolution": record.scaffold.input_shape[1],
            "threads": record.threads,
            "latency_ms": record.median_ms,
            "low_ms": record.interval_ms[0] if record.interval_ms else record.median_ms,
            "high_ms": record.interval_ms[1] if record.interval_ms else record.median_ms,
            "images_per_s": record.throughput_images_per_s,
        }
        for record in records
        if record.status == "ok"
    ]
    if not rows:
        raise ResultsError("no latency was measured, so there is nothing to rank")
    frame = pd.DataFrame(rows)
    alike = frame.groupby(list(SCALING_AXES))["images_per_s"]
    # Of equals all have the best rank, as in a race.
    return frame.assign(rank=alike.rank(ascending=False, method="min").astype(int))


def rank_agreement(frame: pd.DataFrame, axis: ScalingAxis, first: int, second: int) -> float:
    """Return Kendall's tau-b of the blocks' speeds at two values of the axis: 1 is one ranking.

    Blocks that are missing at either value are left out. Raises `ResultsError` with fewer than two.

    >>> speeds = [("A", 1, 9.0), ("A", 2, 9.0), ("B", 1, 5.0), ("B", 2, 12.0)]
    >>> frame = pd.DataFrame(speeds, columns=["block", "threads", "images_per_s"])
    >>> rank_agreement(frame, "threads", 1, 2)
    -1.0
    """
    # Speeds, not latencies: over batch sizes a latency is of another number of images.
    speeds = frame.pivot_table(index="block", columns=axis, values="images_per_s")
    if not {first, second} <= set(speeds.columns):
        raise ResultsError(f"{axis} {first} and {second} are not both measured")
    both = speeds[[first, second]].dropna()
    if len(both) < 2:
        raise ResultsError(f"{len(both)} block is measured at both; a ranking needs 2")
    return ranks.rank_agreement(both.iloc[:, 0], both.iloc[:, 1]).tau


def changed_places(frame: pd.DataFrame, axis: ScalingAxis, first: int, second: int) -> list[str]:
    """Return the blocks whose rank differs between two values of the axis, largest move first.

    >>> ranks = [("A", 1, 1), ("A", 2, 2), ("B", 1, 2), ("B", 2, 1), ("C", 1, 3), ("C", 2, 3)]
    >>> frame = pd.DataFrame(ranks, columns=["block", "threads", "rank"])
    >>> changed_places(frame, "threads", 1, 2)
    ['A', 'B']
    """
    ranks = frame.pivot_table(index="block", columns=axis, values="rank")
    moves = (ranks[second] - ranks[first]).dropna()
    # Stable, so that of equal moves the order of names stays.
    order = moves.abs().sort_values(ascending=False, kind="stable").index
    return [str(block) for block in order if moves[block] != 0]


def reversed_pairs(
    frame: pd.DataFrame, axis: ScalingAxis, first: int, second: int
) -> list[tuple[str, str]]:
    """Return the pairs of blocks, faster first, that are the other way round at the second value.

    Only those whose 95% intervals lie apart at both values: ranks also move within noise.
    """
    at_second = set(_apart(frame[frame[axis] == second]))
    return [pair for pair in _apart(frame[frame[axis] == first]) if pair[::-1] in at_second]


def _apart(at_value: pd.DataFrame) -> list[tuple[str, str]]:
    """Return the pairs (faster, slower) whose intervals lie apart."""
    ends = [(str(b), low, high) for b, low, high in at_value[["block", "low_ms", "high_ms"]].values]
    # Without intervals these would be all pairs, also those that the next run turns round.
    return [(a, b) for a, _, high in ends for b, low, _ in ends if high < low]
