"""A measuring process: loads what the driver prepared, samples it and streams what it sees.

Messages are pickled tuples on what was standard output; whatever the models print goes to standard
error. The cell at work is also noted in a small shared file, before every sample, so that the
driver knows whom to blame when this process is gone. It ends as soon as its parent does, and when a
cell takes a device with it, for another process can still measure the others there.
"""

from __future__ import annotations

import mmap
import os
import pickle
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from blockzoo.core.run_way import RunWay
from blockzoo.measure.machine.devices import DeviceLostError, Devices
from blockzoo.measure.machine.throttling import ThrottleWatch
from blockzoo.measure.timing.settings import SamplingPlan

STAGES = ("starting", "loading", "warm-up", "sampling", "preparing")
MARK = struct.Struct("=ii")
"""Shared between driver and process: index of the cell at work, index of what is done to it."""
_FLUSH_S = 0.25
_GPU_WARMUP_S = 1.0


@dataclass(frozen=True, kw_only=True)
class ChildCell:
    """One cell as it travels: payload (what is prepared, or yet the model), example, options."""

    name: str
    payload: bytes
    example: Tensor
    options: RunWay


@dataclass(frozen=True, kw_only=True)
class ChildTask:
    """What one process has to do."""

    main: ClassVar[str] = "blockzoo.measure.timing.worker"
    cells: tuple[ChildCell, ...]
    plan: SamplingPlan
    baselines: dict[str, str]
    mark_path: str


class Mark:
    """Where the driver finds which cell is at work, and at what, when this process is gone."""

    def __init__(self, path: str) -> None:
        with Path(path).open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), MARK.size)

    def set(self, index: int, stage: str) -> None:
        """Note the cell of that index."""
        self._memory[: MARK.size] = MARK.pack(index, STAGES.index(stage))


def main() -> None:
    """Measure the cells of the task on standard input, and answer on standard output."""
    serve(lambda task, send: Worker(task, send).run())


def serve(work: Callable[[Any, Callable[..., None]], None]) -> None:
    """Read the task from standard input, do `work(task, send)` and send on standard output."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    task = pickle.load(sys.stdin.buffer)
    end_with_parent()

    def send(*message: object) -> None:
        pickle.dump(message, out)
        out.flush()

    try:
        work(task, send)
    except DeviceLostError:
        os._exit(1)  # what would be tidied up lies on the device
    out.close()


def end_with_parent() -> None:
    """End this process as soon as the other end of standard input is closed.

    The parent keeps that open while it lives and wants an answer, and the system closes it however
    the parent ends.
    """
    threading.Thread(target=_wait_for_the_end, daemon=True).start()


def _wait_for_the_end() -> None:
    os.read(0, 1)
    os._exit(1)


def plan_for(task: ChildTask) -> SamplingPlan:
    """Return the task's plan; a GPU's clock needs a while to rise, so it is warmed up longer."""
    if not any(cell.options.on_cuda for cell in task.cells):
        return task.plan
    least_s = max(task.plan.warmup_min_s, _GPU_WARMUP_S)
    longest_s = max(task.plan.warmup_max_s, least_s)
    return replace(task.plan, warmup_min_s=least_s, warmup_max_s=longest_s)


class Worker:
    """Measures a task's cells and sends what it sees, in whatever process it is run."""

    def __init__(self, task: ChildTask, send: Callable[..., None]) -> None:
        self._task, self._send = task, send
        self._index = {cell.name: index for index, cell in enumerate(task.cells)}
        self._options = {cell.name: cell.options for cell in task.cells}
        self._mark = Mark(task.mark_path)
        self._batch: list[tuple[str, int, float]] = []
        self._flushed_s = time.monotonic()
        self._stage, self._threads = "", 0
        self._devices = Devices(cell.options.device for cell in task.cells)
        self._watch = ThrottleWatch(cell.options.device for cell in task.cells)

    def run(self) -> None:
        """Load, warm up and sample all cells; raises `DeviceLostError`."""
        import torch

        from blockzoo.measure.timing.sampling import sample_cells
        from blockzoo.stats.paired_rounds import Spent

        spent = Spent()
        with torch.inference_mode():
            calls, timers, loaded = self._load()
            baselines = {
                name: base
                for name, base in self._task.baselines.items()
                if name in calls and base in calls
            }
            done = sample_cells(
                calls,
                plan_for(self._task),
                baselines=baselines,
                timers=timers,
                enter=self._enter,
                sink=self._sink,
                accept=self._accept,
                failed=self._failed,
                between=self._watch.look,
                spent=spent,
            )
        self._flush()
        ends = {name: replace(cell, samples_ns=(), rounds=()) for name, cell in done.items()}
        self._send("throttled", self._watch.throttled())
        self._send("done", ends, spent)
        for each in loaded:
            each.close()

    def _load(self) -> tuple[dict[str, Any], dict[str, Any], list[Any]]:
        import torch

        from blockzoo.measure.timing.backends import get_backend
        from blockzoo.measure.timing.clocks import Timers

        calls: dict[str, Any] = {}
        timers: dict[str, Any] = {}
        timer_for = Timers()
        held = []
        for cell in self._task.cells:
            self._enter(cell.name, "loading")
            try:
                loaded = get_backend(cell.options.backend).load(
                    cell.payload, cell.example, cell.options
                )
            except Exception as error:  # noqa: BLE001 - a cell is foreign code
                failure = f"{type(error).__name__}: {error}"
                self._send("failed", cell.name, failure, traceback.format_exc())
                self._devices.check(cell.options.device, cell.name)
                continue
            held.append(loaded)
            calls[cell.name] = loaded.call
            timers[cell.name] = timer_for(torch.device(cell.options.device), cell.options.cache)
        return calls, timers, held

    def _enter(self, name: str, stage: str) -> None:
        self._mark.set(self._index[name], stage)
        threads = self._options[name].threads
        if threads != self._threads:
            import torch

            torch.set_num_threads(threads)
            self._threads = threads
        if stage != "sampling" or self._stage != stage:
            self._watch.start()  # loading and warming up do not count
            self._stage = stage
            self._send("state", stage, name)

    def _accept(self, name: str) -> bool:
        return self._watch.at_speed(self._options[name].device)

    def _failed(self, name: str, failure: str, trace: str) -> None:
        self._flush()
        self._send("failed", name, failure, trace)
        self._devices.check(self._options[name].device, name)

    def _sink(self, name: str, index: int, nanoseconds: float) -> None:
        self._batch.append((name, index, nanoseconds))
        if time.monotonic() - self._flushed_s > _FLUSH_S:
            self._flush()

    def _flush(self) -> None:
        self._send("samples", self._batch)
        self._batch, self._flushed_s = [], time.monotonic()
