"""Speed over batch sizes, resolutions and threads, and what blocks add, as tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table

from blockzoo.analysis.scaling import (
    ScalingAxis,
    changed_places,
    rank_agreement,
    reversed_pairs,
    scaling_frame,
)
from blockzoo.experiments.marginal import Additivity, Marginal
from blockzoo.experiments.scaling import BestThroughput
from blockzoo.report.tables.measured import failed
from blockzoo.results.records import LatencyRecord


def scaling_table(records: Sequence[LatencyRecord], axis: ScalingAxis) -> Table:
    """Return one row per block: images per second, and rank, at each value of the axis."""
    frame = scaling_frame(records)
    values = sorted(frame[axis].unique())
    table = Table(title=f"Images per second (rank) by {axis.replace('_', ' ')}", box=None)
    table.add_column("block")
    for value in values:
        table.add_column(str(value), justify="right")
    # In the order of the records, which is that of the command.
    for block, rows in frame.groupby("block", sort=False):
        cells = {
            row[axis]: f"{row['images_per_s']:,.0f} ({row['rank']})" for _, row in rows.iterrows()
        }
        # What failed at a value has no row in the frame.
        table.add_row(str(block), *(cells.get(value, "failed") for value in values))
    for record in records:
        if record.status == "failed":
            table.add_row(record.block, failed(record.reason))
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


def throughput_table(searches: Sequence[BestThroughput]) -> Table:
    """Return one row per block: its best batch, the speed there, and why the search ended."""
    table = Table(title="Throughput at the best batch size", box=None)
    for title in ("block", "best batch", "images/s", "at batch 1", "gain", "search ended by"):
        table.add_column(title, justify="left" if title == "block" else "right")
    for each in searches:
        # The gain is over batch 1, the first point of every search.
        single, speed = each.search.points[0].images_per_s, each.record.throughput_images_per_s
        best = f"{speed:,.0f}" if speed else f"failed: {each.record.reason}"
        table.add_row(
            each.record.block,
            str(each.search.best.batch_size),
            best,
            f"{single:,.0f}",
            f"{speed / single:.2f}x" if speed else "-",
            each.search.stopped_by,
        )
    return table


def marginal_table(marginals: Sequence[Marginal]) -> Table:
    """Return one row per block and position: what the block adds, or why that is not known."""
    table = Table(title="Latency that the block adds to the scaffold, ms", box=None)
    table.add_column("block")
    table.add_column("position")
    for title in ("adds", "95% interval", "scaffold", "with identity"):
        table.add_column(title, justify="right")
    for each in marginals:
        if each.marginal_ms is None or each.interval_ms is None:
            table.add_row(each.block, str(each.position), failed(each.reason))
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


def additivity_table(sums: Sequence[Additivity]) -> Table:
    """Return one row per block: the sum of its marginals against the network that is all of it."""
    table = Table(title="Base and marginals against the block in all three stages", box=None)
    table.add_column("block")
    for title in ("predicted ms", "measured ms", "error", "95% interval"):
        table.add_column(title, justify="right")
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
