"""Runs one measuring process and keeps all it sends, also when it dies or hangs."""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Protocol

from blockzoo.measure.machine.devices import DeviceLostError
from blockzoo.measure.timing.worker import MARK, STAGES, ChildTask, Worker
from blockzoo.stats.paired_rounds import CellSamples, Spent

_POLL_S = 0.5
# Importing torch on a busy machine takes its time.
_START_S = 120.0
# glibc maps large blocks anew or keeps them by a threshold that it moves as a process frees memory.
# A block that is mapped anew costs a page fault per 4 KiB. Other allocators ignore these.
_KEEPING_FREED_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40)}
Event = tuple[Any, ...]


@dataclass(kw_only=True)
class ProcessRun:
    """What one process left.

    `samples` per cell are pairs of round and nanoseconds; `ends`, the rest of `CellSamples`, are
    there for the cells of a process that finished, and so are the devices that were `throttled`
    while it sampled; `failed` holds message and traceback of cells that could not be loaded.
    `prepared` are the payloads of a process that prepares cells.
    A process that died has `death` (why), `death_cell` and `death_stage`.
    """

    samples: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    ends: dict[str, CellSamples] = field(default_factory=dict)
    prepared: dict[str, bytes] = field(default_factory=dict)
    failed: dict[str, tuple[str, str]] = field(default_factory=dict)
    throttled: tuple[str, ...] = ()
    spent: Spent = field(default_factory=Spent)
    death: str | None = None
    death_cell: str | None = None
    death_stage: str = "starting"


class Task(Protocol):
    """What a process has to do with its cells; `main` is the module whose `main()` does it."""

    main: ClassVar[str]

    @property
    def cells(self) -> Sequence[Named]:
        """The cells, by whose places the file at `mark_path` tells which is at work."""

    @property
    def mark_path(self) -> str:
        """See `mark_file`."""


class Named(Protocol):
    """A cell."""

    @property
    def name(self) -> str:
        """What it is called in messages and results."""


def run_process(
    task: Task,
    *,
    hang_s: float,
    keep_freed_memory: bool = True,
    listener: Callable[[Event], None] | None = None,
) -> ProcessRun:
    """Run `task` in a fresh process; it is killed when it is at one thing for `hang_s` seconds.

    With `keep_freed_memory` glibc does not return memory to the system while it runs, unless the
    environment has `MALLOC_...` variables that say otherwise.
    """
    run = ProcessRun()
    command = [sys.executable, "-c", f"from {task.main} import main; main()"]
    kept = _KEEPING_FREED_MEMORY if keep_freed_memory else {}
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**kept, **child_environment()},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        try:
            pickle.dump(task, process.stdin)
            process.stdin.flush()
        except BrokenPipeError:
            pass  # it is gone already; its status says why
        hung = _listen(process.stdout, run, Path(task.mark_path), hang_s, listener)
        if hung:
            process.kill()
        status = process.wait()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            _close(pipe)
    if not run.ends:
        _blame(run, task, why_ended(status, hung, hang_s))
    return run


def child_environment() -> dict[str, str]:
    """Return the environment in which a fresh process finds the modules that this one finds."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(p or str(Path.cwd()) for p in sys.path)}


def run_here(task: ChildTask, *, listener: Callable[[Event], None] | None = None) -> ProcessRun:
    """Run `task` in this very process: soon, but what kills or hangs it does so to the caller."""
    import torch

    run, threads = ProcessRun(), torch.get_num_threads()

    def send(*event: object) -> None:
        _take(event, run)
        if listener is not None:
            listener(event)

    try:
        Worker(task, send).run()
    except DeviceLostError as error:
        _blame(run, task, str(error))
    finally:
        torch.set_num_threads(threads)
    return run


def mark_file(folder: str) -> str:
    """Return the path of a new file in which a process notes the cell at work."""
    handle, path = tempfile.mkstemp(dir=folder)
    os.write(handle, MARK.pack(-1, 0))
    os.close(handle)
    return path


def _listen(
    pipe: BinaryIO | Any,
    run: ProcessRun,
    mark: Path,
    hang_s: float,
    listener: Callable[[Event], None] | None,
) -> bool:
    """Take in events until the pipe ends; return whether the process hung instead."""
    events: queue.Queue[Event | None] = queue.Queue()
    threading.Thread(target=_pump, args=(pipe, events), daemon=True).start()
    heard, last_mark, last_s = False, b"", time.monotonic()
    while True:
        try:
            event = events.get(timeout=_POLL_S)
        except queue.Empty:
            now_mark = mark.read_bytes()
            if now_mark != last_mark:
                last_mark, last_s = now_mark, time.monotonic()
            elif time.monotonic() - last_s > (hang_s if heard else max(hang_s, _START_S)):
                return True
            continue
        if event is None:
            return False
        heard, last_s = True, time.monotonic()
        _take(event, run)
        if listener is not None:
            listener(event)


def _pump(pipe: BinaryIO, events: queue.Queue[Event | None]) -> None:
    try:
        while True:
            events.put(pickle.load(pipe))
    except (EOFError, pickle.UnpicklingError, ValueError, OSError):
        events.put(None)  # the end, or a message cut off by the end


def _take(event: Event, run: ProcessRun) -> None:
    if event[0] == "samples":
        for name, index, nanoseconds in event[1]:
            run.samples.setdefault(name, []).append((index, nanoseconds))
    elif event[0] == "failed":
        run.failed[event[1]] = (event[2], event[3])
    elif event[0] == "prepared":
        run.prepared[event[1]] = event[2]
    elif event[0] == "throttled":
        run.throttled = event[1]
    elif event[0] == "done":
        run.ends, run.spent = event[1], event[2]
        # A process that prepared cells, or whose every cell failed to load, is done too.
        run.ends = run.ends or {"": CellSamples()}


def _blame(run: ProcessRun, task: Task, why: str) -> None:
    index, stage = MARK.unpack(Path(task.mark_path).read_bytes())
    run.death, run.death_stage = why, STAGES[stage]
    if index >= 0:
        run.death_cell = task.cells[index].name
        run.death = f"{why} while {run.death_stage} {run.death_cell}"


def why_ended(status: int, hung: bool, hang_s: float) -> str:
    """Return in words why a process is gone that left `status`, or `hung` for `hang_s`."""
    if hung:
        return f"the measuring process was stopped after hanging for {hang_s:g} s"
    if status < 0:
        return f"the measuring process died by {signal.Signals(-status).name}"
    return f"the measuring process ended with status {status}"


def _close(pipe: Any) -> None:
    with contextlib.suppress(BrokenPipeError):  # what was not sent is not wanted any more
        pipe.close()
