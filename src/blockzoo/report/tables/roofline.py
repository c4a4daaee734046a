"""The roofline of a session as a frame, which is also drawn and written, and as a table."""

from __future__ import annotations

from dataclasses import asdict

import pandas as pd

from blockzoo.analysis.roofline import Achieved
from blockzoo.experiments.roofline import RooflineResult
from blockzoo.measure.timing.peaks import Peaks
from blockzoo.report.tables.fitting import FittedTable
from blockzoo.report.tables.layout import Kind
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
    return record.environment.accelerator or record.environment.named_processor


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
_DISPENSABLE = ("% of bandwidth peak", "% of compute peak", "GB/s", "GFLOP/s", "FLOPs/byte")


def peaks_line(peaks: Peaks) -> str:
    """Return the measured peaks in one line."""
    # On a GPU the CPU's threads have no part in a peak.
    threads = f", {peaks.threads} thread(s)" if peaks.device == "cpu" else ""
    return (
        f"Measured peaks of {peaks.device}{threads}, {peaks.precision}: "
        f"{peaks.flops_per_s / _GIGA:,.1f} GFLOP/s, {peaks.bytes_per_s / _GIGA:,.1f} GB/s, "
        f"meeting at {peaks.flops_per_s / peaks.bytes_per_s:,.1f} FLOPs per byte"
    )


def roofline_table(result: RooflineResult) -> FittedTable:
    """Return one row per network: what it achieved, and its shares of what is possible."""
    numbers: dict[str, Kind] = dict.fromkeys(_NUMBERS, "number")
    table = FittedTable(
        title="Roofline of the scaffold in deploy form, eager",
        columns={"block": "name", "position": "label", **numbers, "bound by": "label"},
        dispensable=_DISPENSABLE,
    )
    for row in result.rows:
        place = (row.record.block, where(row.record))
        if row.achieved is None:
            table.add_reason(*place, reason=failed(row.record.reason))
        else:
            table.add_row(*place, f"{row.record.median_ms:.3f}", *_cells(row.achieved))
    return table


def _cells(achieved: Achieved) -> list[str]:
    return [
        f"{achieved.flops_per_s / _GIGA:,.1f}",
        f"{achieved.bytes_per_s / _GIGA:,.1f}",
        f"{achieved.intensity_flops_per_byte:.1f}",
        f"{100 * achieved.compute_share:.1f}",
        f"{100 * achieved.bandwidth_share:.1f}",
        f"{100 * achieved.roof_share:.1f}",
        achieved.bound,
    ]
