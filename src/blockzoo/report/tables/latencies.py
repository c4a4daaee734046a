"""The long table of latencies for a terminal: every timing, by ratio to its own baseline."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd
from rich.text import Text

from blockzoo.report.tables.fitting import FittedTable
from blockzoo.report.tables.layout import Kind

_WAYS = {
    "latency_backend": "backend",
    "latency_precision": "precision",
    "latency_form": "form",
    "latency_threads": "threads",
    "latency_cache": "cache",
    "latency_batch_size": "batch",
    "latency_channels_last": "channels last",
    "latency_device": "device",
    "latency_hardware": "hardware",
    "context": "context",
    "num_blocks": "depth",
    "base_channels": "width",
    "input_shape": "input",
    "identity": "identity",
}
"""Columns that tell timings apart, each with its title; shown where they are not all alike."""


_DEPLOYED = {
    "file MB": ("exported_bytes", 1e-6),
    "memory MB": ("process_memory_mb", 1.0),
    "mJ/image": ("energy_j_per_image", 1e3),
}
"""Columns of what was exported and run, shown where any row has one, each with its scale."""


def differing_ways(frame: pd.DataFrame) -> dict[str, str]:
    """Return the columns, with their titles, in which the timings of a frame are not all alike.

    >>> frame = pd.DataFrame({name: ["x", "x"] for name in _WAYS})
    >>> differing_ways(frame.assign(latency_precision=["fp32", "int8"]))
    {'latency_precision': 'precision'}
    """
    return {name: title for name, title in _WAYS.items() if frame[name].nunique(dropna=False) > 1}


def timing_of(frame: pd.DataFrame) -> pd.Series:
    """Return for each row the environment and the run that it was timed in, as one text."""
    return frame["latency_environment"] + "/" + frame["latency_session"]


def latencies_table(frame: pd.DataFrame) -> FittedTable:
    """Return one row per timing of a frame of `load_latencies`: median, ratio, verdict, costs.

    Where they are of several runs or environments each says which, for only the ratios compare.
    """
    timings = list(dict.fromkeys(timing_of(frame)))
    differing = differing_ways(frame)
    deployed = [title for title, (name, _) in _DEPLOYED.items() if frame[name].notna().any()]
    # Hardware is named by its maker, at length.
    ways: dict[str, Kind] = {
        title: "text" if title == "hardware" else "label" for title in differing.values()
    }
    costs: dict[str, Kind] = dict.fromkeys(("MMACs", "params", *deployed), "number")
    table = FittedTable(
        title="Latencies, each with its ratio to the baseline timed beside it",
        columns={
            "block": "name",
            "position": "label",
            **ways,
            "ms": "number",
            "ratio": "number",
            "baseline": "name",
            "verdict": "text",
            **costs,
        },
        dispensable=("params", "MMACs", *reversed(deployed), "baseline", "ms"),
    )
    for timing, row in zip(timing_of(frame), frame.to_dict("records"), strict=True):
        mark = f" [{timings.index(timing) + 1}]" if len(timings) > 1 else ""
        place = [str(row[name]) for name in ("block", "position", *differing)]
        if row["status"] == "failed":
            table.add_reason(*place, reason=Text(f"failed: {row['reason']}", style="red"))
        else:
            table.add_row(*place, *_cells(row, mark), *_deployed(row, deployed))
    if len(timings) > 1:
        table.caption = f"timed apart, so compare ratios, not ms: {_named(frame, timings)}"
    return table


def _cells(row: Mapping[Hashable, Any], mark: str) -> list[str]:
    reason = f" ({row['latency_verdict_reason']})" if row["latency_verdict_reason"] else ""
    return [
        _with_interval(row, "latency_ms", "latency_low_ms", "latency_high_ms") + mark,
        _with_interval(row, "latency_ratio", "latency_ratio_low", "latency_ratio_high"),
        str(row["latency_baseline"]),
        f"{row['latency_verdict'] or '-'}{reason}",
        "-" if pd.isna(row["macs_deploy"]) else f"{row['macs_deploy'] / 1e6:,.2f}",
        "-" if pd.isna(row["params_deploy"]) else f"{row['params_deploy']:,}",
    ]


def _deployed(row: Mapping[Hashable, Any], titles: list[str]) -> list[str]:
    cells = []
    for title in titles:
        name, scale = _DEPLOYED[title]
        cells.append("-" if pd.isna(row[name]) else f"{row[name] * scale:,.3f}")
    return cells


def _with_interval(row: Mapping[Hashable, Any], value: str, low: str, high: str) -> str:
    if pd.isna(row[value]):
        return "-"
    text = f"{row[value]:.3f}"
    known = not pd.isna(row[low]) and not pd.isna(row[high])
    return f"{text} ({row[low]:.3f} to {row[high]:.3f})" if known else text


def _named(frame: pd.DataFrame, timings: list[str]) -> str:
    """Return each mark with what it was timed with."""
    first = frame.assign(timing=timing_of(frame)).drop_duplicates("timing").set_index("timing")
    words = []
    for number, timing in enumerate(timings, start=1):
        row = first.loc[timing]
        governor = f", governor {row.latency_governor}" if row.latency_governor else ""
        words.append(f"[{number}] torch {row.latency_torch}{governor}, {row.timestamp[:16]}")
    return "; ".join(words)
