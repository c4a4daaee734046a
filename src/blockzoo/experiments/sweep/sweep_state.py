"""How far a sweep is, as its driver keeps it in a file and as others read it; never torch."""

from __future__ import annotations

import contextlib
import platform
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

import psutil
from pydantic import ValidationError

from blockzoo.results.frozen import Frozen

FOLDER = "progress"
"""Beside the results; each driver has a file of its own there."""
BEAT_S = 10.0
"""A driver that runs writes at least as often."""
_SILENT_S = 6 * BEAT_S
_SAME_START_S = 1.0

Life = Literal["running", "ended", "stopped", "gone"]


class RunningTrial(Frozen):
    """A trial in hand: `epochs` of how many, None where nothing was heard of it."""

    label: str
    since: datetime
    epoch: int | None = None
    val_accuracy: float | None = None


class SweepState(Frozen):
    """How far one driver is.

    Attributes:
        host: The machine's name.
        pid: Of the driver.
        process_started: When the process began, as the system counts.
        started_at: When the sweep began.
        written_at: When this was written.
        ended_at: When the driver ended its sweep; None while it runs, or where it was killed.
        protocol: Its label.
        dataset: Its name.
        epochs: Of each training.
        part: Which of the protocols of a sweep file it is, from 1 on.
        parts: How many protocols the sweep has.
        to_run: Trials that were missing.
        there: Trials that were found done.
        done: Trials that have ended.
        failed: Records among them that failed.
        seconds_left: None where nothing is known yet.
        running: The trials in hand.
    """

    host: str
    pid: int
    process_started: float
    started_at: datetime
    written_at: datetime
    ended_at: datetime | None = None
    protocol: str
    dataset: str
    epochs: int
    part: int = 1
    parts: int = 1
    to_run: int = 0
    there: int = 0
    done: int = 0
    failed: int = 0
    seconds_left: float | None = None
    running: tuple[RunningTrial, ...] = ()

    def life(self, now: datetime | None = None) -> Life:
        """Tell whether its driver runs, came to the end, was stopped, or is gone without a word."""
        if self.ended_at is not None:
            return "ended" if self.done >= self.to_run else "stopped"
        if self.host != platform.node():
            # Of another machine's processes nothing is known but what they write.
            age_s = ((now or utc_now()) - self.written_at).total_seconds()
            return "gone" if age_s > _SILENT_S else "running"
        try:
            started = psutil.Process(self.pid).create_time()
        except psutil.Error:
            return "gone"
        # The number may be another process's by now.
        return "running" if abs(started - self.process_started) < _SAME_START_S else "gone"


def read_progress(folder: Path) -> list[SweepState]:
    """Return how far the sweeps are whose drivers keep a file in `folder`, the newest last.

    >>> read_progress(Path("nowhere"))
    []
    """
    found = [state for _, state in states_in(folder)]
    return sorted(found, key=lambda state: state.started_at)


def states_in(folder: Path) -> list[tuple[Path, SweepState]]:
    """Return each file of state in the folder, and what it says."""
    found = []
    for path in folder.glob("*.json"):
        # What is no such file is passed over, whoever put it there.
        with contextlib.suppress(OSError, ValidationError):
            found.append((path, SweepState.model_validate_json(path.read_bytes())))
    return found


def utc_now() -> datetime:
    """Return the time by the clock that files of state go by."""
    return datetime.fromtimestamp(time.time(), timezone.utc)
