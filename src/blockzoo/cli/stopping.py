"""Ctrl-C while trials run: the first one lets what runs come to its end, the second stops it."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from blockzoo.experiments.sweep.plan import Plan
from blockzoo.experiments.sweep.run import SweepListener

_FIRST = (
    "\nfinishing what runs, then stopping; Ctrl-C again stops now; "
    "either way the same command goes on from there\n"
)


class Stop(SweepListener):
    """Knows whether a stop was asked for; a context manager, within which Ctrl-C asks for it.

    From the first plan on. Before it nothing runs that could be finished, and after the first
    Ctrl-C another one is what it usually is.

    >>> Stop().asked
    False
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: Any = None

    def __enter__(self) -> Stop:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()

    def planned(self, plan: Plan) -> None:
        """Take Ctrl-C over."""
        # Python lets the main thread alone set handlers.
        main = threading.current_thread() is threading.main_thread()
        # Who started this may have it ignore Ctrl-C, as shells do with what runs behind them.
        ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        if main and self._before is None and not self.asked and not ignored:
            self._before = signal.signal(signal.SIGINT, self._on_ctrl_c)

    def _on_ctrl_c(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        self._restore()
        # Not by the console, in whose middle a signal may come.
        with contextlib.suppress(OSError):
            os.write(2, _FIRST.encode())

    def _restore(self) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None
