"""The roofline of a session as a frame, which is also drawn and written, and as a table."""

from __future__ import annotations

from dataclasses import asdict

import pandas as pd
from rich.table import Table
from rich.text import Text

from blockzoo.experiments.roofline import RooflineResult, RooflineRow
from blockzoo.measure.timing.peaks import Peaks
from blockzoo.report.tables.measured import failed, where
from blockzoo.results.records import LatencyRecord


def roofline_frame(result: RooflineResult) -> pd.DataFrame:
    """Return one row per network that was measured, each with all that it was measured with."""
    peaks = result.peaks
    rows = []
    for row in result.rows:
        if row.traffic is None or row.achieved is None:  # failed: the table says why
            continue
        record = row.record
        rows.append(
            {
                "block": record.block,
                "positions": where(record),
                "batch_size": record.batch_size,
                "median_ms": record.median_ms,
                "samples": len(record.samples_ms),
                **asdict(row.traffic),
                **asdict(row.achieved),
                # The peaks in every row: a file of several sessions stays readable.
                **{f"peak_{name}": getattr(peaks, name) for name in ("flops_per_s", "bytes_per_s")},
                "device": peaks.device,
                "threads": peaks.threads,
                "precision": peaks.precision,
                "hardware": _hardware(record),
                "torch": record.environment.torch,
                "commit": record.environment.commit,
            }
        )
    return pd.DataFrame(rows)


def _hardware(record: LatencyRecord) -> str:
    return record.environment.accelerator or record.environment.processor


_GIGA = 1e9
_NUMBERS = (
    "ms",
    "GFLOP/s",
    "GB/s",
    "FLOPs/byte",
    "% of compute peak",
    "% of bandwidth peak",
    "% of roof",
)


def peaks_line(peaks: Peaks) -> str:
    """Return the measured peaks in one line."""
    # On a GPU the CPU's threads have no part in a peak.
    threads = f", {peaks.threads} thread(s)" if peaks.device == "cpu" else ""
    return (
        f"Measured peaks of {peaks.device}{threads}, {peaks.precision}: "
        f"{peaks.flops_per_s / _GIGA:,.1f} GFLOP/s, {peaks.bytes_per_s / _GIGA:,.1f} GB/s, "
        f"meeting at {peaks.flops_per_s / peaks.bytes_per_s:,.1f} FLOPs per byte"
    )


def roofline_table(result: RooflineResult) -> Table:
    """Return one row per network: what it achieved, and its shares of what is possible."""
    table = Table(title="Roofline of the scaffold in deploy form, eager", box=None)
    table.add_column("block")
    table.add_column("position")
    for title in _NUMBERS:
        table.add_column(title, justify="right")
    table.add_column("bound by")
    for row in result.rows:
        table.add_row(row.record.block, where(row.record), *_cells(row))
    return table


def _cells(row: RooflineRow) -> list[str | Text]:
    achieved = row.achieved
    if achieved is None:
        return [failed(row.record.reason)]
    return [
        f"{row.record.median_ms:.3f}",
        f"{achieved.flops_per_s / _GIGA:,.1f}",
        f"{achieved.bytes_per_s / _GIGA:,.1f}",
        f"{achieved.intensity_flops_per_byte:.1f}",
        f"{100 * achieved.compute_share:.1f}",
        f"{100 * achieved.bandwidth_share:.1f}",
        f"{100 * achieved.roof_share:.1f}",
        achieved.bound,
    ]
