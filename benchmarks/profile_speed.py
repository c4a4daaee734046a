"""How much faster `profile_blocks` is over the whole zoo than one process per block and position.

    python benchmarks/profile_speed.py [--cells 6 | --all] [--output FILE.json]

Both sides do the same work (counts in both forms and both memory figures) and both include the
start of Python and the imports. The slow side is timed on cells spread evenly over the zoo and
multiplied up, unless --all is given; the table and the JSON record say which.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from blockzoo.blocks import list_available_blocks
from blockzoo.core.position import POSITIONS
from blockzoo.measure.machine.environment import describe_environment

ONE_PROCESS = """
import time
from blockzoo.blocks import list_available_blocks
from blockzoo import profile_blocks
names = list_available_blocks()
started = time.perf_counter()
profile_blocks(names)
print(time.perf_counter() - started)
"""
ONE_CELL = "from blockzoo import profile_block; profile_block({block!r}, {position!r})"


def main() -> None:
    """Time both sides, print a table, save a record."""
    arguments = parse_arguments()
    cells = [(block, str(position)) for block in list_available_blocks() for position in POSITIONS]
    sample = cells if arguments.all else spread(cells, arguments.cells)
    runs = [timed(ONE_PROCESS) for _ in range(arguments.repeats)]
    whole_s = statistics.median(seconds for seconds, _ in runs)
    inside_s = statistics.median(float(output) for _, output in runs)
    cell_s = [timed(ONE_CELL.format(block=block, position=place))[0] for block, place in sample]
    record = {
        "cells": len(cells),
        "one_process_s": whole_s,
        "one_process_without_start_s": inside_s,
        "one_process_runs_s": [seconds for seconds, _ in runs],
        "timed_cells": dict(zip(map("@".join, sample), cell_s, strict=True)),
        "process_per_cell_s": statistics.fmean(cell_s) * len(cells),
        "extrapolated": len(sample) < len(cells),
        "environment": describe_environment(),
    }
    Console().print(table(record, len(sample)))
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(record, indent=2) + "\n")
    print(f"saved {arguments.output}")


def parse_arguments() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cells", type=int, default=6, help="cells to time in own processes")
    parser.add_argument("--all", action="store_true", help="time every cell; extrapolate nothing")
    parser.add_argument(
        "--repeats", type=int, default=3, help="runs of the fast side, whose median counts"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("benchmarks/results/profile_speed.json")
    )
    return parser.parse_args()


def spread(cells: list[tuple[str, str]], number: int) -> list[tuple[str, str]]:
    """Return about `number` cells at even distances; the step is no multiple of the positions."""
    step = max(1, len(cells) // number)
    step += step % len(POSITIONS) == 0
    return cells[::step]


def timed(code: str) -> tuple[float, str]:
    """Return the seconds that a fresh Python takes to run `code`, and what it prints."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True
    )
    return time.perf_counter() - started, done.stdout.strip()


def table(record: dict[str, object], timed_cells: int) -> Table:
    """Return the result as a table."""
    whole_s, per_cell_s = record["one_process_s"], record["process_per_cell_s"]
    assert isinstance(whole_s, float)
    assert isinstance(per_cell_s, float)
    how = f"extrapolated from {timed_cells}" if record["extrapolated"] else "all timed"
    result = Table(title=f"profile, {record['cells']} blocks x positions")
    result.add_column("way")
    result.add_column("seconds", justify="right")
    result.add_row("one process", f"{whole_s:.1f}")
    result.add_row("  without start and imports", f"{record['one_process_without_start_s']:.1f}")
    result.add_row(f"one process per cell ({how})", f"{per_cell_s:.1f}")
    result.add_row("times faster", f"{per_cell_s / whole_s:.1f}")
    return result


if __name__ == "__main__":
    main()
