"""How far a sweep is, in a small file that its driver rewrites and that others read.

Each driver has a file of its own, so that several may work on one store. It is always whole, and is
written again at least every ten seconds: a driver of another machine whose file is older is gone.
"""

from __future__ import annotations

import contextlib
import os
import platform
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import psutil

from blockzoo.core.errors import ResultsError
from blockzoo.core.files import replacing
from blockzoo.experiments.sweep.plan import Plan, SweepRequest, Trial
from blockzoo.experiments.sweep.run import Outcome, SweepListener
from blockzoo.experiments.sweep.sweep_state import (
    BEAT_S,
    RunningTrial,
    SweepState,
    states_in,
    utc_now,
)
from blockzoo.experiments.sweep.time_left import TimeLeft
from blockzoo.results.records import EpochMetrics

_SOON_S = 1.0


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
            started_at=utc_now(),
            written_at=utc_now(),
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
        self._update(ended_at=utc_now())
        self._write()

    def planned(self, plan: Plan) -> None:
        """Take in what there is to run."""
        with self._lock:
            self._left.plan(plan.trials)
            self._update(to_run=len(plan.trials), there=plan.done, done=0)

    def started(self, trial: Trial) -> None:
        """Add the trial to those in hand."""
        with self._lock:
            self._running[trial] = RunningTrial(label=trial.label, since=utc_now())
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
            self._changed.wait(BEAT_S)
            self._changed.clear()
            self._write()
            # Epochs may end many times a second; nobody reads as often.
            self._over.wait(_SOON_S)

    def _write(self) -> None:
        with self._lock:
            now = {"written_at": utc_now(), "seconds_left": self._left.seconds}
            text = self._state.model_copy(update=now).model_dump_json(indent=1)
        with contextlib.suppress(ResultsError), replacing(self._path) as scratch:
            scratch.write_text(text + "\n", encoding="utf-8")


def _remove_old(folder: Path) -> None:
    """Remove what drivers left that have ended or are gone, so that files do not pile up."""
    for path, state in states_in(folder):
        if state.life() != "running":
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
