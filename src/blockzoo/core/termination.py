"""SIGTERM, by which job schedulers and `timeout` end a program, as an exception."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# As shells report a program that a signal has ended.
TERMINATED = 128 + signal.SIGTERM


@contextmanager
def terminable() -> Iterator[None]:
    """Turn SIGTERM into `SystemExit` with the status that says so, so that clean-ups run.

    >>> with terminable():
    ...     signal.getsignal(signal.SIGTERM).__name__
    '_exit'
    """
    # Python lets the main thread alone set handlers.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, _exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _exit(number: int, frame: FrameType | None) -> None:
    raise SystemExit(TERMINATED)
