"""The log of a sweep: one JSON object a line, for whoever asks afterwards what happened when."""

from __future__ import annotations

import contextlib
import json
import math
import os
import platform
from datetime import datetime, timezone
from pathlib import Path

from blockzoo.core.errors import ResultsError
from blockzoo.core.files import make_folder
from blockzoo.experiments.sweep.plan import Plan, Trial
from blockzoo.experiments.sweep.run import Outcome, SweepListener
from blockzoo.results.records import EpochMetrics

LOG_NAME = "sweep.jsonl"


class SweepLog(SweepListener):
    """Adds a line to `path` for all that it is told: planned, started, epoch, finished, failed.

    Every line has `time` (UTC), `event`, `host` and `pid`; those of a trial have `trial`, its id,
    and `label`, `kind`, `blocks`, `position`, `seed`. What cannot be written is not told: a log
    never ends a sweep.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     SweepLog(Path(folder) / "sweep.jsonl").planned(Plan(trials=(), done=3))
    ...     line = json.loads((Path(folder) / "sweep.jsonl").read_text())
    >>> line["event"], line["to_run"], line["done"]
    ('planned', 0, 3)
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._by = {"host": platform.node(), "pid": os.getpid()}

    def planned(self, plan: Plan) -> None:
        """Add how many trials there are."""
        self._add("planned", to_run=len(plan.trials), done=plan.done, failed_before=plan.failed)

    def started(self, trial: Trial) -> None:
        """Add that a trial started."""
        self._add("started", **_named(trial))

    def epoch(self, trial: Trial, metrics: EpochMetrics) -> None:
        """Add what an epoch of a training showed."""
        self._add(
            "epoch",
            **_named(trial),
            epoch=metrics.epoch,
            train_loss=_finite(metrics.train_loss),
            val_loss=_finite(metrics.val_loss),
            val_accuracy=metrics.val_accuracy,
            seconds=metrics.seconds,
        )

    def finished(self, outcome: Outcome) -> None:
        """Add how a trial ended; those of its records that failed have a line each."""
        trial = _named(outcome.trial)
        failed = [each for each in outcome.records if each.status == "failed"]
        for record in failed:
            what = {"trial": record.trial_id, "block": record.block, "reason": record.reason}
            self._add("failed", **{**trial, **what}, seconds=outcome.seconds)
        if len(failed) < len(outcome.records):
            ok = len(outcome.records) - len(failed)
            self._add("finished", **trial, seconds=outcome.seconds, results=ok)

    def _add(self, event: str, **values: object) -> None:
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        line = json.dumps(
            {"time": now.replace("+00:00", "Z"), "event": event, **self._by, **values}
        )
        with contextlib.suppress(OSError, ResultsError):
            make_folder(self._path.parent)  # it may be removed while a sweep runs
            # One write a line, so that lines of two drivers do not mix.
            with self._path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")


def _named(trial: Trial) -> dict[str, object]:
    return {
        "trial": trial.trial_ids[0],
        "label": trial.label,
        "kind": trial.kind,
        "blocks": list(trial.blocks),
        "position": " ".join(map(str, trial.positions)),
        "seed": trial.seed,
    }


def _finite(value: float | None) -> float | None:
    # JSON has no other numbers.
    return value if value is not None and math.isfinite(value) else None
