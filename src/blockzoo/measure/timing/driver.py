"""Runs one measuring process and keeps all it sends, also when it dies or hangs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from blockzoo.core.errors import one_line
from blockzoo.core.processes import Answer, Ended, Limits, Raised, Send, Worker
from blockzoo.measure.machine.devices import DeviceLostError
from blockzoo.measure.timing.clocks import threads_restored
from blockzoo.measure.timing.events import (
    Done,
    Event,
    Failed,
    Listener,
    Prepared,
    Samples,
    Stage,
)
from blockzoo.measure.timing.guard import ProcessChangedError
from blockzoo.measure.timing.worker import ChildTask, Mark, measure_task

# Importing torch on a busy machine takes its time.
_START_S = 120.0
# glibc maps large blocks anew or keeps them by a threshold that it moves as a process frees memory.
# A block that is mapped anew costs a page fault per 4 KiB. Other allocators ignore these.
KEEPING_FREED_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40)}


@dataclass(kw_only=True)
class ProcessRun:
    """What one process left.

    `samples` per network are pairs of round and nanoseconds; `done` is the rest, empty for a
    process that died; `failed` holds the networks that raised, `prepared` the payloads of a process
    that prepares networks. A process that died has `death` (why), `death_network` and
    `death_stage`, and `hung` if it was stopped because nothing went on in it.
    """

    samples: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    prepared: dict[str, bytes] = field(default_factory=dict)
    failed: dict[str, Failed] = field(default_factory=dict)
    done: Done = field(default_factory=Done)
    death: str | None = None
    death_network: str | None = None
    death_stage: Stage = "starting"
    hung: bool = False

    def take(self, event: Event) -> None:
        """Keep what a message from the process holds."""
        match event:
            case Samples(samples=samples):
                for name, index, nanoseconds in samples:
                    self.samples.setdefault(name, []).append((index, nanoseconds))
            case Failed():
                self.failed[event.name] = event
            case Prepared(name=name, payload=payload):
                self.prepared[name] = payload
            case Done():
                self.done = event

    def spoil(self) -> None:
        """Drop what was sampled: a network had changed the process, since when is not known."""
        self.samples.clear()

    def die(self, why: str, task: ChildTask) -> None:
        """Note that the process died, and of which network by the task's mark."""
        index, self.death_stage = Mark.read(task.mark_path)
        self.death = why
        if index >= 0:
            self.death_network = task.networks[index].name
            self.death = f"{why} while {self.death_stage} {self.death_network}"


def run_process(
    function: Callable[[ChildTask, Send], Done],
    task: ChildTask,
    *,
    hang_s: float,
    keep_freed_memory: bool = True,
    listener: Listener | None = None,
) -> ProcessRun:
    """Run `function(task, send)`, of events, in a fresh process and return what that left.

    It is killed when it is at one thing for `hang_s` seconds. With `keep_freed_memory` glibc does
    not return memory to the system while it runs, unless the environment has `MALLOC_...` variables
    that say otherwise.
    """
    run = ProcessRun()
    hear = _both(run.take, listener)
    # A fresh interpreter: glibc reads its settings once, and a script that times its own modules
    # need not be one that can be imported.
    with Worker(environment=KEEPING_FREED_MEMORY if keep_freed_memory else {}) as process:
        outcome = process.stream(
            function,
            task,
            listener=hear,
            limits=Limits(silence_s=hang_s, start_s=max(hang_s, _START_S)),
            # A network whose calls are short sends nothing for a while, but is marked anew.
            pulse=Path(task.mark_path).read_bytes,
        )
        match outcome:
            case Answer(value=done):
                hear(done)
            case Raised(error=error):
                process.stop()  # what it would tidy up may lie on a device that is gone
                if isinstance(error, ProcessChangedError):
                    run.spoil()
                run.die(_reason(error), task)
            case Ended(cause=cause, reason=reason):
                run.hung = cause == "silence"
                run.die(f"the measuring process {reason}", task)
    return run


def run_here(task: ChildTask, *, listener: Listener | None = None) -> ProcessRun:
    """Measure `task` in this very process: soon, but what kills or hangs it does so to the caller.

    A network that takes its device with it, or changes the process, ends the run.
    """
    run = ProcessRun()
    hear = _both(run.take, listener)
    with threads_restored():
        try:
            hear(measure_task(task, hear))
        except DeviceLostError as error:
            run.die(_reason(error), task)
        except ProcessChangedError as error:
            run.spoil()
            run.die(_reason(error), task)
    return run


def _both(take: Listener, listener: Listener | None) -> Callable[..., None]:
    def hear(event: Event) -> None:
        take(event)
        if listener is not None:
            listener(event)

    return hear


def _reason(error: Exception) -> str:
    if isinstance(error, DeviceLostError | ProcessChangedError):
        return str(error)
    return f"the measuring process raised {one_line(error)}"
