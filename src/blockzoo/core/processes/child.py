"""The child's side of a process: it runs one task after the other until the parent has no more.

Three things hold in every child. It leads a process group, which dies with it, so that nothing it
starts outlives it. A thread listens for the end of whoever asks: the system closes the channel
however that ends, and the child then kills its group. And its parent is a guardian, which is all
that code that kills its parent can hit.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import pickle
import signal
import struct
import sys
import threading
import traceback
from enum import Enum
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import BinaryIO, NamedTuple, Protocol

from blockzoo.core.errors import BlockZooError, one_line
from blockzoo.core.processes.guardian import Guardian, fork_from_guardian

LEAVE = b""
"""What the parent sends instead of a task when it has no more; no pickle is empty."""
_LENGTH = struct.Struct("!Q")


class Kind(bytes, Enum):
    """What a frame from the child holds: its first byte."""

    BEGAN = b"b"
    """Function and task were read; the imports they need are done. Holds the process's id."""
    MESSAGE = b"m"
    ANSWER = b"a"
    RAISED = b"r"


class RaisedFrame(NamedTuple):
    """An error on its way: pickled, empty where that is not possible, as a line, as a traceback."""

    pickled: bytes
    line: str
    traceback: str


class Channel(Protocol):
    """Whole messages of bytes, both ways, each way through a pipe of its own.

    A pipe hangs up when nobody has its other end any more, whoever else holds this one.
    """

    def send_bytes(self, content: bytes, /) -> None:
        """Send one message; raises `OSError` where nobody can read it any more."""

    def recv_bytes(self) -> bytes:
        """Wait for a message and return it; raises `EOFError` or `OSError` at the end."""

    def close(self) -> None:
        """Close this end."""

    def close_outgoing(self) -> None:
        """Close what is sent through alone."""

    def fileno(self) -> int:
        """Return the descriptor through which messages come."""


class PipesChannel:
    """Whole messages over two one-way connections of `multiprocessing`."""

    def __init__(self, incoming: Connection, outgoing: Connection) -> None:
        self._incoming, self._outgoing = incoming, outgoing
        self.send_bytes, self.recv_bytes = outgoing.send_bytes, incoming.recv_bytes

    def close(self) -> None:
        """See `Channel`."""
        self._incoming.close()
        self._outgoing.close()

    def close_outgoing(self) -> None:
        """See `Channel`."""
        self._outgoing.close()

    def fileno(self) -> int:
        """See `Channel`."""
        return self._incoming.fileno()


class StreamChannel:
    """Whole messages over two streams of bytes, each message after its length."""

    def __init__(self, incoming: BinaryIO, outgoing: BinaryIO) -> None:
        self._incoming, self._outgoing = incoming, outgoing

    def send_bytes(self, content: bytes, /) -> None:
        """See `Channel`."""
        self._outgoing.write(_LENGTH.pack(len(content)))
        self._outgoing.write(content)
        self._outgoing.flush()

    def recv_bytes(self) -> bytes:
        """See `Channel`."""
        (length,) = _LENGTH.unpack(self._read(_LENGTH.size))
        return self._read(length)

    def close(self) -> None:
        """See `Channel`."""
        for stream in (self._incoming, self._outgoing):
            with contextlib.suppress(OSError):  # what was not sent is not wanted any more
                stream.close()

    def close_outgoing(self) -> None:
        """See `Channel`."""
        self._outgoing.close()

    def fileno(self) -> int:
        """See `Channel`."""
        return self._incoming.fileno()

    def _read(self, length: int) -> bytes:
        content = self._incoming.read(length)
        if len(content) < length:
            raise EOFError  # the end, or a message that the end has cut off
        return content


def main(*, silent: bool) -> None:
    """Be a child whose channel is standard input and output; see `serve`."""
    incoming, outgoing = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    # What the task reads from standard input must not be messages, nor what it prints.
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123 - no path
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    # A last search for cycles would go through all of torch, for a second, while the parent waits.
    atexit.register(gc.freeze)
    serve(StreamChannel(incoming, outgoing), silent=silent)


def main_of_multiprocessing(
    incoming: Connection, outgoing: Connection, inherited: Channel | None, silent: bool
) -> None:
    """Be a child that `multiprocessing` started; see `serve`. A fork has `inherited` to close."""
    if hasattr(os, "setsid"):
        os.setsid()
    # What was loaded before the fork stays: collecting it again and again would copy its pages.
    gc.freeze()
    if inherited is not None:
        inherited.close()  # else the end of whoever asks would never come
    serve(PipesChannel(incoming, outgoing), silent=silent)


def serve(channel: Channel, *, silent: bool) -> None:
    """Run the tasks that come and send their answers; `silent` discards all that is printed.

    `SystemExit` passes, as everything does that is no `Exception`, and ends the process.
    """
    if silent:
        _discard_output()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who asks, who ends this
    guardian = fork_from_guardian(channel)
    sender, inbox = _Sender(channel, guardian), _Inbox(channel)
    with contextlib.suppress(OSError):  # who asks is gone
        while (content := inbox.tasks.get()) != LEAVE:
            sender.answer(_run(content, sender))


class _Sender:
    """Sends one frame at a time: a task may have threads that send messages."""

    def __init__(self, channel: Channel, guardian: Guardian | None) -> None:
        self._channel, self._guardian = channel, guardian
        self._lock, self._pid = threading.Lock(), os.getpid()

    def __call__(self, message: object) -> None:
        self.send(Kind.MESSAGE + pickle.dumps(message))

    def answer(self, frame: bytes) -> None:
        self._leave_if_forked()
        if self._guardian is not None and not self._guardian.lives():
            kill_own_group()
        self.send(frame)

    def send(self, frame: bytes) -> None:
        self._leave_if_forked()
        with self._lock:
            self._channel.send_bytes(frame)

    def _leave_if_forked(self) -> None:
        if os.getpid() != self._pid:
            os._exit(1)  # a fork that a task made: its answer would be taken for the next task's


class _Inbox:
    """Takes in tasks in a thread, which notices when nobody asks any more."""

    def __init__(self, channel: Channel) -> None:
        self.tasks: SimpleQueue[bytes] = SimpleQueue()
        self._channel = channel
        threading.Thread(target=self._receive, daemon=True).start()

    def _receive(self) -> None:
        try:
            while (content := self._channel.recv_bytes()) != LEAVE:
                self.tasks.put(content)
        except (EOFError, OSError):
            # Idle too: what an earlier task left behind would outlive this process.
            kill_own_group()
        self.tasks.put(LEAVE)


def _run(content: bytes, sender: _Sender) -> bytes:
    """Return the frame that answers a task: what its function returns, or the error it raises."""
    try:
        function, task, streams = pickle.loads(content)
        sender.send(Kind.BEGAN + pickle.dumps(os.getpid()))
        value = function(task, sender) if streams else function(task)
        return Kind.ANSWER + _dumped(value)
    except Exception as error:  # noqa: BLE001 - handed to whoever asked
        frame = RaisedFrame(
            pickled=_pickled_error(error), line=one_line(error), traceback=traceback.format_exc()
        )
        return Kind.RAISED + pickle.dumps(tuple(frame))


def _dumped(value: object) -> bytes:
    try:
        return pickle.dumps(value)
    except Exception as error:
        kind = type(value).__name__
        raise BlockZooError(f"the answer, a {kind}, cannot be sent: {one_line(error)}") from error


def _pickled_error(error: Exception) -> bytes:
    """Return the error as bytes, or none where it does not survive pickling."""
    try:
        content = pickle.dumps(error)
        pickle.loads(content)  # errors may have any constructor, and are made by calling it
    except Exception:  # noqa: BLE001 - what an error does when it is pickled is its own
        return b""
    return content


def kill_own_group() -> None:
    """Kill this process and, where it leads a group, all that are in it."""
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _discard_output() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)
