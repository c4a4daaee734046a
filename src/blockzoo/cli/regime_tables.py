"""Regimes as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table

from blockzoo.analysis.scaling import (
    Axis,
    changed_places,
    rank_agreement,
    regime_frame,
    reversed_pairs,
)
from blockzoo.cli.tables import failed
from blockzoo.experiments.scaling import BestThroughput
from blockzoo.results.records import LatencyRecord


def regime_table(records: Sequence[LatencyRecord], axis: Axis) -> Table:
    """Return one row per block: images per second, and rank, at each value of the axis."""
    frame = regime_frame(records)
    values = sorted(frame[axis].unique())
    table = Table(title=f"Images per second (rank) by {axis.replace('_', ' ')}", box=None)
    table.add_column("block")
    for value in values:
        table.add_column(str(value), justify="right")
    for block, rows in frame.groupby("block", sort=False):
        cells = {
            row[axis]: f"{row['images_per_s']:,.0f} ({row['rank']})" for _, row in rows.iterrows()
        }
        table.add_row(str(block), *(cells.get(value, "failed") for value in values))
    for record in records:
        if record.status == "failed":
            table.add_row(record.block, failed(record.reason))
    return table


def agreement_lines(records: Sequence[LatencyRecord], axis: Axis) -> Iterator[str]:
    """Yield what the first and the last value of the axis say of each other's ranking."""
    frame = regime_frame(records)
    values = sorted(int(value) for value in frame[axis].unique())
    if len(values) < 2 or frame["block"].nunique() < 2:
        return
    first, last = values[0], values[-1]
    tau = rank_agreement(frame, axis, first, last)
    moved = changed_places(frame, axis, first, last)
    name = axis.replace("_", " ")
    yield f"Kendall's tau of the rankings at {name} {first} and {last}: {tau:.2f}"
    yield f"blocks that change places: {', '.join(moved) if moved else 'none'}"
    pairs = [f"{a} and {b}" for a, b in reversed_pairs(frame, axis, first, last)]
    yield f"pairs reversed with intervals apart at both: {', '.join(pairs) if pairs else 'none'}"


def throughput_table(found: Sequence[BestThroughput]) -> Table:
    """Return one row per block: its best batch, the speed there, and why the search ended."""
    table = Table(title="Throughput at the best batch size", box=None)
    for title in ("block", "best batch", "images/s", "at batch 1", "gain", "search ended by"):
        table.add_column(title, justify="left" if title == "block" else "right")
    for each in found:
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
