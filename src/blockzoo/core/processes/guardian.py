"""The process between a child and whoever asks it, which dies in place of both.

Code that kills its parent would kill the command, or the fork server that all children share. So a
child forks before it has anything to do. What was started becomes the guardian, which waits, ends
what the child has left behind, and then ends as the child did; the fork does the work. Before it
answers it asks whether the guardian lives, for a child that has killed it is to end, whoever is
scheduled first. And the guardian kills a child whom nobody asks any more, for one that has stopped
itself would not notice.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import threading
from typing import NoReturn, Protocol

_PATIENCE_S = 60.0
"""On a busy machine the guardian has to be scheduled first; one that was stopped never replies."""
_ASKED = b"?"


class Line(Protocol):
    """What a child knows of the channel to whoever asks."""

    def close_outgoing(self) -> None:
        """Close what only the child may hold open."""

    def fileno(self) -> int:
        """Return the descriptor that hangs up when whoever asks is gone."""


class Guardian:
    """What a child knows of its guardian."""

    def __init__(self, line: socket.socket) -> None:
        line.settimeout(_PATIENCE_S)
        self._line = line

    def lives(self) -> bool:
        """Return whether the guardian replies."""
        try:
            self._line.sendall(_ASKED)
            return self._line.recv(len(_ASKED)) == _ASKED
        except OSError:  # it has ended, was stopped, or the line was closed
            return False


def fork_from_guardian(line: Line) -> Guardian | None:
    """Fork and return in the child alone; None, without a fork, where the system has none.

    The child leads a process group, which SIGTERM to the guardian kills, and so does the end of
    whoever is at the other end of `line`. To be called while the process has one thread.
    """
    if not hasattr(os, "fork"):
        return None
    ours, theirs = socket.socketpair()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        ours.close()
        return Guardian(theirs)
    with contextlib.suppress(OSError):  # whoever comes first
        os.setpgid(pid, pid)
    signal.signal(signal.SIGTERM, lambda *_: _kill_group(pid))
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    theirs.close()
    line.close_outgoing()
    return _guard(pid, ours, line)


def _guard(pid: int, ours: socket.socket, line: Line) -> NoReturn:
    """Watch over the child until it has ended, then end in the same way."""
    threading.Thread(target=_watch, args=(pid, ours, line), daemon=True).start()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    _kill_group(pid)
    if status < 0:
        _die_by(-status)
    os._exit(status)


def _watch(pid: int, ours: socket.socket, line: Line) -> None:
    """Reply to the child, and kill it when nobody asks it any more."""
    poll = select.poll()
    poll.register(ours, select.POLLIN)
    poll.register(line.fileno(), 0)  # no matter what comes, but that nothing can come any more
    while True:
        for descriptor, _ in poll.poll():
            if descriptor == line.fileno():
                return _kill_group(pid)
            try:
                asked = ours.recv(len(_ASKED))
                ours.sendall(asked)
            except OSError:
                asked = b""
            if not asked:  # the child has closed its end, and may live
                poll.unregister(ours)


def _kill_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def _die_by(number: int) -> None:
    import resource  # there is none where there is no fork

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # one core file is enough
    with contextlib.suppress(OSError):  # SIGKILL has no handler to take away
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
