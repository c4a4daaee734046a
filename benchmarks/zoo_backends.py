"""Every block of the zoo in every backend: gated, then timed, then a page.

    python benchmarks/zoo_backends.py --phase gate --work DIR      # about 25 s per block and core
    python benchmarks/zoo_backends.py --phase time --work DIR      # on a quiet machine
    python benchmarks/zoo_backends.py --phase page --work DIR --page docs/measurements/backends.md

A cell is a block in a backend, at batch 1 in fp32 on the CPU, in deploy form. Its layer scales are
moved away from 0 and its statistics are those of activations, so that the gate sees what a wrong
export drops, and not rounding that an untrained network magnifies.
Phase "gate" prepares, loads and checks each cell in a child process with a time limit. Phase "time"
loads all cells of a block and the baseline in eager together in fresh processes, checks them again
and times them in interleaved rounds, so that their ratios are of the same rounds. Both leave one
file per result in the folder and go on where they were stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from zoo_backends_page import write_results

from blockzoo.blocks import list_available_blocks
from blockzoo.core.errors import BlockZooError
from blockzoo.core.position import Position
from blockzoo.core.run_way import FORMS, RunWay
from blockzoo.experiments.timed_placements import merge_into
from blockzoo.measure.machine.devices import available_cores
from blockzoo.measure.machine.environment import describe_environment
from blockzoo.measure.timing.backends import Loaded, get_backend
from blockzoo.measure.timing.parity import with_nontrivial_state
from blockzoo.measure.timing.sampling import sample_networks
from blockzoo.measure.timing.settings import SamplingPlan
from blockzoo.scaffold.net import ScaffoldConfig, ScaffoldNet
from blockzoo.stats.paired_rounds import NetworkSamples

BASELINE = "ResNetBasicBlock"
BACKENDS = ("eager", "compile", "export", "onnxruntime", "openvino")
GATE_IMAGES = 4
SETTINGS = ("position", "depth", "width", "context", "threads", "form")


def main() -> None:
    """Run a phase, or be the child process of one."""
    arguments = _arguments()
    work: Path = arguments.work
    if arguments.child == "gate":
        gate_block(arguments.blocks[0], arguments)
    elif arguments.child == "time":
        time_block(arguments.blocks[0], arguments)
    else:
        (work / "cells").mkdir(parents=True, exist_ok=True)
        (work / "times").mkdir(exist_ok=True)
        _claim(work / "settings.json", {name: getattr(arguments, name) for name in SETTINGS})
        blocks = list(dict.fromkeys((BASELINE, *(arguments.blocks or list_available_blocks()))))
        if arguments.phase in ("gate", "all"):
            with ThreadPoolExecutor(arguments.jobs) as pool:
                list(pool.map(lambda block: gate_in_children(block, arguments), blocks))
        if arguments.phase in ("time", "all"):
            time_in_children(blocks, arguments)
        write_results(
            work,
            blocks,
            arguments.backends,
            BASELINE,
            arguments.output,
            arguments.page,
            arguments.later,
        )


def _arguments() -> argparse.Namespace:
    config = ScaffoldConfig()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--phase", choices=("gate", "time", "page", "all"), default="all")
    parser.add_argument("--work", type=Path, required=True, help="folder of what is done so far")
    parser.add_argument("--blocks", nargs="+", help="all by default")
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=BACKENDS)
    parser.add_argument("--position", default=str(Position.MID))
    parser.add_argument("--depth", type=int, default=config.depth)
    parser.add_argument("--width", type=int, default=config.width)
    parser.add_argument("--context", default=config.context)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--form", choices=FORMS, default=RunWay().form)
    parser.add_argument("--jobs", type=int, default=available_cores(), help="children that gate")
    parser.add_argument("--limit-s", type=int, default=300, help="for gating one cell")
    parser.add_argument("--processes", type=int, default=3, help="fresh ones that time a block")
    parser.add_argument("--budget-s", type=float, default=4.0, help="per cell and process")
    parser.add_argument("--output", type=Path, help="JSON of the results")
    parser.add_argument("--page", type=Path, help="Markdown page of the results")
    parser.add_argument(
        "--later", type=Path, nargs="+", default=(), help="JSON of blocks measured anew since"
    )
    parser.add_argument("--child", choices=("gate", "time"), help=argparse.SUPPRESS)
    parser.add_argument("--index", type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


def _claim(path: Path, settings: dict[str, object]) -> None:
    """Keep results of different settings out of one folder."""
    if not path.exists():
        path.write_text(json.dumps(settings))
    elif json.loads(path.read_text()) != settings:
        sys.exit(f"{path.parent} holds results of other settings: {path.read_text()}")


def gate_in_children(block: str, arguments: argparse.Namespace) -> None:
    """Gate all backends of a block; a child that dies takes only the cell it was at with it."""
    work: Path = arguments.work
    while pending := [name for name in arguments.backends if not _cell(work, block, name).exists()]:
        started_s = time.perf_counter()
        done = _child("gate", block, arguments)
        running = work / "cells" / f"{_slug(block)}.running"
        if done.returncode:
            died_at = running.read_text() if running.exists() else pending[0]
            timed_out = done.returncode == -signal.SIGALRM
            reason = f"took over {arguments.limit_s} s" if timed_out else _last_line(done)
            _save(_cell(work, block, died_at), {"status": "failed", "reason": reason})
        running.unlink(missing_ok=True)
        states = [
            json.loads(_cell(work, block, name).read_text())
            for name in _done(work, block, arguments)
        ]
        ready = sum(state["status"] == "ready" for state in states)
        seconds = time.perf_counter() - started_s
        print(f"{block}: {ready} of {len(states)} ready, {seconds:.0f} s", flush=True)


def time_in_children(blocks: list[str], arguments: argparse.Namespace) -> None:
    """Time block after block, all of them once before any is timed again."""
    _save(arguments.work / "environment.json", describe_environment())
    for index in range(arguments.processes):
        for block in blocks:
            path = arguments.work / "times" / f"{_slug(block)}.{index}.json"
            if not path.exists():
                done = _child("time", block, arguments, "--index", str(index))
                if done.returncode:
                    _save(path, {"failure": _last_line(done)})
                print(f"process {index + 1}: {block}", flush=True)


def _child(
    phase: str, block: str, arguments: argparse.Namespace, *extra: str
) -> subprocess.CompletedProcess[str]:
    work: Path = arguments.work
    settings = ("work", "limit_s", "budget_s", *SETTINGS)
    options = [f"--{name.replace('_', '-')}={getattr(arguments, name)}" for name in settings]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(arguments.threads),
        "TORCHINDUCTOR_CACHE_DIR": str(work.resolve() / "inductor"),
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
    }
    cell = ["--child", phase, "--blocks", block, "--backends", *arguments.backends]
    command = [sys.executable, __file__, *cell, *options, *extra]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def gate_block(block: str, arguments: argparse.Namespace) -> None:
    """In a child: prepare, load and check the block in every backend that is not done yet."""
    work: Path = arguments.work
    network, example = _network(block, arguments), _images(1)
    for name in arguments.backends:
        if _cell(work, block, name).exists():
            continue
        (work / "cells" / f"{_slug(block)}.running").write_text(name)
        signal.alarm(arguments.limit_s)  # which ends the process, whatever it hangs in
        _save(_cell(work, block, name), _gated(network, example, block, name, arguments))
        signal.alarm(0)


def _gated(
    network: nn.Module, example: Tensor, block: str, name: str, arguments: argparse.Namespace
) -> dict[str, object]:
    backend, options = get_backend(name), _options(name, arguments)
    reason = backend.unavailable(options.device) or backend.supports(options)
    if reason:
        return {"status": "failed", "reason": reason}
    started_s = time.perf_counter()
    try:
        payload = backend.prepare(network, example, options)
        prepared_s = time.perf_counter()
        loaded = backend.load(payload, example, options)
        loaded_s = time.perf_counter()
        difference = backend.check(network, loaded, _images(GATE_IMAGES), options)
    except BlockZooError as error:
        return {"status": "failed", "reason": str(error)}
    _payload(arguments.work, block, name).write_bytes(payload)
    return {
        "status": "ready",
        "difference": difference,
        "prepare_s": round(prepared_s - started_s, 2),
        "load_s": round(loaded_s - prepared_s, 2),
    }


def time_block(block: str, arguments: argparse.Namespace) -> None:
    """In a child: load, check and time all cells of a block and the baseline in eager."""
    work: Path = arguments.work
    cells = {name: (block, name) for name in _ready(work, block, arguments)}
    cells["baseline"] = (BASELINE, "eager")
    with _loaded(cells, arguments) as (loaded, failures):
        calls = {name: cell.call for name, cell in loaded.items()}
        samples = sample_group(calls, arguments.budget_s, seed=arguments.index)
    result = {name: asdict(cell) for name, cell in samples.items()}
    _save(work / "times" / f"{_slug(block)}.{arguments.index}.json", {**result, **failures})


def sample_group(
    calls: dict[str, Callable[[], object]], budget_s: float, seed: int
) -> dict[str, NetworkSamples]:
    """Sample the cells of one process in interleaved rounds."""
    with torch.inference_mode():
        return sample_networks(calls, SamplingPlan(budget_s=budget_s, warmup_max_s=2.0, seed=seed))


@contextmanager
def _loaded(
    cells: dict[str, tuple[str, str]], arguments: argparse.Namespace
) -> Iterator[tuple[dict[str, Loaded], dict[str, Any]]]:
    """Yield what passes its gate in this process, and the failures of the others."""
    example, loaded, failures = _images(1), dict[str, Loaded](), dict[str, Any]()
    for cell, (block, name) in cells.items():
        backend, options = get_backend(name), _options(name, arguments)
        payload = _payload(arguments.work, block, name).read_bytes()
        try:
            candidate = backend.load(payload, example, options)
            network = _network(block, arguments)
            backend.check(network, candidate, _images(GATE_IMAGES), options)
            loaded[cell] = candidate
        except BlockZooError as error:
            failures[cell] = asdict(NetworkSamples(failure=str(error)))
    yield loaded, failures
    for candidate in loaded.values():
        candidate.close()


def _network(block: str, arguments: argparse.Namespace) -> nn.Module:
    config = ScaffoldConfig(context=arguments.context, depth=arguments.depth, width=arguments.width)
    network = ScaffoldNet(block, arguments.position, config).eval()
    images = _images(GATE_IMAGES)
    return merge_into(arguments.form, images)(with_nontrivial_state(network, example=images))


def _images(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    return torch.randn((count, *ScaffoldConfig().input_shape), generator=generator)


def _options(name: str, arguments: argparse.Namespace) -> RunWay:
    return RunWay(backend=name, threads=arguments.threads, form=arguments.form)


def _slug(block: str) -> str:
    return block.replace("/", "--")


def _cell(work: Path, block: str, name: str) -> Path:
    return work / "cells" / f"{_slug(block)}.{name}.json"


def _payload(work: Path, block: str, name: str) -> Path:
    return work / "cells" / f"{_slug(block)}.{name}.payload"


def _done(work: Path, block: str, arguments: argparse.Namespace) -> list[str]:
    return [name for name in arguments.backends if _cell(work, block, name).exists()]


def _ready(work: Path, block: str, arguments: argparse.Namespace) -> list[str]:
    done = _done(work, block, arguments)
    states = {name: json.loads(_cell(work, block, name).read_text()) for name in done}
    return [name for name, state in states.items() if state["status"] == "ready"]


def _save(path: Path, content: dict[str, Any]) -> None:
    """Write whole or not at all: a file that is there counts as done."""
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(content))
    draft.replace(path)


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    lines = done.stderr.strip().splitlines()
    return f"died with status {done.returncode}: {lines[-1] if lines else 'no message'}"


if __name__ == "__main__":
    main()
