"""The results of `scaling.py` as a Markdown page, with its plots.

python benchmarks/scaling_page.py benchmarks/results/scaling.json docs/measurements/scaling.md
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from zoo_backends_page import NORMS

from blockzoo.analysis.scaling import (
    SCALING_AXES,
    ScalingAxis,
    changed_places,
    rank_agreement,
    reversed_pairs,
)
from blockzoo.core.position import Position
from blockzoo.core.run_way import RunWay
from blockzoo.report.figures.accuracy_plot import render
from blockzoo.report.figures.roofline_plot import roofline_figure
from blockzoo.report.figures.scaling_plot import plot_scaling, scaling_note, scaling_title
from blockzoo.results.environment import Environment

Part = Mapping[str, Any]
_GIGA = 1e9
_TITLES: dict[ScalingAxis, str] = {
    "batch_size": "Batch size",
    "resolution": "Resolution",
    "threads": "Threads",
}
_MARGINAL = """\
What a block adds to the scaffold: its latency at a position less that of the scaffold with
`Identity` in that place, from samples of the same rounds, in milliseconds with half the width of
the 95% interval."""
_ADDITIVITY = """\
Do marginals predict a network? With the other stages empty, base + the marginals at the three
positions, against the network that has the block in all three. The error is predicted / measured -
1, with its 95% interval."""
_ROOFLINE = """\
What the networks achieve of the machine's measured peaks, the best of repeated large matrix
products and of repeated large copies. Work is 2 x MACs; bytes are those of eager execution, of
which a part stays in caches, so that a share of the bandwidth may exceed 100%."""


def write_page(record: Mapping[str, Part], page: Path) -> None:
    """Write the page, and its plots into the folder `plots` beside it."""
    page.write_text(scaling_page(record))
    plots = page.parent / "plots"
    plots.mkdir(exist_ok=True)
    for name, figure in scaling_plots(record).items():
        (plots / f"{name}.png").write_bytes(render(figure, "png"))


def scaling_plots(record: Mapping[str, Part]) -> dict[str, Figure]:
    """Return the plots of the page by name."""
    figures = {str(axis): _axis_plot(record[axis], axis) for axis in SCALING_AXES}
    return {**figures, "roofline": roofline_figure(pd.DataFrame(record["roofline"]["rows"]))}


def _axis_plot(part: Part, axis: ScalingAxis) -> Figure:
    environment = Environment.model_validate(part["environment"])
    samples = [row["samples"] for row in part["rows"]]
    return plot_scaling(
        pd.DataFrame(part["rows"]),
        axis,
        title=scaling_title(axis, Position.parse(part["settings"]["position"])),
        note=scaling_note(RunWay(), environment, samples),
    )


def scaling_page(record: Mapping[str, Part]) -> str:
    """Return the page of all parts of the record, by name."""
    settings = record["batch_size"]["settings"]
    lines = [
        "# Scaling",
        "",
        "Which block is faster depends on how it is run. The eleven blocks in deploy form in the "
        f"scaffold of protocol {settings['protocol']}, position {settings['position']} where "
        "nothing else is said, fp32, eager; batch 1, 32 x 32 pixels and one thread where these are "
        f"not what varies; {settings['processes']} fresh processes, {settings['budget_s']:g} s per "
        "network and value. " + NORMS[settings.get("form", "deploy")].replace("\n", " "),
        "",
    ]
    for axis in SCALING_AXES:
        lines += _axis_section(record[axis], axis)
    lines += [*_marginal_section(record["marginal"]), *_additivity_section(record["additivity"])]
    lines += [*_roofline_section(record["roofline"]), *_origin(record)]
    return "\n".join(lines).rstrip() + "\n"


def _axis_section(part: Part, axis: ScalingAxis) -> Iterator[str]:
    frame, name = pd.DataFrame(part["rows"]), axis.replace("_", " ")
    values = sorted(int(value) for value in frame[axis].unique())
    yield from (f"## {_TITLES[axis]}", "", f"![Speed and rank by {name}](plots/{axis}.png)", "")
    yield f"Images per second, and rank, by {name}:"
    yield ""
    rows = []
    for block, cells in frame.groupby("block", sort=False):
        by_value = {int(c[axis]): c for c in cells.to_dict("records")}
        rows.append([str(block), *(_speed(by_value.get(value)) for value in values)])
    yield from _table(["block", *map(str, values)], rows)
    first, last = values[0], values[-1]
    moved = changed_places(frame, axis, first, last)
    pairs = [f"{a} and {b}" for a, b in reversed_pairs(frame, axis, first, last)]
    yield (
        f"Kendall's tau of the rankings at {first} and {last}: "
        f"{rank_agreement(frame, axis, first, last):.2f}. "
        f"Blocks that change places: {', '.join(moved) if moved else 'none'}. "
        "Pairs whose order is reversed with 95% intervals apart at both, the faster one first at "
        f"{first}: {', '.join(pairs) if pairs else 'none'}."
    )
    yield from (f"- {block}: {reason}" for block, reason in part["failed"].items())
    yield ""


def _speed(cell: Mapping[Any, Any] | None) -> str:
    return "failed" if cell is None else f"{cell['images_per_s']:,.1f} ({cell['rank']})"


def _marginal_section(part: Part) -> Iterator[str]:
    yield from ("## Marginal latency", "", _MARGINAL, "")
    positions = list(dict.fromkeys(row["position"] for row in part["rows"]))
    by_block: dict[str, dict[str, str]] = {}
    for row in part["rows"]:
        by_block.setdefault(row["block"], {})[row["position"]] = _added(row)
    rows = [[block, *(cells[p] for p in positions)] for block, cells in by_block.items()]
    yield from _table(["block", *positions], rows)


def _added(row: Mapping[str, Any]) -> str:
    if row["interval_ms"] is None:
        return str(row["reason"])
    low, high = row["interval_ms"]
    return f"{row['marginal_ms']:.2f} ± {(high - low) / 2:.2f}"


def _additivity_section(part: Part) -> Iterator[str]:
    yield from ("## Do marginals add up?", "", _ADDITIVITY, "")
    rows = []
    for row in part["rows"]:
        low, high = row["error_interval"]
        error = f"{row['error']:+.1%} ({low:+.1%} to {high:+.1%})"
        rows.append(
            [row["block"], f"{row['predicted_ms']:.2f}", f"{row['measured_ms']:.2f}", error]
        )
    yield from _table(["block", "predicted (ms)", "measured (ms)", "error"], rows)


def _roofline_section(part: Part) -> Iterator[str]:
    peaks = part["peaks"]
    yield from ("## Roofline", "", "![Roofline](plots/roofline.png)", "", _ROOFLINE, "")
    yield (
        f"Peaks on {peaks['threads']} thread(s), {peaks['precision']}: "
        f"{peaks['flops_per_s'] / _GIGA:.1f} GFLOP/s, {peaks['bytes_per_s'] / _GIGA:.1f} GB/s."
    )
    yield ""
    rows = [
        [
            row["block"],
            f"{row['flops_per_s'] / _GIGA:.1f}",
            f"{row['bytes_per_s'] / _GIGA:.1f}",
            f"{row['intensity_flops_per_byte']:.1f}",
            f"{row['compute_share']:.0%}",
            f"{row['bandwidth_share']:.0%}",
            row["bound"],
        ]
        for row in part["rows"]
    ]
    head = ["block", "GFLOP/s", "GB/s", "FLOPs per byte", "of peak FLOP/s", "of peak bytes/s"]
    yield from _table([*head, "bound by"], rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'|'.join(['---', *['---:'] * (len(head) - 1)])}|"
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""


def _origin(record: Mapping[str, Part]) -> Iterator[str]:
    """Yield the hardware, the versions, n and the commit."""
    environment, made = record["batch_size"]["environment"], record["batch_size"]["made"]
    parts = [record[name] for name in (*SCALING_AXES, "roofline")]
    counts = [row["samples"] for part in parts for row in part["rows"]]
    commits = sorted({str(part["environment"]["commit"]) for part in record.values()})
    yield "## How it was measured"
    yield ""
    yield (
        f"`python benchmarks/scaling.py`, record `benchmarks/results/scaling.json`: "
        f"{Environment.model_validate(environment).named_processor}, "
        f"cores available: {environment['cores']}, "
        f"{environment['system']}; torch {environment['torch']}, Python {environment['python']}; "
        f"n = {min(counts)} to {max(counts)} samples per network and value, not counted for "
        "marginals and their sums; "
        f"commit {', '.join(commits)}; {made[:10]}."
    )


def main() -> None:
    """Write the page of a record."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("record", type=Path)
    parser.add_argument("page", type=Path)
    arguments = parser.parse_args()
    write_page(json.loads(arguments.record.read_text()), arguments.page)


if __name__ == "__main__":
    main()
