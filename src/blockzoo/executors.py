"""Where trials run. An executor takes a function and its argument and returns a future.

The shape is that of `concurrent.futures`, so that another process, a cluster or a test can stand
in for this process; the driver in `sweep.py` keeps `capacity` jobs in flight and alone writes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import TypeVar

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
