"""All that twelve minutes of one GPU can give: its tests, timings, then trainings of `v1`.

    python benchmarks/gpu_kit.py out --data-dir data
    python benchmarks/gpu_kit.py out --from earlier-out --data-dir data
    python benchmarks/gpu_kit.py out --rehearse

Steps run one after the other, the most valuable first, each within the time that is left. After
each the records are written into `out` again, as bundles of at most 16 MiB that `blockzoo results
import` takes, so that whatever ends the run leaves what was there. `--from` takes in what an
earlier run left, on another machine say: its steps are not repeated, its trainings are gone on
from. `--dry-run` only prints the steps; `--rehearse` runs all of them on a CPU, small.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blockzoo.core.errors import InputError
from blockzoo.core.files import make_folder, replacing
from blockzoo.experiments.protocol import ELEVEN_BLOCKS
from blockzoo.results.records import AnyRecord
from blockzoo.results.store.database import Store
from blockzoo.results.submissions.bundle import read_bundle, write_bundle

MOST_BYTES = 16 * 2**20
STATE, LOG = "kit.json", "kit.log"
BUNDLES = "*.bundle.zip"
_ALL = "early", "mid", "late"
_FOR_BUNDLES_S = 15.0
"""Seconds kept back for writing the bundles at the end."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One command of the kit.

    Attributes:
        name: By which it is known to have ended.
        command: The program and its arguments.
        most_s: It is stopped after so long; None where it may take all that is left.
        again: Whether a later run runs it again though it ended well: a sweep that goes on.
    """

    name: str
    command: tuple[str, ...]
    most_s: float | None = None
    again: bool = False


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How large the steps are."""

    device: str
    protocol: str
    dataset: str
    blocks: tuple[str, ...]
    timed_s: float
    ways: tuple[str, ...]
    tests: tuple[str, ...]
    trained: tuple[str, ...]
    seeds: int


def on_a_gpu(workers: int) -> Scale:
    """Return what is run on a GPU: the eleven blocks by protocol `v1`."""
    ways = ("--backend", "eager", "--backend", "cudagraphs", "--cache", "hot", "--cache", "cold")
    return Scale(
        device="cuda",
        protocol="v1",
        dataset="cifar100-q95",
        blocks=ELEVEN_BLOCKS,
        timed_s=2.0,
        ways=ways,
        tests=(),
        trained=("--compile", "cudagraphs", "--workers", str(workers)),
        seeds=10,
    )


def rehearsal() -> Scale:
    """Return what is run on a CPU to see that all of it works: tests are only collected."""
    return Scale(
        device="cpu",
        protocol="quick3",
        dataset="digits@16",
        blocks=("ResNetBasicBlock", "RepMixer"),
        timed_s=0.2,
        ways=("--processes", "1"),
        tests=("--collect-only",),
        trained=("--epochs", "1"),
        seeds=1,
    )


def steps(scale: Scale, store: Path, data_dir: Path | None) -> Iterator[Step]:
    """Yield the steps, the most valuable first.

    >>> [step.name for step in steps(rehearsal(), Path("store"), None)][:3]
    ['gpu tests', 'timings mid', 'training mid, 1 seed']
    """
    tests = ("-m", "pytest", "-q", "-n", "0", "-m", "gpu", "tests", *scale.tests)
    yield Step(name="gpu tests", command=(sys.executable, *tests), most_s=150.0)
    yield _timings(scale, store, "mid", 150.0)
    # A table of one position is whole first; then the others; then seeds that make it surer.
    yield _training(scale, store, data_dir, ("mid",), 1)
    if scale.seeds > 1:
        yield _training(scale, store, data_dir, ("mid", "late"), 1)
        yield _training(scale, store, data_dir, _ALL, 1)
        yield _training(scale, store, data_dir, ("mid",), 3)
        yield _training(scale, store, data_dir, _ALL, scale.seeds)
        # Only where all trainings are done is time left for these.
        yield from (_timings(scale, store, position, 150.0) for position in ("late", "early"))


def _timings(scale: Scale, store: Path, position: str, most_s: float) -> Step:
    options = ("--protocol", scale.protocol, "--device", scale.device, "-p", position)
    budget = ("--budget", f"{scale.timed_s:g}", "--results", str(store))
    return Step(
        name=f"timings {position}",
        command=_blockzoo("benchmark", *scale.blocks, *options, *scale.ways, *budget),
        most_s=most_s,
    )


def _training(
    scale: Scale, store: Path, data_dir: Path | None, positions: Sequence[str], seeds: int
) -> Step:
    where = [word for position in positions for word in ("-p", position)]
    data = ["--dataset", scale.dataset, *(["--data-dir", str(data_dir)] if data_dir else [])]
    options = ["--protocol", scale.protocol, "--device", scale.device, "--seeds", str(seeds)]
    kept = ["--only", "training", "--no-plots", "--results", str(store)]
    name = f"training {' '.join(positions)}, {seeds} seed{'s' if seeds > 1 else ''}"
    return Step(
        name=name,
        command=_blockzoo("sweep", *scale.blocks, *where, *options, *data, *scale.trained, *kept),
        again=True,
    )


def _blockzoo(*words: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "blockzoo", *words)


def run(kit: Sequence[Step], out: Path, store: Path, *, end_s: float) -> bool:
    """Run the steps until the time is over; tell whether all that ran ended well."""
    state = _read_state(out)
    well = True
    for step in kit:
        left_s = end_s - time.monotonic() - _FOR_BUNDLES_S
        if state.get(step.name, {}).get("status") == 0 and not step.again:
            print(f"done before: {step.name}", flush=True)
            continue
        if left_s <= 0:
            print(f"no time for: {step.name}", flush=True)
            continue
        state[step.name] = _run_step(step, out, left_s)
        well &= state[step.name]["status"] == 0
        _write_state(out, state)
        write_bundles(store, out)
    return well


def _run_step(step: Step, out: Path, left_s: float) -> dict[str, Any]:
    most_s = min(left_s, step.most_s or left_s)
    command = list(step.command)
    if step.again:  # a sweep ends by itself, before it would be stopped
        command += ["--time-budget", f"{0.95 * most_s / 3600:.4f}"]
    print(f"{step.name}, at most {most_s:.0f} s: {shlex.join(command)}", flush=True)
    started = time.monotonic()
    with (out / LOG).open("a") as file:
        print(f"\n== {step.name}: {shlex.join(command)}", file=file, flush=True)
        try:
            ended = subprocess.run(
                command, stdout=file, stderr=subprocess.STDOUT, timeout=most_s, check=False
            )
            status: int | None = ended.returncode
        except subprocess.TimeoutExpired:
            status = None
    seconds = round(time.monotonic() - started, 1)
    told = "stopped, for its time was over" if status is None else f"status {status}"
    print(f"    {told}, {seconds} s", flush=True)
    return {"status": status, "seconds": seconds}


def take_in(earlier: Sequence[Path], out: Path, store: Path) -> None:
    """Put what earlier runs left into the store and the state; raises what a bad bundle raises."""
    state = _read_state(out)
    with Store(store, create=True) as kept:
        for folder in earlier:
            if not folder.is_dir():
                raise InputError(f"{folder} is no folder; --from takes what an earlier run left")
            state.update(_read_state(folder))
            for bundle in sorted(folder.glob(BUNDLES)):
                print(f"{bundle}: {read_bundle(bundle, kept)}", flush=True)
    _write_state(out, state)


def write_bundles(store: Path, out: Path, most_bytes: int = MOST_BYTES) -> list[Path]:
    """Write all records into bundles in `out`, each small enough, and return their paths."""
    with Store(store, create=True) as kept:
        records = list(kept.each())
    for old in out.glob(BUNDLES):
        old.unlink()
    return list(_bundled(records, out, "part", most_bytes)) if records else []


def _bundled(records: Sequence[AnyRecord], out: Path, name: str, most_bytes: int) -> Iterator[Path]:
    path = out / f"{name}.bundle.zip"
    with tempfile.TemporaryDirectory() as folder, Store(folder, create=True) as some:
        some.put_all(records)
        write_bundle(some, path)
    if path.stat().st_size <= most_bytes or len(records) == 1:
        yield path
        return
    path.unlink()
    middle = len(records) // 2
    for number, half in enumerate((records[:middle], records[middle:]), start=1):
        yield from _bundled(half, out, f"{name}-{number}", most_bytes)


def _read_state(folder: Path) -> dict[str, Any]:
    path = folder / STATE
    return dict(json.loads(path.read_text())) if path.exists() else {}


def _write_state(folder: Path, state: dict[str, Any]) -> None:
    with replacing(folder / STATE) as scratch:
        scratch.write_text(json.dumps(state, indent=1) + "\n")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("out", type=Path, help="where bundles, logs and state are left")
    parser.add_argument("--from", dest="earlier", type=Path, nargs="+", default=[])
    parser.add_argument("--store", type=Path, help="of the records; by default a temporary one")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--minutes", type=float, default=12.0)
    parser.add_argument("--workers", type=int, default=4, help="trainings at once on the GPU")
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--rehearse", action="store_true")
    options = parser.parse_args(arguments)
    if not 0 < options.minutes <= 600:
        parser.error(f"--minutes is {options.minutes}; it must be above 0 and at most 600")
    if options.workers < 1:
        parser.error(f"--workers is {options.workers}; it must be 1 or more")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the kit; 0 where all that ran ended well."""
    started, options = time.monotonic(), parse(arguments)
    scale = rehearsal() if options.rehearse else on_a_gpu(options.workers)
    with tempfile.TemporaryDirectory() as folder:
        store = options.store or Path(folder)
        kit = list(steps(scale, store, options.data_dir))
        if options.dry_run:
            for step in kit:
                most = "what is left" if step.most_s is None else f"at most {step.most_s:.0f} s"
                print(f"{step.name} ({most}): {shlex.join(step.command)}")
            return 0
        make_folder(options.out)
        take_in(options.earlier, options.out, store)
        well = run(kit, options.out, store, end_s=started + 60 * options.minutes)
        for path in write_bundles(store, options.out):
            print(f"{path}: {path.stat().st_size / 2**20:.2f} MiB")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
