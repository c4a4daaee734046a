"""Epochs of trainings in other processes: each writes a file, which the driver follows.

A file and no pipe, so that it is the same for a process of this machine and for one of another that
has the folder too. It lies beside the training's checkpoint and is gone when the training is.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from pydantic import ValidationError

from blockzoo.experiments.sweep.plan import Trial
from blockzoo.results.records import EpochMetrics

_LOOK_S = 1.0


def epochs_path(folder: Path, trial_id: str) -> Path:
    """Return the file of that training's epochs.

    >>> epochs_path(Path("checkpoints"), "1f").as_posix()
    'checkpoints/1f.epochs'
    """
    return folder / f"{trial_id}.epochs"


class EpochWriter:
    """Adds each epoch to the file of a training; what cannot be written is not told."""

    def __init__(self, folder: Path, trial_id: str) -> None:
        self._path = epochs_path(folder, trial_id)

    def __call__(self, metrics: EpochMetrics) -> None:
        """Add one line."""
        # Who watches must never end a training.
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(metrics.model_dump_json() + "\n")


class EpochReader:
    """Reads the epochs of one training that it has not read yet."""

    def __init__(self, folder: Path, trial_id: str) -> None:
        self._path, self._read = epochs_path(folder, trial_id), 0
        self.remove()  # of a run that was killed

    def new(self) -> list[EpochMetrics]:
        """Return the epochs that were written since the last call, whole lines alone."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._read)
                content = file.read()
        except OSError:
            return []
        whole = content[: content.rfind(b"\n") + 1]
        self._read += len(whole)
        found = []
        for line in whole.splitlines():
            with contextlib.suppress(ValidationError):
                found.append(EpochMetrics.model_validate_json(line))
        return found

    def remove(self) -> None:
        """Remove the file, if there is one."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)


class EpochRelay:
    """Tells `listen` of the epochs of the trainings that it follows; a context manager.

    Without a folder it follows nothing. It tells from a thread of its own, and of each training for
    the last time in `leave`.
    """

    def __init__(self, folder: Path | None, listen: Callable[[Trial, EpochMetrics], None]) -> None:
        self._folder, self._listen = folder, listen
        self._followed: dict[Trial, EpochReader] = {}
        self._lock, self._over = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> EpochRelay:
        if self._folder is not None:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        if self._folder is not None:
            self._thread.join()
        for reader in self._followed.values():
            reader.remove()

    def follow(self, trial: Trial) -> None:
        """Follow that trial from now on, before it starts."""
        if self._folder is not None and trial.kind == "training":
            with self._lock:
                self._followed[trial] = EpochReader(self._folder, trial.trial_ids[0])

    def leave(self, trial: Trial) -> None:
        """Tell what is new of that trial, which has ended, and follow it no more."""
        with self._lock:
            reader = self._followed.pop(trial, None)
            if reader is not None:
                self._tell(trial, reader)
                reader.remove()

    def _look(self) -> None:
        while not self._over.wait(_LOOK_S):
            with self._lock:
                for trial, reader in self._followed.items():
                    self._tell(trial, reader)

    def _tell(self, trial: Trial, reader: EpochReader) -> None:
        for metrics in reader.new():
            self._listen(trial, metrics)
