"""Jobs that run at once in this process: for debuggers, tests, and one training at a time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

from blockzoo.core.processes import Send
from blockzoo.experiments.execution.base import Executor, Listen, Outcome, Task


class InProcessExecutor(Executor):
    """Runs each job at once in this process; the future it returns is already done.

    `KeyboardInterrupt` passes through to the driver.

    >>> InProcessExecutor().submit(abs, -3).result()
    3
    """

    def stream(
        self, function: Callable[[Task, Send], Outcome], task: Task, listen: Listen
    ) -> Future[Outcome]:
        """Run `function(task, listen)`; see `Executor`."""
        return self.watch(partial(function, task, listen))
