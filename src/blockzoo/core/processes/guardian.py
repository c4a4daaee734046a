"""The process between a child and whoever asks it, which dies in place of both.

Code that kills its parent would kill the command, or the fork server that all children share. So a
child forks before it has anything to do. What was started becomes the guardian, which waits, ends
what the child has left behind, and then ends as the child did; the fork does the work. Before it
answers it asks whether the guardian lives, for a child that has killed it is to end, whoever is
scheduled first.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable
from typing import NoReturn

_PATIENCE_S = 60.0
"""On a busy machine the guardian has to be scheduled first; one that was stopped never replies."""
_ASKED = b"?"


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


def fork_from_guardian(let_go: Callable[[], None]) -> Guardian | None:
    """Fork and return in the child alone; None, without a fork, where the system has none.

    The child leads a process group, which SIGTERM to the guardian kills. The guardian calls
    `let_go()` to close what only the child may hold open. To be called while the process has one
    thread.
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
    let_go()
    return _guard(pid, ours)


def _guard(pid: int, line: socket.socket) -> NoReturn:
    """Reply until the child has ended, then end in the same way."""
    threading.Thread(target=_reply, args=(line,), daemon=True).start()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    _kill_group(pid)
    if status < 0:
        _die_by(-status)
    os._exit(status)


def _reply(line: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the child is gone
        while asked := line.recv(len(_ASKED)):
            line.sendall(asked)


def _kill_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def _die_by(number: int) -> None:
    import resource  # there is none where there is no fork

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # one core file is enough
    with contextlib.suppress(OSError):  # SIGKILL has no handler to take away
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
