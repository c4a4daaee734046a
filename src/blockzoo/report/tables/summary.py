"""The summary of a sweep as a table for a terminal."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from blockzoo.analysis.summary import timings
from blockzoo.report.tables.fitting import FittedTable
from blockzoo.report.tables.layout import Kind
from blockzoo.stats.accuracy import LEAST_SEEDS
from blockzoo.stats.verdicts import why_undecided

_ROBUSTNESS = {"corruption_accuracy": "corrupted %", "shift_consistency": "kept by shift %"}
"""Columns that are shown where any block was tested so."""
_PLACE: dict[str, Kind] = {
    "data": "text",
    "block": "name",
    "position": "label",
    "seeds": "number",
}
_MEASURED: dict[str, Kind] = {
    **dict.fromkeys(("latency ms", "ratio"), "number"),
    "verdict": "label",
    **dict.fromkeys(("stage MMACs", "stage params", "memory MB"), "number"),
}
# Of latencies it is the ratio that can be compared.
_DISPENSABLE = ("memory MB", "stage params", "latency ms", "stage MMACs")


def summary_table(summary: pd.DataFrame) -> FittedTable:
    """Return the end of a sweep: accuracy, latency and cost by block and position.

    MACs and parameters are of the stage there: what surrounds it is the same for all.
    """
    # Robustness is measured on demand; without it these columns would be all dashes.
    shown = [name for name in _ROBUSTNESS if summary[name].notna().any()]
    marks = {timing: f" [{n}]" for n, timing in enumerate(timings(summary), start=1)}
    rows = summary.to_dict("records")
    robustness: dict[str, Kind] = {_ROBUSTNESS[name]: "number" for name in shown}
    table = FittedTable(
        title="Mean over seeds, 95% intervals",
        columns={**_PLACE, "accuracy %": "number", **robustness, **_MEASURED},
        dispensable=(*_DISPENSABLE, *robustness, "seeds"),
        caption="; ".join(
            (*_few_seeds(summary), *_of_validation(summary), *_timing_notes(summary, marks))
        ),
    )
    for row in rows:
        table.add_row(
            _data(row),
            str(row["block"]),
            str(row["position"]),
            seeds_text(row["n"], row["failed"]),
            _accuracy(row),
            *(_number(row[name], 100.0, 2) for name in shown),
            _mean(row, "latency_ms", "latency_low_ms", "latency_high_ms", digits=3)
            + marks.get(str(row["latency_timing"]), ""),
            _mean(row, "latency_ratio", "latency_ratio_low", "latency_ratio_high", digits=3),
            str(row["latency_verdict"]) or "-",
            _number(row["stage_macs"], 1e-6, 1),
            _number(row["stage_params"], 1.0, 0),
            _number(row["memory_mb"], 1.0, 1),
        )
    return table


def _accuracy(row: Mapping[Hashable, Any]) -> str:
    # Of two seeds the interval is as wide as all there can be, and looks like a finding.
    if row["n"] < LEAST_SEEDS:
        return _number(row["accuracy"], 100.0, 2)
    return _mean(row, "accuracy", "accuracy_low", "accuracy_high", scale=100.0, digits=2)


def _few_seeds(summary: pd.DataFrame) -> list[str]:
    """Return what cannot be said of accuracies with so few seeds, where there are any."""
    few = sorted({int(n) for n in summary["n"] if 0 < n < LEAST_SEEDS})
    seeds = " or ".join(map(str, few)) + (" seed" if few == [1] else " seeds")
    return [f"{seeds}: no conclusion on accuracy possible, it takes {LEAST_SEEDS}"] if few else []


def _of_validation(summary: pd.DataFrame) -> list[str]:
    """Return that accuracies are none of the test set, where any is not."""
    sources = summary["accuracy_source"]
    if not (sources == "validation").any():
        return []
    which = "" if (sources == "validation").all() else " of rows without one of the test set"
    return [f"accuracy{which}: on validation images"]


def seeds_text(well: int, failed: int) -> str:
    """Return how many seeds a mean is of, and how many failed and are not in it.

    >>> seeds_text(10, 0), seeds_text(3, 7)
    ('10', '3 (7 of 10 failed)')
    """
    return f"{well} ({failed} of {well + failed} failed)" if failed else str(well)


def _data(row: Mapping[Hashable, Any]) -> str:
    """Return data set and protocol, and what tells this row from others of both."""
    suffix = f" ({row['variant']})" if row["variant"] else ""
    return ", ".join(filter(None, (str(row["dataset"]), str(row["protocol"])))) + suffix


def _timing_notes(summary: pd.DataFrame, marks: Mapping[str, str]) -> list[str]:
    baselines = sorted({*summary["latency_baseline"][summary["latency_ratio"].notna()]} - {""})
    sentences = [f"ratio: to {' or '.join(baselines)}, timed beside it"] if baselines else []
    sentences += why_undecided(summary["latency_verdict_reason"])
    if marks:
        words = summary.drop_duplicates("latency_timing").set_index("latency_timing")
        sessions: dict[str, list[str]] = {}
        for key, mark in marks.items():
            sessions.setdefault(str(words.latency_timed_with[key]), []).append(mark.strip())
        named = "; ".join(f"{' '.join(each)} {with_what}" for with_what, each in sessions.items())
        sentences.append(f"timed apart, so compare ratios, not ms: {named}")
    return sentences


def untrained_line(results: str) -> str:
    """Return what stands in the place of a summary that would be empty.

    >>> untrained_line("mine")
    'nothing is trained yet; `blockzoo results list mine` lists what there is'
    """
    return f"nothing is trained yet; `blockzoo results list {results}` lists what there is"


def older_identity_line(frame: pd.DataFrame) -> str:
    """Return one line on how many rows of a results frame are of an older identity, "" for none.

    >>> older_identity_line(pd.DataFrame({"identity": ["1", "2"]}))
    '1 of 2 rows are of an older identity (no schema version, or 1): shown, but measured anew'
    """
    return older_rows_line(int((frame["identity"] == "1").sum()), len(frame))


def older_rows_line(older: int, rows: int) -> str:
    """Return that line for so many of so many rows."""
    if not older:
        return ""
    return (
        f"{older} of {rows} rows are of an older identity (no schema version, or 1): "
        f"shown, but measured anew"
    )


def _mean(
    row: Mapping[Hashable, Any],
    value: str,
    low: str,
    high: str,
    scale: float = 1.0,
    digits: int = 2,
) -> str:
    text = _number(row[value], scale, digits)
    if pd.isna(row[low]) or pd.isna(row[high]):
        return text
    return f"{text} ({_number(row[low], scale, digits)} to {_number(row[high], scale, digits)})"


def _number(value: Any, scale: float, digits: int) -> str:
    return "-" if pd.isna(value) else f"{float(value) * scale:,.{digits}f}"
