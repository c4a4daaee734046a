"""How much memory and time it takes to import bundles of many records, as lines and as a zip.

python benchmarks/bundle_import.py [--lines 1000000]
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from blockzoo.core.position import Position
from blockzoo.results.export import import_bundle
from blockzoo.results.records import Environment, ScaffoldSettings, TrainingRecord
from blockzoo.results.store.database import Store
from blockzoo.results.submissions.bundle import read_bundle
from blockzoo.results.submissions.bundle import write_bundle as write_zip

RECORD = TrainingRecord(
    trial_id="ID",
    block="ResNetBasicBlock",
    positions=(Position.MID,),
    scaffold=ScaffoldSettings(
        context="ResNetBasicBlock",
        depth=3,
        width=64,
        classes=10,
        input_shape=(3, 32, 32),
        stem_bias=False,
    ),
    environment=Environment(
        blockzoo="0",
        python="3",
        torch="2",
        timm="1",
        system="",
        processor="",
        cores=1,
        threads=1,
        memory_bytes=1,
    ),
    protocol="v1",
    dataset="digits",
    seed=0,
)


def write_bundle(path: Path, lines: int) -> None:
    """Write a bundle of that many records, which differ in their ids alone."""
    before, after = RECORD.model_dump_json().split('"ID"')
    with path.open("w", encoding="utf-8") as file:
        file.write(f'{{"blockzoo_bundle":{RECORD.schema_version},"records":{lines}}}\n')
        file.writelines(f'{before}"{number:032x}"{after}\n' for number in range(lines))


def main() -> None:
    """Write bundles, import them, and print what that took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000)
    lines: int = parser.parse_args().lines
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "bundle.jsonl"
        write_bundle(bundle, lines)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(f"{lines} records; {before / 1024:.0f} MiB of memory before the import")
        zipped = Path(folder) / "all.bundle.zip"
        with Store(Path(folder) / "one.db", create=True) as store:
            measure(bundle, lambda: import_bundle(bundle, store))
            measure(zipped, lambda: write_zip(store, zipped), "written")
        with Store(Path(folder) / "two.db", create=True) as store:
            measure(zipped, lambda: read_bundle(zipped, store))


def measure(path: Path, work: Callable[[], object], done: str = "imported") -> None:
    """Do it and print what that took."""
    start = time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # kilobytes on Linux
    size_mb = path.stat().st_size / 1e6
    took = f"{done} in {seconds:.0f} s, peak memory so far {peak / 1024:.0f} MiB"
    print(f"{path.name}, {size_mb:.0f} MB: {took}")


if __name__ == "__main__":
    main()
