"""Where trials run. An executor takes a function and its argument and returns a future.

The shape is that of `concurrent.futures`, so that another process, a cluster or a test can stand
in for this process; the driver in `sweep.py` keeps `capacity` jobs in flight and alone writes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from queue import SimpleQueue
from types import TracebackType
from typing import TypeVar

import torch

from blockzoo.core.errors import BlockZooError
from blockzoo.core.processes import Answer, Ended, Raised, Worker
from blockzoo.core.ranges import AT_ONCE
from blockzoo.measure.machine.devices import resolve_device, works

Task = TypeVar("Task")
Outcome = TypeVar("Outcome")


class Executor(ABC):
    """Runs jobs; `capacity` is how many it can hold at once."""

    capacity: int = 1

    @abstractmethod
    def submit(self, function: Callable[[Task], Outcome], task: Task) -> Future[Outcome]:
        """Start `function(task)` and return its future."""

    def watch(self, call: Callable[[], Outcome]) -> Future[Outcome]:
        """Make a call that waits for a process of its own, in the place of a job."""
        future: Future[Outcome] = Future()
        try:
            future.set_result(call())
        except Exception as error:  # noqa: BLE001 - handed to whoever reads the future
            future.set_exception(error)
        return future


class InProcessExecutor(Executor):
    """Runs each job at once in this process; the future it returns is already done.

    >>> InProcessExecutor().submit(abs, -3).result()
    3
    """

    def submit(self, function: Callable[[Task], Outcome], task: Task) -> Future[Outcome]:
        """Run `function(task)`; `KeyboardInterrupt` passes through to the driver."""
        return self.watch(partial(function, task))


class SideBySideExecutor(Executor):
    """Runs `count` jobs at once, each in a process of its own; raises `InputError` below 1.

    The processes are started afresh, with `threads` threads of torch, and kept for further jobs,
    with the data sets and compiled networks they hold. Function, task and outcome are pickled.
    One that dies fails its own job alone, with `BlockZooError`, and is replaced, and so is one that
    can no longer use CUDA after a job, as after a kernel that asserts. To be used as a context
    manager: at its end the processes are stopped, whatever they are doing.
    """

    def __init__(self, count: int, *, threads: int) -> None:
        AT_ONCE.checked("side by side", count)
        self.capacity, self._threads = count, threads
        self._pool = ThreadPoolExecutor(count)
        self._idle: SimpleQueue[Worker | None] = SimpleQueue()
        for _ in range(count):
            self._idle.put(None)  # started when first needed
        self._workers: list[Worker] = []
        self._ended = False

    def submit(self, function: Callable[[Task], Outcome], task: Task) -> Future[Outcome]:
        """Start `function(task)` in a process that has nothing to do."""
        return self._pool.submit(self._run, function, task)

    def watch(self, call: Callable[[], Outcome]) -> Future[Outcome]:
        """Start `call()`; it has the place of one of the processes."""
        return self._pool.submit(call)

    def __enter__(self) -> SideBySideExecutor:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended = True
        # Before the pool, whose threads wait for what the workers answer.
        for worker in self._workers:
            worker.stop()
        self._pool.shutdown(cancel_futures=True)

    def _run(self, function: Callable[[Task], Outcome], task: Task) -> Outcome:
        worker = self._idle.get()
        if worker is None:
            worker = self._started()
        try:
            outcome = worker.ask(function, task)
            # What would be tidied up lies on a device that is gone.
            if not isinstance(outcome, Ended) and worker.ask(_usable, None) != Answer(value=True):
                worker.stop()
        finally:
            # None keeps the place for a new one.
            self._idle.put(worker if worker.alive else None)
        match outcome:
            case Answer(value=value):
                return value
            case Raised(error=error):
                raise error
            case Ended(reason=reason):
                raise BlockZooError(f"the process that ran it {reason}")

    def _started(self) -> Worker:
        # Not forked: tasks may hold functions of the caller's script, and a fork's torch the locks
        # of threads that it does not have.
        worker = Worker("spawn")
        self._workers.append(worker)
        if self._ended:  # while this one was started
            worker.stop()
        worker.ask(_set_threads, self._threads)
        return worker


@contextmanager
def trainers_side_by_side(count: int, device: str) -> Iterator[Executor]:
    """Provide an executor for `count` trainings at once, which share torch's threads out.

    One at a time on a CPU runs in this process; on CUDA it does not, for one kernel that asserts
    would take the device from all that come after.
    """
    # A process of its own costs seconds and a copy of the data.
    if count == 1 and resolve_device(device).type == "cpu":
        yield InProcessExecutor()
        return
    # Together no more than one training would take; a count below 1 the executor refuses.
    threads = max(1, torch.get_num_threads() // max(1, count))
    with SideBySideExecutor(count, threads=threads) as executor:
        yield executor


def _set_threads(threads: int) -> None:
    torch.set_num_threads(threads)


def _usable(_: None) -> bool:
    """Tell whether this process can still use CUDA, if it has."""
    used: Callable[[], bool] = torch.cuda.is_initialized  # untyped in torch
    return not used() or works("cuda")


def as_completed(
    executor: Executor,
    function: Callable[[Task], Outcome],
    tasks: Iterable[Task],
    *,
    apart: Callable[[Task], Callable[[], Outcome] | None] = lambda task: None,
) -> Iterator[tuple[Task, Future[Outcome]]]:
    """Yield each task with its finished future, keeping the executor full.

    Where `apart(task)` is a call, that is made for it instead, see `Executor.watch`.

    >>> [future.result() for _, future in as_completed(InProcessExecutor(), abs, [-1, 2])]
    [1, 2]
    """
    # Drawn one by one: a task may hold what is large, or depend on what has come back.
    waiting = iter(tasks)
    running: dict[Future[Outcome], Task] = {}
    while True:
        while len(running) < executor.capacity:
            try:
                task = next(waiting)
            except StopIteration:
                break
            call = apart(task)
            future = executor.submit(function, task) if call is None else executor.watch(call)
            running[future] = task
        if not running:
            return
        finished, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in finished:
            yield running.pop(future), future
