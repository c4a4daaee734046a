"""What an executor is: it takes a function and its argument and returns a future.

The shape is that of `concurrent.futures`, so that this process, a pool of processes, a cluster or a
test can stand in for each other. The driver keeps `capacity` jobs in flight and alone writes.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

from blockzoo.core.errors import BlockZooError
from blockzoo.core.processes import Answer, Ended, Raised, Send
from blockzoo.experiments.execution.user_blocks import TrialLimits

Task = TypeVar("Task")
Outcome = TypeVar("Outcome")
Listen = Callable[[Any], None]

RETRIES = 2
"""How often a job is tried again whose process or node died: it leaves the same in any run."""
_LOOK_S = 1.0


class Executor(ABC):
    """Runs jobs; `capacity` is how many it can hold at once.

    `is_here`: whether its jobs run on this machine, with its files and its devices. `limits`: what
    one trial may take there.
    """

    capacity: int = 1
    is_here: bool = True
    limits = TrialLimits()

    def alone(self) -> AbstractContextManager[None]:
        """Keep what others run of it from this machine meanwhile."""
        return nullcontext()

    @abstractmethod
    def stream(
        self, function: Callable[[Task, Send], Outcome], task: Task, listen: Listen
    ) -> Future[Outcome]:
        """Start `function(task, send)` and return its future.

        Args:
            function: Called where the job runs; found by name there.
            task: Handed to it.
            listen: Called here with what the job sends, from any thread, before the job is done.
        """

    def submit(self, function: Callable[[Task], Outcome], task: Task) -> Future[Outcome]:
        """Start `function(task)` and return its future.

        Args:
            function: Called where the job runs; found by name there.
            task: Handed to it.
        """
        return self.stream(_silent, (function, task), _ignore)

    def watch(self, call: Callable[[], Outcome]) -> Future[Outcome]:
        """Make a call that waits for a process of its own, in the place of a job.

        Args:
            call: Made in this process.
        """
        future: Future[Outcome] = Future()
        try:
            future.set_result(call())
        except Exception as error:  # noqa: BLE001 - handed to whoever reads the future
            future.set_exception(error)
        return future


def retried(
    attempt: Callable[[], Answer[Outcome] | Raised | Ended], *, retries: int, what: str
) -> Outcome:
    """Return what a job brings; it is tried again where what ran it died.

    Args:
        attempt: Runs it once.
        retries: How often it is tried again at the most.
        what: What ran it, for the message.

    Raises:
        Exception: What the job raised.
        BlockZooError: Where it never came to its end.

    Example:
        >>> retried(lambda: Answer(value=3), retries=2, what="the process")
        3
    """
    for _ in range(retries + 1):
        outcome = attempt()
        if not (isinstance(outcome, Ended) and outcome.cause == "died"):
            break
    match outcome:
        case Answer(value=value):
            return value
        case Raised(error=error):
            raise error
        case Ended(cause=cause, reason=reason):
            times = f", {retries + 1} times in a row" if retries and cause == "died" else ""
            raise BlockZooError(f"{what} that ran it {reason}{times}")


def _silent(job: tuple[Callable[[Task], Outcome], Task], _: Send) -> Outcome:
    function, task = job
    return function(task)


def _ignore(_: object) -> None:
    """Hear nothing."""


def as_completed(
    executor: Executor,
    start: Callable[[Task], Future[Outcome]],
    tasks: Iterable[Task | None],
) -> Iterator[tuple[Task, Future[Outcome]]]:
    """Yield each task with its finished future, keeping the executor full.

    Args:
        executor: Says how many jobs it holds.
        start: Starts a task's job there.
        tasks: Drawn one by one; None where there is nothing to start at the moment.

    Example:
        >>> from blockzoo.experiments.execution.in_process import InProcessExecutor
        >>> from functools import partial
        >>> here = InProcessExecutor()
        >>> done = as_completed(here, partial(here.submit, abs), [-1, 2])
        >>> [future.result() for _, future in done]
        [1, 2]
    """
    # Drawn one by one: a task may hold what is large, or depend on what has come back.
    waiting = iter(tasks)
    running: dict[Future[Outcome], Task] = {}
    is_over = False
    while not is_over or running:
        idle = False
        while not is_over and not idle and len(running) < executor.capacity:
            try:
                task = next(waiting)
            except StopIteration:
                is_over = True
                break
            idle = task is None
            if task is not None:
                running[start(task)] = task
        if not running:
            time.sleep(_LOOK_S if idle else 0)
            continue
        finished, _ = wait(running, timeout=_LOOK_S if idle else None, return_when=FIRST_COMPLETED)
        for future in finished:
            yield running.pop(future), future
