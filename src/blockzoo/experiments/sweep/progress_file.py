"""How far a sweep is, in a small file that its driver rewrites and that others read.

Each driver has a file of its own, so that several may work on one store. It is always whole, and is
written again at least every ten seconds: a driver of another machine whose file is older is gone.
"""

from __future__ import annotations

import contextlib
import os
import platform
import threading
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Literal

import psutil
from pydantic import ValidationError

from blockzoo.core.errors import ResultsError
from blockzoo.core.files import replacing
from blockzoo.experiments.sweep.plan import Plan, SweepRequest, Trial
from blockzoo.experiments.sweep.run import Outcome, SweepListener
from blockzoo.experiments.sweep.time_left import TimeLeft
from blockzoo.results.frozen import Frozen
from blockzoo.results.records import EpochMetrics

_BEAT_S = 10.0
_SILENT_S = 6 * _BEAT_S
_SOON_S = 1.0
_SAME_START_S = 1.0

Life = Literal["running", "ended", "gone"]


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
        """Tell whether its driver runs, has ended, or is gone without having said so."""
        if self.ended_at is not None:
            return "ended"
        if self.host != platform.node():
            # Of another machine's processes nothing is known but what they write.
            age_s = ((now or _now()) - self.written_at).total_seconds()
            return "gone" if age_s > _SILENT_S else "running"
        try:
            started = psutil.Process(self.pid).create_time()
        except psutil.Error:
            return "gone"
        # The number may be another process's by now.
        return "running" if abs(started - self.process_started) < _SAME_START_S else "gone"


class ProgressFile(SweepListener):
    """Keeps a file in `folder` that says how far the sweep is; a context manager.

    `by_block` is what trainings took before, in seconds; `at_once` of them run at a time. A file
    that cannot be written ends nothing.
    """

    def __init__(
        self,
        folder: Path,
        request: SweepRequest,
        *,
        by_block: Mapping[str, float] | None = None,
        at_once: int = 1,
        part: int = 1,
        parts: int = 1,
    ) -> None:
        self._path = folder / f"{platform.node()}-{os.getpid()}.json"
        self._left = TimeLeft(by_block, at_once=at_once)
        self._running: dict[Trial, RunningTrial] = {}
        self._lock, self._over = threading.RLock(), threading.Event()
        self._changed = threading.Event()
        self._state = SweepState(
            host=platform.node(),
            pid=os.getpid(),
            process_started=psutil.Process().create_time(),
            started_at=_now(),
            written_at=_now(),
            protocol=request.protocol.label,
            dataset=request.dataset.name,
            epochs=request.protocol.recipe.epochs,
            part=part,
            parts=parts,
        )
        self._thread = threading.Thread(target=self._keep_writing, daemon=True)

    def __enter__(self) -> ProgressFile:
        _remove_old(self._path.parent)
        self._write()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._changed.set()
        self._thread.join()
        self._running.clear()
        self._update(ended_at=_now())
        self._write()

    def planned(self, plan: Plan) -> None:
        """Take in what there is to run."""
        with self._lock:
            self._left.plan(plan.trials)
            self._update(to_run=len(plan.trials), there=plan.done, done=0)

    def started(self, trial: Trial) -> None:
        """Add the trial to those in hand."""
        with self._lock:
            self._running[trial] = RunningTrial(label=trial.label, since=_now())
            self._update()

    def epoch(self, trial: Trial, metrics: EpochMetrics) -> None:
        """Note the epoch of a training in hand."""
        with self._lock:
            if trial in self._running:
                told = {"epoch": metrics.epoch, "val_accuracy": metrics.val_accuracy}
                self._running[trial] = self._running[trial].model_copy(update=told)
                self._update()

    def finished(self, outcome: Outcome) -> None:
        """Take the trial from those in hand, and count it."""
        with self._lock:
            self._running.pop(outcome.trial, None)
            self._left.finished(outcome.trial, outcome.seconds, outcome.records)
            failed = sum(record.status == "failed" for record in outcome.records)
            self._update(done=self._state.done + 1, failed=self._state.failed + failed)

    def done_elsewhere(self, trial: Trial) -> None:
        """Take the trial from those that are to run here."""
        with self._lock:
            self._left.gone(trial)
            self._update(to_run=self._state.to_run - 1, there=self._state.there + 1)

    def _update(self, **changes: object) -> None:
        running = tuple(self._running.values())
        self._state = self._state.model_copy(update={**changes, "running": running})
        self._changed.set()

    def _keep_writing(self) -> None:
        while not self._over.is_set():
            self._changed.wait(_BEAT_S)
            self._changed.clear()
            self._write()
            # Epochs may end many times a second; nobody reads as often.
            self._over.wait(_SOON_S)

    def _write(self) -> None:
        with self._lock:
            now = {"written_at": _now(), "seconds_left": self._left.seconds}
            text = self._state.model_copy(update=now).model_dump_json(indent=1)
        with contextlib.suppress(ResultsError), replacing(self._path) as scratch:
            scratch.write_text(text + "\n", encoding="utf-8")


def read_progress(folder: Path) -> list[SweepState]:
    """Return how far the sweeps are whose drivers keep a file in `folder`, the newest last.

    >>> read_progress(Path("nowhere"))
    []
    """
    found = [state for _, state in _states(folder)]
    return sorted(found, key=lambda state: state.started_at)


def _states(folder: Path) -> list[tuple[Path, SweepState]]:
    found = []
    for path in folder.glob("*.json"):
        # What is no such file is passed over, whoever put it there.
        with contextlib.suppress(OSError, ValidationError):
            found.append((path, SweepState.model_validate_json(path.read_bytes())))
    return found


def _remove_old(folder: Path) -> None:
    """Remove what drivers left that have ended or are gone, so that files do not pile up."""
    for path, state in _states(folder):
        if state.life() != "running":
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def _now() -> datetime:
    return datetime.fromtimestamp(time.time(), timezone.utc)
