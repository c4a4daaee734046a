"""What commands take on stores of many records: CPU seconds, wall seconds, peak memory.

    python benchmarks/store_scale.py [--records 1000 10000 100000] [--output FILE.json]
        [--page FILE.md]

Stores are those of `large_store.py`. Each command runs once in a process of its own. `compare`
finds all its trials in the store. The plan is that of a sweep which finds its trials there. The
export of CSV takes what a sweep takes that writes `results.csv`. Trainings are put one by one, each
in a transaction. CPU seconds are those of the process and its children; they depend less on what
else the machine does than wall seconds. `store_growth_page.py` makes the page.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from large_store import Maker, compare_command, compare_sweep, write_store
from rich.console import Console
from rich.table import Table
from store_growth_page import store_growth_page

from blockzoo.core.position import Position
from blockzoo.measure.machine.environment import describe_environment
from blockzoo.results.store.database import Store


@dataclass(frozen=True, kw_only=True)
class Run:
    """What one command took on a store of so many records."""

    command: str
    records: int
    cpu_s: float
    wall_s: float
    peak_rss_mib: float


@dataclass(frozen=True, kw_only=True)
class Size:
    """What a store of so many records takes, and one more training of 50 epochs."""

    records: int
    append_cpu_ms: float
    append_wall_ms: float
    database_mb: float


APPENDED = 200

# From a small process: a child's peak begins with that of the process it was started from, and
# this one holds torch. Linux counts it in kilobytes.
_MEASURED = """
import json, resource, subprocess, sys
command = [sys.executable, "-m", "blockzoo", *sys.argv[1:]]
status = subprocess.run(command, stdout=subprocess.DEVNULL).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([status, used.ru_utime + used.ru_stime, used.ru_maxrss]))
"""


def commands(folder: Path, scratch: Path) -> dict[str, list[str]]:
    """Return the arguments of each command, in the order in which they run."""
    store = str(folder)
    return {
        "results": ["results", store],
        "compare": compare_command(folder),
        "plan": [*sweep_command(folder), "--dry-run"],
        **{
            f"results --export {suffix}": ["results", store, "--export", f"{scratch}/rows.{suffix}"]
            for suffix in ("csv", "parquet", "jsonl")
        },
        "results --checklist": ["results", store, "--checklist"],
        "ranks": ["ranks", store],
        "specialisation": ["specialisation", store],
        "front": ["front", store],
        "visualize": ["visualize", store, "--output-dir", str(scratch), "--format", "png"],
    }


def sweep_command(folder: Path) -> list[str]:
    """Return the arguments of the sweep that the compared trials are of."""
    _, *blocks = compare_command(folder)
    return ["sweep", *blocks]


def appended(folder: Path, records: int) -> Size:
    """Put trainings into a store of so many records, one by one."""
    maker = Maker(compare_sweep())
    # Seeds that the store does not hold yet.
    seeds = range(10**6, 10**6 + APPENDED)
    made = [maker.training("Identity", Position.LATE, seed) for seed in seeds]
    with Store(folder) as store:
        store.put(made[0])  # connects
        size = Path(store.location).stat().st_size
        cpu_s, started = time.process_time(), time.perf_counter()
        for training in made:
            store.put(training)
        cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - started
    return Size(
        records=records,
        append_cpu_ms=1000 * cpu_s / APPENDED,
        append_wall_ms=1000 * wall_s / APPENDED,
        database_mb=size / 1e6,
    )


def run(name: str, arguments: list[str], records: int) -> Run:
    """Run one command; raises `CalledProcessError` where it fails."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, *arguments], stdout=subprocess.PIPE, text=True, check=True
    )
    status, cpu_s, peak_kib = json.loads(done.stdout)
    if status:
        raise subprocess.CalledProcessError(status, arguments)
    return Run(
        command=name,
        records=records,
        cpu_s=cpu_s,
        wall_s=time.perf_counter() - started,
        peak_rss_mib=peak_kib / 1024,
    )


def measured(records: int, scratch: Path) -> tuple[list[Run], Size]:
    """Return what each command takes on a new store of that many records, and the store itself."""
    folder = scratch / f"of_{records}"
    write_store(folder, records)
    runs = []
    for name, arguments in commands(folder, scratch).items():
        runs.append(run(name, arguments, records))
        print(f"{records:7} {name}: {runs[-1].cpu_s:.1f} s CPU", file=sys.stderr, flush=True)
    return runs, appended(folder, records)


def table(runs: list[Run]) -> Table:
    """Return CPU seconds, wall seconds and peak memory by command and number of records."""
    counts = sorted({each.records for each in runs})
    found = Table("command", *(f"{count:,} records" for count in counts), box=None)
    for name in dict.fromkeys(each.command for each in runs):
        by_count = {each.records: each for each in runs if each.command == name}
        cells = [
            f"{each.cpu_s:.1f} s, {each.wall_s:.1f} s, {each.peak_rss_mib:.0f} MiB"
            if (each := by_count.get(count))
            else "-"
            for count in counts
        ]
        found.add_row(name, *cells)
    found.caption = "CPU, wall, peak memory"
    return found


def main() -> None:
    """Write the stores, run the commands, print a table and save a record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--records", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/store_scale.json"))
    parser.add_argument("--page", type=Path, help="also write the page of the record")
    options = parser.parse_args()
    runs: list[Run] = []
    sizes: list[Size] = []
    for records in options.records:
        with tempfile.TemporaryDirectory() as scratch:
            of_store, size = measured(records, Path(scratch))
            runs += of_store
            sizes.append(size)
    Console(width=200).print(table(runs))
    record = {
        "runs": [asdict(each) for each in runs],
        "stores": [asdict(each) for each in sizes],
        "environment": describe_environment(),
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(record, indent=1) + "\n")
    print(f"saved {options.output}")
    if options.page is not None:
        options.page.write_text(store_growth_page(record))


if __name__ == "__main__":
    main()
