"""The results of `zoo_backends.py` as JSON and as a Markdown page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from blockzoo.measure.machine.environment import describe_environment
from blockzoo.measure.timing.latency import LatencyResult, summarize
from blockzoo.stats.paired_rounds import NetworkSamples

PACKAGES = ("torch", "onnx", "onnxruntime", "onnxscript", "openvino")
EXPLANATION = """\
{count} blocks of the zoo in deploy form in the scaffold at position {position} (depth {depth},
width {width}, context {context}), batch 1, fp32, {threads} thread(s) on the CPU. Each cell passed
its gate: its output equals that of eager. `eager` is the median latency in milliseconds; `to
baseline` is that over {baseline} in eager; the other columns are latency over that of the same
block in eager, below 1 where the backend is faster. Ratios are medians over rounds that timed both,
with half the width of their 95% interval where that is above 0.5%. A number in parentheses is a
reason, below the table. {norms}
"""
NORMS = {
    "folded": "Batch norms are folded into the layers before them.",
    "deploy": (
        "This is the form without folding: batch norms are where the blocks have them, and blocks\n"
        "whose own merge folds them look faster for it than `blockzoo benchmark` shows them now."
    ),
}
"""By form; records from before there was a choice are of the deploy form."""


def write_results(
    work: Path,
    blocks: Sequence[str],
    backends: Sequence[str],
    baseline: str,
    output: Path | None,
    page: Path | None,
    later: Sequence[Path] = (),
) -> None:
    """Write what the folder `work` holds of `blocks` to the files that are given.

    Rows of the records `later`, measured after it, replace those of the same blocks.
    """
    record: dict[str, Any] = {
        "made": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "baseline": baseline,
        "settings": json.loads((work / "settings.json").read_text()),
        "environment": _environment(work),
        "packages": {name: _version(name) for name in PACKAGES},
        "blocks": {block: _row(work, block, backends) for block in blocks},
        "later": [],
    }
    for path in later:
        _take_rows(record, json.loads(path.read_text()))
    if output:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps(record, indent=1) + "\n")
        print(f"saved {output}")
    if page:
        page.write_text(_page(record, backends))
        print(f"saved {page}")


def _take_rows(record: dict[str, Any], other: Mapping[str, Any]) -> None:
    if other["settings"] != record["settings"]:
        raise SystemExit(f"of other settings: {other['settings']}")
    rows = {name: row for name, row in other["blocks"].items() if name != record["baseline"]}
    record["blocks"].update(rows)
    record["later"].append(
        {
            "blocks": list(rows),
            "commit": other["environment"]["commit"],
            "made": other["made"],
        }
    )


def _environment(work: Path) -> dict[str, object]:
    """Return that of the first timing, or of now where nothing is timed yet."""
    path = work / "environment.json"
    return dict(json.loads(path.read_text())) if path.exists() else describe_environment()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _row(work: Path, block: str, backends: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return per backend either the reason or the numbers, as far as they are known."""
    slug = block.replace("/", "--")
    times = [json.loads(path.read_text()) for path in sorted(work.glob(f"times/{slug}.*.json"))]
    runs = [{name: _samples(cell) for name, cell in run.items()} for run in times if "eager" in run]
    row = {}
    for name in backends:
        path = work / "cells" / f"{slug}.{name}.json"
        state = json.loads(path.read_text()) if path.exists() else {"reason": "not gated yet"}
        row[name] = {key: value for key, value in state.items() if key != "status"}
        if "reason" not in state and runs and all(name in run for run in runs):
            row[name] |= _numbers(runs, name)
        failures = [run["failure"] for run in times if "failure" in run]
        if failures and not runs:
            row[name].setdefault("reason", failures[0])
    return row


def _samples(cell: Mapping[str, Any]) -> NetworkSamples:
    return NetworkSamples(**{**cell, "samples_ns": tuple(cell["samples_ns"])})


def _numbers(runs: Sequence[Mapping[str, NetworkSamples]], name: str) -> dict[str, Any]:
    cells = [run[name] for run in runs]
    to_eager = summarize(cells, [run["eager"] for run in runs])
    if to_eager.failure:
        return {"reason": to_eager.failure}
    to_baseline = summarize(cells, [run["baseline"] for run in runs])
    return {
        "processes": len(cells),
        "samples": len(to_eager.samples_ms),
        "median_ms": to_eager.median_ms,
        "interval_ms": to_eager.interval_ms,
        "flags": to_eager.flags,
        "to_eager": _ratio(to_eager),
        "to_baseline": _ratio(to_baseline),
    }


def _ratio(result: LatencyResult) -> tuple[float, tuple[float, float]] | None:
    if result.ratio is None or result.ratio_interval is None:
        return None
    return result.ratio, result.ratio_interval


def _page(record: Mapping[str, Any], backends: Sequence[str]) -> str:
    others = [name for name in backends if name != "eager"]
    head = ["block", "eager (ms)", "to baseline", *others]
    norms = NORMS[record["settings"].get("form", "deploy")]
    reasons: dict[str, int] = {}
    rows = []
    for block, row in record["blocks"].items():
        cells = [_cell(row[name], "to_eager", reasons) for name in others]
        rows.append([block, _median(row["eager"], reasons), _to_baseline(row["eager"]), *cells])
    lines = [
        "# What does a backend gain?",
        "",
        EXPLANATION.format(
            count=len(record["blocks"]),
            baseline=record["baseline"],
            norms=norms,
            **record["settings"],
        ),
        _origin(record),
        "",
        f"| {' | '.join(head)} |",
        f"|{'|'.join(['---', *['---:'] * (len(head) - 1)])}|",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
        *(f"- ({number}) {reason}" for reason, number in reasons.items()),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _origin(record: Mapping[str, Any]) -> str:
    """Return the hardware, the versions, n and the commit, in a paragraph."""
    cells = [cell for row in record["blocks"].values() for cell in row.values()]
    timed = [cell for cell in cells if "samples" in cell]
    if not timed:
        return "Not timed yet."
    counts = [cell["samples"] for cell in timed]
    environment = record["environment"]
    packages = ", ".join(f"{name} {number}" for name, number in record["packages"].items())
    return (
        f"Measured on {environment['processor']}, cores available: {environment['cores']}, "
        f"{environment['system']}; {packages}; n = {min(counts)} to {max(counts)} samples per cell "
        f"in fresh processes: {max(cell['processes'] for cell in timed)}; "
        f"commit {environment['commit']}; {record['made'][:10]}."
    ) + "".join(
        f" {', '.join(each['blocks'])}: commit {each['commit']}; {each['made'][:10]}."
        for each in record["later"]
    )


def _median(cell: Mapping[str, Any], reasons: dict[str, int]) -> str:
    return f"{cell['median_ms']:.2f}" if "median_ms" in cell else _cell(cell, "to_eager", reasons)


def _to_baseline(cell: Mapping[str, Any]) -> str:
    return _cell(cell, "to_baseline", {}) if cell.get("to_baseline") else ""


def _cell(cell: Mapping[str, Any], key: str, reasons: dict[str, int]) -> str:
    """Return a ratio, or the number of the reason there is none."""
    if cell.get(key):
        ratio, (low, high) = cell[key]
        half = (high - low) / 2
        return f"{ratio:.3f}" + (f" ± {half:.3f}" if half > 0.005 * ratio else "")
    reason = cell.get("reason", "gated, not timed yet")
    return f"({reasons.setdefault(reason, len(reasons) + 1)})"
