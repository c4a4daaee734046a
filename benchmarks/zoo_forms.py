"""What folding batch norms changes: every block of the zoo in both forms, timed in one session.

    python benchmarks/zoo_forms.py --output zoo_forms.json --page docs/measurements/folding.md

All networks are run side by side, round by round: the scaffold in deploy form with its batch norms
folded ("folded") and as they are ("deploy"), at batch 1 in fp32 in eager on one CPU thread. On two
cores the 111 blocks take about a quarter of an hour. `--page` alone writes the page of a record.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from blockzoo.blocks import list_available_blocks
from blockzoo.core.position import Position
from blockzoo.core.run_way import FORMS
from blockzoo.experiments.benchmark import benchmark_blocks
from blockzoo.measure.machine.environment import describe_environment
from blockzoo.measure.timing.settings import LatencySettings
from blockzoo.results.records import LatencyRecord
from blockzoo.scaffold.net import ScaffoldConfig
from blockzoo.training.arithmetic import profits_from_bf16

BASELINE = "ResNetBasicBlock"
KEPT = ("median_ms", "ratio", "ratio_interval", "verdict", "flags", "reason")
Row = dict[str, Any]
TEXT = """\
# What folding changes

`blockzoo benchmark` times the deploy form with its batch norms folded into the layers before them.
Here {count} blocks stand in both forms, timed in one session: position {position},
depth {depth}, width {width}, batch 1, fp32, eager, one thread. Ratios are to {baseline} in the same
form, with half the width of their 95% interval; below 1 is faster.

A block whose own merge folds its norms, such as MobileOne's, gains by its context alone. All others
were timed with norms that no deployed network keeps. *Moved* is the folded ratio over the other.
"""


def main() -> None:
    """Time, save the record, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--blocks", nargs="+", help="all by default")
    parser.add_argument("--position", default=str(Position.MID))
    parser.add_argument("--depth", type=int, default=ScaffoldConfig().depth)
    parser.add_argument("--width", type=int, default=ScaffoldConfig().width)
    parser.add_argument("--processes", type=int, default=LatencySettings().processes)
    parser.add_argument("--budget-s", type=float, default=2.0, help="seconds per network")
    parser.add_argument(
        "--output", type=Path, required=True, help="the record, read if it is there"
    )
    parser.add_argument("--page", type=Path, help="Markdown page of the record")
    arguments = parser.parse_args()
    if not arguments.output.exists():
        arguments.output.write_text(json.dumps(measured(arguments), indent=1) + "\n")
    if arguments.page:
        arguments.page.write_text(forms_page(json.loads(arguments.output.read_text())))


def measured(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what is measured of each block and form, with settings and machine."""
    settings = LatencySettings(processes=arguments.processes, budget_s=arguments.budget_s)
    blocks = arguments.blocks or list_available_blocks()
    records = benchmark_blocks(
        blocks,
        [arguments.position],
        config=replace(ScaffoldConfig(), depth=arguments.depth, width=arguments.width),
        settings=settings,
        ways=settings.way.crossed(forms=FORMS),
        baseline=BASELINE,
    )
    return {
        "made": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "environment": {**describe_environment(), "threads": settings.way.threads},
        "instructions": torch.backends.cpu.get_cpu_capability()
        + ("-BF16" if profits_from_bf16(torch.device("cpu")) else ""),
        "settings": {
            name: getattr(arguments, name)
            for name in ("position", "depth", "width", "processes", "budget_s")
        },
        "rows": [_row(record) for record in records],
    }


def _row(record: LatencyRecord) -> Row:
    kept = {name: getattr(record, name) for name in KEPT}
    return {"block": record.block, "form": record.form, "n": len(record.samples_ms), **kept}


def forms_page(record: Mapping[str, Any]) -> str:
    """Return the page of a record."""
    by_form: dict[str, dict[str, Row]] = {form: {} for form in FORMS}
    for row in record["rows"]:
        by_form[row["form"]][row["block"]] = row
    pairs = [(folded, by_form["deploy"][block]) for block, folded in by_form["folded"].items()]
    timed = [pair for pair in pairs if all(row["median_ms"] for row in pair)]
    timed.sort(key=lambda pair: pair[0]["ratio"])
    lines = [
        TEXT.format(baseline=BASELINE, count=len(pairs), **record["settings"]),
        *_summary(timed),
        "",
        "| block | folded (ms) | to baseline, folded | to baseline, not folded | moved |",
        "|---|---:|---:|---:|---:|",
        *(_line(*pair) for pair in timed),
        "",
        *(f"- {row['block']}, {row['form']}: {row['reason']}" for row in _failed(pairs)),
        _origin(record),
    ]
    return "\n".join(lines) + "\n"


def _failed(pairs: Sequence[tuple[Row, Row]]) -> Iterator[Row]:
    return (row for pair in pairs for row in pair if not row["median_ms"])


def _summary(timed: Sequence[tuple[Row, Row]]) -> Iterator[str]:
    """Yield what moved, in words."""
    others = [pair for pair in timed if pair[0]["block"] != BASELINE]
    (baseline,) = (pair for pair in timed if pair[0]["block"] == BASELINE)
    share = baseline[0]["median_ms"] / baseline[1]["median_ms"]
    verdicts = sum(first["verdict"] != second["verdict"] for first, second in others)
    faster = [sum(pair[form]["verdict"] == "faster" for pair in others) for form in (0, 1)]
    yield (
        f"Folding takes the network of {BASELINE} to {share:.3f} of its time. Of {len(others)} "
        f"other blocks {faster[0]} are faster than it with norms folded and {faster[1]} without; "
        f"{verdicts} verdicts differ."
    )


def _line(folded: Row, deploy: Row) -> str:
    moved = folded["ratio"] / deploy["ratio"]
    median = f"{folded['median_ms']:.2f}"
    return f"| {folded['block']} | {median} | {_ratio(folded)} | {_ratio(deploy)} | {moved:.3f} |"


def _ratio(row: Row) -> str:
    if row["ratio_interval"] is None:
        return f"{row['ratio']:.3f}"
    low, high = row["ratio_interval"]
    return f"{row['ratio']:.3f} ± {(high - low) / 2:.3f}"


def _origin(record: Mapping[str, Any]) -> str:
    environment, budget_s = record["environment"], record["settings"]["budget_s"]
    counts = [row["n"] for row in record["rows"] if row["n"]]
    return (
        f"`python benchmarks/zoo_forms.py --budget-s {budget_s:g} --blocks ...`, "
        f"record `benchmarks/results/zoo_forms.json`: "
        f"{environment['processor']} with {record['instructions']}, "
        f"cores available: {environment['cores']}, {environment['system']}; "
        f"torch {environment['torch']}, Python {environment['python']}; "
        f"{record['settings']['processes']} processes, n = {min(counts)} to {max(counts)} samples "
        f"per network; commit {environment['commit']}; {record['made'][:10]}."
    )


if __name__ == "__main__":
    main()
