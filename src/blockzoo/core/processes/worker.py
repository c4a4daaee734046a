"""The parent's side of a child process: ask it, enforce its limits, say in words how it ended."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, TypeVar

import psutil

from blockzoo.core.errors import BlockZooError, one_line
from blockzoo.core.processes.child import LEAVE, Kind, RaisedFrame
from blockzoo.core.processes.outcomes import Answer, Ended, Limits, Outcome, Raised, Value
from blockzoo.core.processes.starting import Method, start

_LOOK_S = 0.5
_LOOK_AT_MEMORY_S = 0.02
"""Memory grows fast; time does not."""
_END_S = 10.0
"""What a process may take to end by itself, with what it has to tidy up."""
_DRAIN_S = 0.5
"""What frames may take that were sent right before the end."""
_MEBIBYTE = 2**20

Task = TypeVar("Task")
Send = Callable[[object], None]
"""What a function that streams is handed: `send(message)`; the message is pickled."""


_NO_LIMITS = Limits()


class Worker:
    """A child process that runs what it is asked, one task after the other.

    `method`: see `starting.py`. `environment`: variables for a fresh interpreter, where this
    process has none of that name. `preload`: modules that the fork server imports, once for all.
    With `silent` what the child prints is discarded; else a fresh interpreter prints to standard
    error. The child reads nothing from standard input.

    Functions must be found by name in the child. They, tasks, answers and messages are pickled.
    The child leads a process group, which is killed with it, and dies with this process. To be used
    as a context manager: at its end a child at work is killed, and an idle one ends by itself.

    >>> import math
    >>> with Worker() as worker:
    ...     worker.ask(math.sqrt, 2.25)
    ...     worker.ask(os._exit, 0)
    Answer(value=1.5)
    Ended(cause='died', reason='ended with status 0')
    """

    def __init__(
        self,
        method: Method = "interpreter",
        *,
        environment: Mapping[str, str] | None = None,
        preload: Sequence[str] = (),
        silent: bool = False,
    ) -> None:
        self._child = start(method, environment=environment or {}, preload=preload, silent=silent)
        self._ended: Ended | None = None
        self._pid = self._child.pid
        self._busy, self._stopped, self._is_over = False, False, threading.Event()
        self._inbox: SimpleQueue[bytes | None] = SimpleQueue()
        # A thread reads, so that a child that stops in the middle of a message delays no limit.
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The id of the process; of its guardian, before its first task has begun."""
        return self._pid

    @property
    def alive(self) -> bool:
        """Whether it can be asked again."""
        return self._ended is None and self._child.status() is None

    def ask(
        self, function: Callable[[Task], Value], task: Task, *, limits: Limits = _NO_LIMITS
    ) -> Outcome[Value]:
        """Run `function(task)` in the child and return what comes of it.

        A worker that has ended says so again. Raises what pickling function or task raises.
        """
        return self._converse((function, task, False), limits, None, None)

    def stream(
        self,
        function: Callable[[Task, Send], Value],
        task: Task,
        *,
        listener: Callable[[Any], None],
        limits: Limits = _NO_LIMITS,
        pulse: Callable[[], object] | None = None,
    ) -> Outcome[Value]:
        """Run `function(task, send)` in the child; `listener` is handed each message as it comes.

        A `pulse()` whose value has changed is a sign of life, as a message is. Raises what
        `listener` and `pulse` raise; the child is then still at work.

            def train(recipe: Recipe, send: Send) -> Weights:
                for epoch in epochs(recipe):
                    send(Epoch(loss=...))
                return weights

            outcome = worker.stream(train, recipe, listener=show, limits=Limits(silence_s=600))
        """
        return self._converse((function, task, True), limits, listener, pulse)

    def stop(self) -> None:
        """Kill the process and its group now; who waits in another thread hears that it ended."""
        if self._stopped and self._child.status() is not None:
            return  # by now its number may be that of another process
        self._stopped = True
        self._kill()

    def close(self) -> None:
        """Let an idle process end by itself, which runs what it left to `atexit`; kill others."""
        if self._ended is None and not self._busy:
            self._write(LEAVE)
            self._child.wait(_END_S)
        self.stop()
        self._reader.join(_DRAIN_S)

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _converse(
        self,
        request: tuple[Callable[..., Value], object, bool],
        limits: Limits,
        listener: Callable[[Any], None] | None,
        pulse: Callable[[], object] | None,
    ) -> Outcome[Value]:
        if self._ended is not None:
            return self._ended
        content, watch = pickle.dumps(request), _Watch(limits, pulse)
        self._busy = True
        # A large task fills the pipe and waits; a child that never reads must not stop this thread.
        threading.Thread(target=self._write, args=(content,), daemon=True).start()
        drained_s: float | None = None
        while drained_s is None or time.monotonic() < drained_s:
            try:
                frame = self._inbox.get(timeout=watch.look_s if drained_s is None else _DRAIN_S)
            except Empty:
                pass
            else:
                if frame is None:
                    break
                outcome: Outcome[Value] | None = self._take(frame, watch, listener)
                if outcome is not None:
                    self._busy = False
                    return outcome
            # The end of the channel does not come where a child of the child holds it open, or
            # where the child has killed its guardian and goes on.
            if drained_s is None and self._child.status() is not None:
                drained_s = time.monotonic() + _DRAIN_S
            exceeded = watch.exceeded(self._pid)
            if exceeded is not None:
                return self._end(exceeded)
        return self._end(None)

    def _take(
        self, frame: bytes, watch: _Watch, listener: Callable[[Any], None] | None
    ) -> Answer[Value] | Raised | None:
        """Take in a frame; return the outcome if it holds one."""
        kind, content = Kind(frame[:1]), frame[1:]
        if kind is Kind.BEGAN:
            watch.begin()
            self._pid = pickle.loads(content)
        elif kind is Kind.RAISED:
            return _raised(RaisedFrame(*pickle.loads(content)))
        else:
            try:
                value = pickle.loads(content)
            except Exception as error:  # noqa: BLE001 - of a class that is found in the child alone
                what = BlockZooError(f"what was sent cannot be read: {one_line(error)}")
                return Raised(error=what, traceback="")
            if kind is Kind.ANSWER:
                return Answer(value=value)
            watch.sign()
            if listener is not None:
                listener(value)
        return None

    def _end(self, exceeded: Ended | None) -> Ended:
        """Kill what is left and note why, unless a limit says so, from the exit status."""
        # One that has closed the channel may still be on its way out.
        status = self._child.wait(_END_S) if exceeded is None and not self._stopped else None
        self._kill()
        if self._stopped:
            self._ended = Ended(cause="stopped", reason="was stopped")
        else:
            self._ended = exceeded or Ended(cause="died", reason=_status_in_words(status))
        return self._ended

    def _kill(self) -> None:
        if self._child.status() is None:
            self._child.terminate()
            if self._child.wait(_END_S) is None:
                self._child.kill()
        with contextlib.suppress(ProcessLookupError, PermissionError, AttributeError):
            # Where the child has killed its guardian. The number of a process that is gone is not
            # given to another one as long as anything is in its group.
            os.killpg(self._pid, signal.SIGKILL)
        self._child.wait(_END_S)
        self._is_over.set()

    def _write(self, content: bytes) -> None:
        with contextlib.suppress(OSError, ValueError):  # it is gone; its status says why
            self._child.channel.send_bytes(content)

    def _read(self) -> None:
        channel = self._child.channel
        with contextlib.suppress(EOFError, OSError):
            while True:
                self._inbox.put(channel.recv_bytes())
        self._inbox.put(None)
        self._is_over.wait()  # a child on its way out is killed when nobody can ask it any more
        channel.close()  # here, where nobody reads from it any more


class _Watch:
    """Knows since when a task has been at work and silent, and whether that is too long."""

    def __init__(self, limits: Limits, pulse: Callable[[], object] | None) -> None:
        self._limits, self._pulse = limits, pulse
        self._began, self._beat = False, None if pulse is None else pulse()
        self._start_s = self._sign_s = self._look_s = time.monotonic()
        self.look_s = _LOOK_S if limits.memory_bytes is None else _LOOK_AT_MEMORY_S

    def begin(self) -> None:
        self._began = True
        self._start_s = self._sign_s = time.monotonic()

    def sign(self) -> None:
        self._sign_s = time.monotonic()

    def exceeded(self, pid: int) -> Ended | None:
        """Return which limit process `pid` exceeds; its memory is looked at now and then."""
        limits, now_s = self._limits, time.monotonic()
        if not self._began:
            if now_s - self._start_s > limits.start_s:
                reason = f"had not begun after {limits.start_s:g} s; stopped"
                return Ended(cause="start", reason=reason)
            return None
        if limits.time_s is not None and now_s - self._start_s > limits.time_s:
            reason = f"still running after {limits.time_s:g} s, the time limit; stopped"
            return Ended(cause="time", reason=reason)
        if self._pulse is not None and (beat := self._pulse()) != self._beat:
            self._beat, self._sign_s = beat, now_s
        if limits.silence_s is not None and now_s - self._sign_s > limits.silence_s:
            reason = f"was stopped after hanging for {limits.silence_s:g} s"
            return Ended(cause="silence", reason=reason)
        if limits.memory_bytes is not None and now_s - self._look_s >= self.look_s:
            self._look_s = now_s
            if _resident_bytes(pid) > limits.memory_bytes:
                allowed = f"{limits.memory_bytes / _MEBIBYTE:,.0f} MiB"
                reason = f"took more than {allowed} of memory, the limit; stopped"
                return Ended(cause="memory", reason=reason)
        return None


def _raised(frame: RaisedFrame) -> Raised:
    try:
        error = pickle.loads(frame.pickled)
    except Exception:  # noqa: BLE001 - empty, or of a class that is found in the child alone
        error = BlockZooError(frame.line)
    return Raised(error=error, traceback=frame.traceback)


def _status_in_words(status: int | None) -> str:
    if status is None:
        return "closed its connection and was stopped"
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"died by {signal.Signals(-status).name}"
    except ValueError:  # one of those without a name
        return f"died by signal {-status}"


def _resident_bytes(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0
