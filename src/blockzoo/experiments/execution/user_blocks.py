"""Blocks of users, each run in worker processes that serve it alone.

A block of a file, module or installed package may crash, exit, hang, fill the memory or change
what its process shares. So the process that plans and records builds none of them: it knows each
by a stand-in, a spec whose `elsewhere` runs a function in a worker that loads the real one.

    with UserBlocks() as apart:
        apart.introduce(["my.py:MyBlock"])
        run_sweep(request, store)
"""

from __future__ import annotations

import contextlib
import os
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from types import TracebackType
from typing import Any, Generic, TypeVar

import psutil
import torch

from blockzoo.blocks import BlockSpec, canonical_name, get_block
from blockzoo.blocks.catalog import forget, introduce, is_user_code
from blockzoo.blocks.registry import TrialKind, built_elsewhere
from blockzoo.blocks.user_code import StaysChangedWarning
from blockzoo.core.errors import BlockError, BlockZooError, reason_of
from blockzoo.core.process_state import Change, changes_since, process_state
from blockzoo.core.processes import Answer, Ended, Limits, Raised, Send, Worker
from blockzoo.core.seeding import preserved

Task = TypeVar("Task")
Value = TypeVar("Value")

# Lightning puts functions of its own in the place of torch's as it is imported, which a block that
# is trained would else be blamed for.
_PRELOADED = ("blockzoo.experiments.sweep.run", "blockzoo.blocks.zoo", "lightning.fabric")
_MOST_IDLE = 4
_SHARE_OF_MEMORY = 0.9
_DEFAULT_TIME_S: Mapping[TrialKind, float | None] = {
    "identity": 60.0,
    "cost": 600.0,
    "latency": 600.0,
    "training": None,
}


@dataclass(frozen=True, kw_only=True)
class TrialLimits:
    """What one trial of a user's block may take; a process that takes more is stopped.

    `time_s`: seconds by the kind of trial, None for no limit; kinds left out have the default.
    `memory_bytes`: resident memory of the process, by default nine tenths of the machine's.
    Raises `InputError` for a limit that is not above zero.

    >>> TrialLimits(time_s={"training": 3600.0}).of("training").time_s
    3600.0
    >>> TrialLimits().of("training").time_s is None, TrialLimits().of("cost").time_s
    (True, 600.0)
    """

    time_s: Mapping[TrialKind, float | None] = field(default_factory=dict)
    memory_bytes: int | None = None

    def __post_init__(self) -> None:
        for kind in _DEFAULT_TIME_S:
            self.of(kind)

    def of(self, kind: TrialKind) -> Limits:
        """Return the limits of one trial of that kind."""
        memory = self.memory_bytes
        return Limits(
            time_s=self.time_s.get(kind, _DEFAULT_TIME_S[kind]),
            memory_bytes=_usual_memory() if memory is None else memory,
        )


def _usual_memory() -> int:
    # Below all there is, so that the system does not have to choose whom to kill.
    return int(psutil.virtual_memory().total * _SHARE_OF_MEMORY)


class UserBlocks:
    """The worker processes of users' blocks; a context manager, at whose end they are stopped.

    A worker serves one block and is kept for its further trials. One whose shared state (see
    `core/process_state.py`) was changed by a trial is replaced, and `tell` hears a line that names
    block and change, once for each. The trial itself fails where the change is one of arithmetic
    (default dtype, threads, patched classes): it was not computed as the others are.
    """

    def __init__(
        self, limits: TrialLimits | None = None, *, tell: Callable[[str], None] | None = None
    ) -> None:
        self._limits, self._tell = limits or TrialLimits(), tell
        self._lock = threading.Lock()
        self._idle: OrderedDict[Worker, str] = OrderedDict()
        self._workers: set[Worker] = set()
        self._introduced: list[str] = []
        self._lost: dict[str, BlockError] = {}
        self._told: set[tuple[str, str]] = set()
        self._ended = False

    def introduce(self, names: Iterable[str]) -> None:
        """Have every user's block among `names` run apart from now on; others are left alone.

        Raises what `get_block` raises for a file, module or class that is not there, that is no
        block, or whose code raises as it is loaded. One that ends its process then, or never comes
        to an end, is introduced all the same: its trials fail, each with the reason.
        """
        for name in names:
            if not _is_inside and is_user_code(name):
                introduce(name, self._stand_in(name))
                self._introduced.append(name)

    def __enter__(self) -> UserBlocks:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        forget(self._introduced)
        with self._lock:
            self._ended = True
            workers = list(self._workers)
        for worker in workers:
            worker.stop()

    def _stand_in(self, name: str) -> BlockSpec:
        try:
            spec = self._run(name, _described, name, kind="identity")
        except _EndedError as error:
            # Loading it again and again would take as long each time.
            self._lost[name] = error
            spec = BlockSpec(
                name=canonical_name(name),
                family="user",
                year=0,
                paper="none (user)",
                source=name,
                licence="not stated",
                formula="not stated",
                factory=built_elsewhere,
                class_name=name.rpartition(":")[2],
            )
        return replace(spec, elsewhere=partial(self._run, name))

    def _run(
        self,
        name: str,
        function: Callable[[Task, Send], Value],
        task: Task,
        *,
        kind: TrialKind,
        listener: Callable[[Any], None] | None = None,
    ) -> Value:
        """Return what `function(task, send)` returns in a worker of that block.

        Raises what of BlockZoo's errors it raises there, and `BlockError` for all others, where the
        process ended, and where the block could not be loaded to begin with.
        """
        if name in self._lost:
            raise self._lost[name]
        worker = self._taken(name)
        job = _Job(function=function, task=task, threads=torch.get_num_threads())
        try:
            outcome = worker.stream(
                _run_guarded,
                job,
                listener=listener or (lambda message: None),
                limits=self._limits.of(kind),
            )
        except BaseException:  # the listener's, or Ctrl-C: it is still at work
            self._let_go(worker)
            raise
        match outcome:
            case Answer(value=done):
                self._put_back(name, worker, done.changes)
                _require_same_arithmetic(name, kind, done.changes)
                result: Value = done.value
                return result
            case Raised(error=error, traceback=trace):
                # What it had changed by then was not said.
                self._let_go(worker)
                raise _of_block(name, error) from _ThereError(trace)
            case Ended(reason=reason):
                self._let_go(worker)
                raise _EndedError(f"block {name}: its process {reason}")

    def _taken(self, name: str) -> Worker:
        with self._lock:
            for worker, owner in self._idle.items():
                if owner == name:
                    del self._idle[worker]
                    return worker
        worker = Worker("forkserver", preload=_PRELOADED)
        with self._lock:
            self._workers.add(worker)
            ended = self._ended
        if ended:  # while this one was started
            worker.stop()
        worker.ask(_settle, dict(os.environ))
        return worker

    def _put_back(self, name: str, worker: Worker, changes: tuple[Change, ...]) -> None:
        if changes or not worker.alive:
            self._say(name, changes)
            self._let_go(worker)
            return
        with self._lock:
            self._idle[worker] = name
            oldest = next(iter(self._idle)) if len(self._idle) > _MOST_IDLE else None
            if oldest is not None:
                del self._idle[oldest]
        if oldest is not None:
            self._let_go(oldest)

    def _let_go(self, worker: Worker) -> None:
        with self._lock:
            self._workers.discard(worker)
        worker.stop()

    def _say(self, name: str, changes: tuple[Change, ...]) -> None:
        for change in changes:
            if self._tell is not None and (name, change.text) not in self._told:
                self._told.add((name, change.text))
                self._tell(f"{name} changed {change.text}; its process was replaced")


def _require_same_arithmetic(name: str, kind: TrialKind, changes: tuple[Change, ...]) -> None:
    computed = [change.text for change in changes if change.is_arithmetic and kind != "identity"]
    if computed:
        raise BlockError(
            f"block {name}: it changed {', '.join(computed)}, so that it was not computed as "
            f"others are"
        )


def _of_block(name: str, error: Exception) -> BlockZooError:
    """Return the error as the block's own: it may leave its process too few files to record one."""
    if isinstance(error, BlockZooError):
        return error
    return BlockError(f"block {name}: {reason_of(error)}")


class _EndedError(BlockError):
    """The process of a block ended."""


class _ThereError(Exception):
    """The cause of an error from another process: the traceback as it was there."""


@contextlib.contextmanager
def run_apart(
    names: Iterable[str],
    limits: TrialLimits | None = None,
    *,
    tell: Callable[[str], None] | None = None,
) -> Iterator[UserBlocks]:
    """Have the users' blocks among `names` run in processes of their own inside; see `UserBlocks`.

    Those for which that is so already stay as they are.
    """
    with UserBlocks(limits, tell=tell) as apart:
        apart.introduce(names)
        yield apart


@dataclass(frozen=True, kw_only=True)
class _Job(Generic[Task, Value]):
    function: Callable[[Task, Send], Value]
    task: Task
    threads: int


@dataclass(frozen=True, kw_only=True)
class _Done(Generic[Value]):
    value: Value
    changes: tuple[Change, ...]


_is_inside = False
"""Whether this process is such a worker, or was asked to do all itself: blocks are loaded here."""


def load_here() -> None:
    """Have this process load users' blocks itself, for debuggers; it cannot be undone.

    What such a block does to its process it then does to this one.
    """
    global _is_inside
    _is_inside = True


def _settle(environment: dict[str, str]) -> None:
    os.dup2(2, 1)  # what a block prints is no part of what the command prints
    # The fork server keeps the environment in which it was started.
    os.environ.clear()
    os.environ.update(environment)
    # Told by the block's name, as its change, and gone with this process.
    warnings.simplefilter("ignore", StaysChangedWarning)
    load_here()


def _run_guarded(job: _Job[Task, Value], send: Send) -> _Done[Value]:
    torch.set_num_threads(job.threads)
    before = process_state()
    with preserved():
        value = job.function(job.task, send)
    return _Done(value=value, changes=changes_since(before))


def _described(name: str, _: Send) -> BlockSpec:
    """Return the block's spec without what builds it, which is not to leave this process."""
    spec = get_block(name)
    return replace(spec, factory=built_elsewhere, class_name=spec.identity_name)
