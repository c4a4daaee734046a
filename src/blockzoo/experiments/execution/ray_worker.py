"""What runs in an actor of a Ray cluster; it imports nothing of Ray's."""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from blockzoo.core.errors import BlockZooError, reason_of
from blockzoo.core.processes import Answer, Raised, Send
from blockzoo.experiments.execution.base import Outcome, Task


@dataclass(frozen=True, kw_only=True)
class RayPlace:
    """What an actor has of its node: so many threads, a kind of device, a folder, a search path."""

    threads: int
    device: str
    folder: str
    path: tuple[str, ...]


class RayWorker:
    """Runs jobs one after the other; `wait` is Ray's own way to wait for what was sent.

    It works in the driver's folder where there is one of that path, so that relative paths mean
    the same, and finds modules where the driver does.
    """

    def __init__(self, place: RayPlace, wait: Callable[[Any], object]) -> None:
        self._wait = wait
        torch.set_num_threads(place.threads)
        with contextlib.suppress(OSError):
            os.chdir(place.folder)
        sys.path += [each for each in place.path if each not in sys.path]
        if place.device == "cuda":
            # Ray shows each process the GPUs that are its own.
            torch.cuda.set_device(0)

    def ready(self) -> bool:
        """Tell that it is there."""
        return True

    def run(
        self, function: Callable[[Task, Send], Outcome], task: Task, mailbox: Any, job: int
    ) -> Answer[Outcome] | Raised:
        """Run `function(task, send)` and return what comes of it; see `Worker.stream`.

        Args:
            function: As the driver has it.
            task: Handed to it.
            mailbox: The actor to which messages go.
            job: By which the driver knows them.
        """
        post = _Post(mailbox, job)
        try:
            value = function(task, post)
        except Exception as error:  # noqa: BLE001 - the driver decides
            return Raised(error=_sendable(error), traceback=traceback.format_exc())
        finally:
            self._arrived(post)
        return Answer(value=value)

    def _arrived(self, post: _Post) -> None:
        """Wait until all messages have come, so that none is told after the end of the job."""
        # Who watches must never end a training.
        with contextlib.suppress(Exception):
            if post.last is not None:
                self._wait(post.last)


class _Post:
    """Sends messages of one job, in their order."""

    def __init__(self, mailbox: Any, job: int) -> None:
        self._mailbox, self._job = mailbox, job
        self.last: Any = None

    def __call__(self, message: object) -> None:
        self.last = self._mailbox.put.remote(self._job, message)


def _sendable(error: Exception) -> Exception:
    """Return the error, or its line where it cannot be sent to another process."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 - whatever its class does
        return BlockZooError(reason_of(error))
    return error
