"""How much memory and time it takes to import a bundle of many records.

python benchmarks/bundle_import.py [--lines 1000000]
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

from blockzoo.core.position import Position
from blockzoo.results.export import import_bundle
from blockzoo.results.records import Environment, ScaffoldSettings, TrainingRecord
from blockzoo.results.store.database import Store

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
    """Write a bundle, import it, and print what that took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000)
    lines: int = parser.parse_args().lines
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "bundle.jsonl"
        write_bundle(bundle, lines)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.perf_counter()
        with Store(Path(folder) / "blockzoo.db", create=True) as store:
            imported = import_bundle(bundle, store)
        seconds = time.perf_counter() - start
        # Kilobytes on Linux.
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        size_mb = bundle.stat().st_size / 1e6
    print(f"{imported.records} records, {size_mb:.0f} MB, imported in {seconds:.0f} s")
    print(f"peak memory {peak / 1024:.0f} MiB, {before / 1024:.0f} MiB of it before the import")


if __name__ == "__main__":
    main()
