"""Speed over batch sizes, resolutions and threads, and what blocks add, as tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from blockzoo.analysis.scaling import (
    ScalingAxis,
    changed_places,
    rank_agreement,
    reversed_pairs,
    scaling_frame,
)
from blockzoo.experiments.marginal import Additivity, Marginal
from blockzoo.experiments.scaling import BestThroughput
from blockzoo.report.tables.fitting import FittedTable
from blockzoo.report.tables.layout import Kind
from blockzoo.report.tables.measured import failed
from blockzoo.results.records import LatencyRecord


def scaling_table(records: Sequence[LatencyRecord], axis: ScalingAxis) -> FittedTable:
    """Return one row per block: images per second, and rank, at each value of the axis."""
    frame = scaling_frame(records)
    values = sorted(frame[axis].unique())
    numbers: dict[str, Kind] = {str(value): "number" for value in values}
    table = FittedTable(
        title=f"Images per second (rank) by {axis.replace('_', ' ')}",
        columns={"block": "name", **numbers},
        # The ends are what rankings are compared at.
        dispensable=[str(value) for value in reversed(values[1:-1])],
    )
    # In the order of the records, which is that of the command.
    for block, rows in frame.groupby("block", sort=False):
        cells = {
            row[axis]: f"{row['images_per_s']:,.0f} ({row['rank']})" for _, row in rows.iterrows()
        }
        # What failed at a value has no row in the frame.
        table.add_row(str(block), *(cells.get(value, "failed") for value in values))
    for record in records:
        if record.status == "failed":
            table.add_reason(record.block, reason=failed(record.reason))
    return table


def agreement_lines(records: Sequence[LatencyRecord], axis: ScalingAxis) -> Iterator[str]:
    """Yield what the first and the last value of the axis say of each other's ranking."""
    frame = scaling_frame(records)
    values = sorted(int(value) for value in frame[axis].unique())
    if len(values) < 2 or frame["block"].nunique() < 2:  # one of either has no ranking to keep
        return
    # The ends, where rankings differ most; the steps between are in the table.
    first, last = values[0], values[-1]
    tau = rank_agreement(frame, axis, first, last)
    moved = changed_places(frame, axis, first, last)
    name = axis.replace("_", " ")
    yield f"Kendall's tau of the rankings at {name} {first} and {last}: {tau:.2f}"
    yield f"blocks that change places: {', '.join(moved) if moved else 'none'}"
    pairs = [f"{a} and {b}" for a, b in reversed_pairs(frame, axis, first, last)]
    yield f"pairs reversed with intervals apart at both: {', '.join(pairs) if pairs else 'none'}"


def throughput_table(searches: Sequence[BestThroughput]) -> FittedTable:
    """Return one row per block: its best batch, the speed there, and why the search ended."""
    numbers: dict[str, Kind] = dict.fromkeys(
        ("best batch", "images/s", "at batch 1", "gain"), "number"
    )
    table = FittedTable(
        title="Throughput at the best batch size",
        columns={"block": "name", **numbers, "search ended by": "text"},
        dispensable=("at batch 1", "search ended by", "gain"),
    )
    for each in searches:
        # The gain is over batch 1, the first point of every search.
        single, speed = each.search.points[0].images_per_s, each.record.throughput_images_per_s
        place = (each.record.block, str(each.search.best.batch_size))
        if not speed:
            table.add_reason(*place, reason=failed(each.record.reason))
            continue
        gain = f"{speed / single:.2f}x"
        table.add_row(*place, f"{speed:,.0f}", f"{single:,.0f}", gain, each.search.stopped_by)
    return table


def marginal_table(marginals: Sequence[Marginal]) -> FittedTable:
    """Return one row per block and position: what the block adds, or why that is not known."""
    numbers: dict[str, Kind] = dict.fromkeys(
        ("adds", "95% interval", "scaffold", "with identity"), "number"
    )
    table = FittedTable(
        title="Latency that the block adds to the scaffold, ms",
        columns={"block": "name", "position": "label", **numbers},
        dispensable=("with identity", "scaffold", "95% interval"),
    )
    for each in marginals:
        if each.marginal_ms is None or each.interval_ms is None:
            table.add_reason(each.block, str(each.position), reason=failed(each.reason))
            continue
        low, high = each.interval_ms
        table.add_row(
            each.block,
            str(each.position),
            f"{each.marginal_ms:.3f}",
            f"{low:.3f} to {high:.3f}",
            f"{each.network_ms:.3f}",
            f"{each.identity_ms:.3f}",
        )
    return table


def additivity_table(sums: Sequence[Additivity]) -> FittedTable:
    """Return one row per block: the sum of its marginals against the network that is all of it."""
    numbers: dict[str, Kind] = dict.fromkeys(
        ("predicted ms", "measured ms", "error", "95% interval"), "number"
    )
    table = FittedTable(
        title="Base and marginals against the block in all three stages",
        columns={"block": "name", **numbers},
        dispensable=("predicted ms", "measured ms", "95% interval"),
    )
    for each in sums:
        low, high = each.error_interval
        table.add_row(
            each.block,
            f"{each.predicted_ms:.3f}",
            f"{each.measured_ms:.3f}",
            f"{each.error:+.1%}",
            f"{low:+.1%} to {high:+.1%}",
        )
    return table
