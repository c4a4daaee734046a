"""How a child process that runs tasks is started, by `subprocess` or `multiprocessing`.

"interpreter" starts Python anew and runs nothing of the caller's script, which so needs no
`if __name__ == "__main__":`; it can be given an environment of its own. "spawn" starts Python anew
and imports the script, so that functions defined there can be asked. "forkserver" does that too,
but forks from a process that has imported what is slow to import once for all. "fork" has all that
this process has, torch's locks too: it suits only what computes with one thread.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Literal

import psutil

from blockzoo.core.processes import child
from blockzoo.core.processes.child import Channel, PipesChannel, StreamChannel

Method = Literal["interpreter", "spawn", "forkserver", "fork"]

# multiprocessing looks after all its processes whenever it starts one, in whatever thread; two
# threads that ask for the status of one process at once may both lose it.
_ONE_AT_A_TIME = threading.Lock()
_MOMENT_S = 0.005
_STARTS = 10
_LOST = 255
"""The status that multiprocessing makes up where the fork server has died, which alone knew it."""


class Started(ABC):
    """A running child: its guardian's id, the channel to it, and the status it ends with."""

    pid: int
    channel: Channel

    @abstractmethod
    def status(self) -> int | None:
        """Return the exit status, -N after signal N, or None while the process runs."""

    @abstractmethod
    def wait(self, seconds: float) -> int | None:
        """Return the status once there is one, or None after `seconds`."""

    @abstractmethod
    def terminate(self) -> None:
        """Have the guardian kill the child and all that this has started."""

    @abstractmethod
    def kill(self) -> None:
        """Kill the guardian alone."""


def start(
    method: Method, *, environment: Mapping[str, str], preload: Sequence[str], silent: bool
) -> Started:
    """Start a child; `environment` is for "interpreter" alone, `preload` for "forkserver"."""
    if method == "interpreter":
        return _Interpreter(environment, silent=silent)
    return _OfMultiprocessing(method, preload, silent=silent)


def child_environment() -> dict[str, str]:
    """Return the environment in which a fresh process finds the modules that this one finds.

    >>> child_environment()["PYTHONPATH"].split(os.pathsep)[1:] == sys.path[1:]
    True
    """
    # The empty name stands for the folder at hand, which for the child may be another one.
    return {**os.environ, "PYTHONPATH": os.pathsep.join(p or str(Path.cwd()) for p in sys.path)}


class _Interpreter(Started):
    def __init__(self, environment: Mapping[str, str], *, silent: bool) -> None:
        command = f"from {child.__name__} import main; main(silent={silent})"
        self._process = subprocess.Popen(
            [sys.executable, "-c", command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # What the user has set himself counts.
            env={**environment, **child_environment()},
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.pid = self._process.pid
        self.channel = StreamChannel(self._process.stdout, self._process.stdin)  # type: ignore[arg-type]

    def status(self) -> int | None:
        return self._process.poll()

    def wait(self, seconds: float) -> int | None:
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()


@contextlib.contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Have what is started inside never hear of Ctrl-C: it is for who asks, who ends it.

    A child ignores it once it serves. Until then, and in a fork server as it imports what it has
    to, it would end with a traceback. This process hears of it when it leaves.
    """
    if not hasattr(signal, "pthread_sigmask"):  # on Windows
        yield
        return
    # Of this thread alone, from which the child inherits it.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _OfMultiprocessing(Started):
    _seen: psutil.Process | None = None

    def __init__(self, method: Method, preload: Sequence[str], *, silent: bool) -> None:
        if method not in multiprocessing.get_all_start_methods():
            method = "spawn"  # Windows has no other
        context = multiprocessing.get_context(method)
        if method == "forkserver":
            context.set_forkserver_preload(list(preload))
        (their_incoming, outgoing), (incoming, their_outgoing) = (
            context.Pipe(False),
            context.Pipe(False),
        )
        self.channel = PipesChannel(incoming, outgoing)
        inherited = self.channel if method == "fork" else None
        self._process = context.Process(  # type: ignore[attr-defined]
            target=child.main_of_multiprocessing,
            args=(their_incoming, their_outgoing, inherited, silent),
            daemon=True,
        )
        if method != "fork" and os.name == "posix":
            # Before Ctrl-C is blocked: as this starts, it lets this thread hear of it again.
            resource_tracker.ensure_running()
        self._start()
        their_incoming.close()
        their_outgoing.close()
        self.pid = self._process.pid
        with contextlib.suppress(psutil.NoSuchProcess):  # it may have ended by now
            self._seen = psutil.Process(self.pid)

    def _start(self) -> None:
        """Start the process, by another fork server where the one there was is killed meanwhile."""
        for _ in range(_STARTS - 1):
            with (
                contextlib.suppress(EOFError, ConnectionError),
                _ONE_AT_A_TIME,
                _deaf_to_ctrl_c(),
            ):
                self._process.start()
                return
            time.sleep(_MOMENT_S)
        with _ONE_AT_A_TIME, _deaf_to_ctrl_c():
            self._process.start()

    def status(self) -> int | None:
        with _ONE_AT_A_TIME:
            status: int | None = self._process.exitcode
        # A child may kill its fork server; the other children of that are still at work.
        return None if status == _LOST and self._is_running() else status

    def _is_running(self) -> bool:
        # Its number may be another process's by now, which `is_running` can tell.
        with contextlib.suppress(psutil.NoSuchProcess):
            seen = self._seen
            if seen is not None:
                return seen.is_running() and seen.status() != psutil.STATUS_ZOMBIE
        return False

    def wait(self, seconds: float) -> int | None:
        # Not by the sentinel: it is ready a moment too soon, and never while a fork holds it open.
        end_s = time.monotonic() + seconds
        while (status := self.status()) is None and time.monotonic() < end_s:
            time.sleep(_MOMENT_S)
        return status

    # Not by multiprocessing, to which a process without a fork server is gone.

    def terminate(self) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            if self._seen is not None:
                self._seen.terminate()

    def kill(self) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            if self._seen is not None:
                self._seen.kill()
