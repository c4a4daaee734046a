"""Where trials run. An executor takes a function and its argument and returns a future.

The shape is that of `concurrent.futures`, so that another process, a cluster or a test can stand
in for this process; the driver in `sweep.py` keeps `capacity` jobs in flight and alone writes.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from multiprocessing.connection import Connection
from queue import SimpleQueue
from types import TracebackType
from typing import Any, TypeVar

from blockzoo.core.errors import BlockZooError, InputError

_SECONDS_TO_END = 10.0
"""What a process that is told to stop may take before it is killed."""

Task = TypeVar("Task")
Outcome = TypeVar("Outcome")


class Executor(ABC):
    """Runs jobs; `capacity` is how many it can hold at once."""

    capacity: int = 1

    @abstractmethod
    def submit(self, function: Callable[[Task], Outcome], task: Task) -> Future[Outcome]:
        """Start `function(task)` and return its future."""


class InProcessExecutor(Executor):
    """Runs each job at once in this process; the future it returns is already done."""

    def submit(self, function: Callable[[Task], Outcome], task: Task) -> Future[Outcome]:
        """Run `function(task)`; `KeyboardInterrupt` passes through to the driver."""
        future: Future[Outcome] = Future()
        try:
            future.set_result(function(task))
        except Exception as error:  # noqa: BLE001 - handed to whoever reads the future
            future.set_exception(error)
        return future


class SideBySideExecutor(Executor):
    """Runs `count` jobs at once, each in a process of its own; raises `InputError` below 1.

    The processes are started afresh, with `threads` threads of torch, and kept for further jobs,
    with the data sets and compiled networks they hold. Function, task and outcome are pickled.
    One that dies fails its own job alone, with `BlockZooError`, and is replaced, and so is one that
    can no longer use CUDA after a job, as after a kernel that asserts. To be used as a context
    manager: at its end the processes are stopped, whatever they are doing.
    """

    def __init__(self, count: int, *, threads: int) -> None:
        if count < 1:
            raise InputError(f"side by side is {count}; it must be 1 or more")
        self.capacity, self._threads = count, threads
        self._pool = ThreadPoolExecutor(count)
        self._idle: SimpleQueue[_Worker | None] = SimpleQueue()
        for _ in range(count):
            self._idle.put(None)  # started when first needed
        self._workers: list[_Worker] = []
        self._ended = False

    def submit(self, function: Callable[[Task], Outcome], task: Task) -> Future[Outcome]:
        """Start `function(task)` in a process that has nothing to do."""
        return self._pool.submit(self._run, function, task)

    def __enter__(self) -> SideBySideExecutor:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended = True
        for worker in self._workers:
            worker.stop()
        self._pool.shutdown(cancel_futures=True)

    def _run(self, function: Callable[[Task], Outcome], task: Task) -> Outcome:
        worker = self._idle.get()
        if worker is None:
            worker = _Worker(self._threads)
            self._workers.append(worker)
            if self._ended:  # while this one was started
                worker.stop()
        try:
            outcome: Outcome = worker.run(function, task)
            return outcome
        finally:
            self._idle.put(worker if worker.alive else None)


@contextmanager
def trainers_side_by_side(count: int, device: str) -> Iterator[Executor]:
    """Provide an executor for `count` trainings at once, which share torch's threads out.

    One at a time on a CPU runs in this process; on CUDA it does not, for one kernel that asserts
    would take the device from all that come after.
    """
    import torch

    from blockzoo.measure.machine.devices import resolve_device

    if count == 1 and resolve_device(device).type == "cpu":
        yield InProcessExecutor()
        return
    threads = max(1, torch.get_num_threads() // max(1, count))
    with SideBySideExecutor(count, threads=threads) as executor:
        yield executor


class _Worker:
    """A process that runs what it is sent, one job after the other, until its pipe is closed."""

    def __init__(self, threads: int) -> None:
        context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, threads), daemon=True)
        self._process.start()
        theirs.close()
        self.alive = True

    def run(self, function: Callable[[Any], Any], task: object) -> Any:
        """Return `function(task)` or raise what it raised."""
        try:
            self._connection.send((function, task))
            error, outcome, self.alive = self._connection.recv()
        except (EOFError, OSError):
            self.alive = False
            self._process.join()
            status = self._process.exitcode
            raise BlockZooError(f"the process that ran it ended with status {status}") from None
        if error is not None:
            raise error
        return outcome

    def stop(self) -> None:
        """End the process now; whoever waits in `run` is told that it ended."""
        self._process.terminate()
        self._process.join(_SECONDS_TO_END)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def _serve(connection: Connection, threads: int) -> None:
    """What a process of `SideBySideExecutor` does."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the driver, which ends this
    torch.set_num_threads(threads)
    while True:
        try:
            function, task = connection.recv()
        except EOFError:
            return
        try:
            answer: tuple[Exception | None, Any] = (None, function(task))
        except Exception as error:  # noqa: BLE001 - handed to whoever reads the future
            answer = (_sendable(error), None)
        usable = _usable()
        connection.send((*answer, usable))
        if not usable:
            os._exit(0)  # what would be tidied up lies on a device that is gone


def _usable() -> bool:
    """Tell whether this process can still use CUDA, if it has."""
    import torch

    from blockzoo.measure.machine.devices import works

    used: Callable[[], bool] = torch.cuda.is_initialized  # untyped in torch
    return not used() or works("cuda")


def _sendable(error: Exception) -> Exception:
    """Return the error, or one that says the same where it does not survive pickling."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 - errors may have any constructor
        return BlockZooError(f"{type(error).__name__}: {error}")
    return error


def as_completed(
    executor: Executor, function: Callable[[Task], Outcome], tasks: Iterable[Task]
) -> Iterator[tuple[Task, Future[Outcome]]]:
    """Yield each task with its finished future, keeping the executor full."""
    waiting = iter(tasks)
    running: dict[Future[Outcome], Task] = {}
    while True:
        while len(running) < executor.capacity:
            try:
                task = next(waiting)
            except StopIteration:
                break
            running[executor.submit(function, task)] = task
        if not running:
            return
        finished, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in finished:
            yield running.pop(future), future
