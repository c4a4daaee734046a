"""How long the whole zoo takes: to import, to profile and to check from the command line.

    python benchmarks/zoo_speed.py [--repeats 5] [--output FILE.json]

Importing is timed in fresh processes, importing torch and timm first and then the zoo, so that the
share is of the same run. The goals are 10% at the most, and 30 s for `blockzoo profile --all`.
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

from blockzoo.measure.machine.environment import describe_environment

IMPORTS = """
import time
started = time.perf_counter()
import torch, timm
libraries = time.perf_counter()
import blockzoo.blocks.zoo
print(libraries - started, time.perf_counter() - libraries)
"""


def main() -> None:
    """Time all three, print a table, save a record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repeats", type=int, default=5, help="imports, whose median counts")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/zoo_speed.json"))
    arguments = parser.parse_args()
    imports = [import_seconds() for _ in range(arguments.repeats)]
    record = {
        "import_torch_timm_s": statistics.median(libraries for libraries, _ in imports),
        "import_zoo_s": statistics.median(zoo for _, zoo in imports),
        "import_runs_s": imports,
        "profile_all_s": command_seconds("profile", "--all"),
        "check_all_s": command_seconds("check", "--all", "--no-export"),
        "environment": describe_environment(),
    }
    Console().print(table(record))
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(record, indent=2) + "\n")
    print(f"saved {arguments.output}")


def import_seconds() -> tuple[float, float]:
    """Return the seconds that torch and timm take to import, and the zoo after them."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS], check=True, stdout=subprocess.PIPE, text=True
    )
    libraries, zoo = map(float, done.stdout.split())
    return libraries, zoo


def command_seconds(*arguments: str) -> float:
    """Return the seconds of that `blockzoo` command, the start of Python included."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "blockzoo", *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def table(record: dict[str, object]) -> Table:
    """Return the result as a table."""
    libraries, zoo, profile, check = (
        record[key]
        for key in ("import_torch_timm_s", "import_zoo_s", "profile_all_s", "check_all_s")
    )
    assert isinstance(libraries, float)
    assert isinstance(zoo, float)
    result = Table("what", "seconds", "goal", title="The whole zoo")
    result.add_row("import torch, timm", f"{libraries:.2f}", "")
    result.add_row("then the zoo", f"{zoo:.3f} ({zoo / libraries:.1%})", "10%")
    result.add_row("blockzoo profile --all", f"{profile:.1f}", "30")
    result.add_row("blockzoo check --all --no-export", f"{check:.1f}", "180")
    return result


if __name__ == "__main__":
    main()
