"""A pool of worker processes on this machine, which share its cores and its GPUs out."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from types import TracebackType

import torch

from blockzoo.core.processes import Answer, Ended, Limits, Raised, Send, Worker
from blockzoo.core.ranges import AT_ONCE
from blockzoo.experiments.execution.base import RETRIES, Executor, Listen, Outcome, Task, retried
from blockzoo.measure.machine.devices import works

_NO_LIMITS = Limits()


@dataclass
class _Place:
    """A place in the pool: its GPU, if it has one, and its process, once there is one."""

    gpu: int | None
    worker: Worker | None = None


class PoolExecutor(Executor):
    """Runs `count` jobs at once, each in a process of its own; raises `InputError` below 1.

    The processes are started afresh, with `threads` threads of torch, and kept for further jobs,
    with the data sets and compiled networks they hold. Function, task and outcome are pickled. A
    job whose process dies is tried again in another one, `retries` times; then it fails alone, with
    `BlockZooError`, as one does that exceeds its `limits`. A process that can no longer use CUDA
    after a job, as after a kernel that asserts, is replaced. Where there are `gpus` the processes
    are spread over them. To be used as a context manager: at its end the processes are stopped,
    whatever they are doing.
    """

    def __init__(
        self,
        count: int,
        *,
        threads: int,
        gpus: int = 0,
        retries: int = RETRIES,
        limits: Limits = _NO_LIMITS,
    ) -> None:
        AT_ONCE.checked("workers", count)
        self.capacity, self._threads = count, threads
        self._retries, self._limits = retries, limits
        self._pool = ThreadPoolExecutor(count)
        self._idle: SimpleQueue[_Place] = SimpleQueue()
        for number in range(count):
            # Its process is started when first needed.
            self._idle.put(_Place(gpu=number % gpus if gpus else None))
        self._workers: list[Worker] = []
        self._ended = False

    def stream(
        self, function: Callable[[Task, Send], Outcome], task: Task, listen: Listen
    ) -> Future[Outcome]:
        """Start `function(task, send)` in a process that has nothing to do; see `Executor`."""
        return self._pool.submit(self._run, function, task, listen)

    def watch(self, call: Callable[[], Outcome]) -> Future[Outcome]:
        """Start `call()`; it has the place of one of the processes."""
        return self._pool.submit(call)

    def __enter__(self) -> PoolExecutor:
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

    def _run(
        self, function: Callable[[Task, Send], Outcome], task: Task, listen: Listen
    ) -> Outcome:
        place = self._idle.get()
        try:
            attempt = partial(self._run_once, place, function, task, listen)
            return retried(attempt, retries=self._retries, what="the process")
        finally:
            self._idle.put(place)

    def _run_once(
        self,
        place: _Place,
        function: Callable[[Task, Send], Outcome],
        task: Task,
        listen: Listen,
    ) -> Answer[Outcome] | Raised | Ended:
        worker = place.worker or self._started(place.gpu)
        try:
            outcome = worker.stream(function, task, listener=listen, limits=self._limits)
            # What would be tidied up lies on a device that is gone.
            if not isinstance(outcome, Ended) and worker.ask(_usable, None) != Answer(value=True):
                worker.stop()
        finally:
            place.worker = worker if worker.alive else None
        return outcome

    def _started(self, gpu: int | None) -> Worker:
        # Not forked: tasks may hold functions of the caller's script, and a fork's torch the locks
        # of threads that it does not have.
        worker = Worker("spawn")
        self._workers.append(worker)
        if self._ended:  # while this one was started
            worker.stop()
        worker.ask(_settle, (self._threads, gpu))
        return worker


def _settle(share: tuple[int, int | None]) -> None:
    """Take this process's share of the machine: so many threads, and that GPU."""
    threads, gpu = share
    torch.set_num_threads(threads)
    if gpu is not None:
        # "cuda" is the current device; the number is no part of what a trial is.
        torch.cuda.set_device(gpu)


def _usable(_: None) -> bool:
    """Tell whether this process can still use CUDA, if it has."""
    used: Callable[[], bool] = torch.cuda.is_initialized  # untyped in torch
    return not used() or works("cuda")
