"""The lines of a sweep's log."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

from blockzoo.core.position import Position
from blockzoo.experiments.sweep.log import SweepLog
from blockzoo.experiments.sweep.plan import Plan, Trial
from blockzoo.experiments.sweep.run import Outcome
from blockzoo.results.records import EpochMetrics
from tests.record_samples import training

TRIAL = Trial(
    kind="training", blocks=("A",), position=Position.MID, seed=3, trial_ids=("1f",), expected_s=1.0
)
EPOCH = EpochMetrics(
    epoch=2,
    learning_rate=0.1,
    train_loss=float("nan"),
    train_accuracy=0.5,
    val_loss=1.5,
    val_accuracy=0.25,
    seconds=4.0,
)


def _told(log: SweepLog) -> None:
    log.planned(Plan(trials=(TRIAL,), done=2, failed=1))
    log.started(TRIAL)
    log.epoch(TRIAL, EPOCH)
    log.finished(Outcome(trial=TRIAL, records=(training("1f", "A"),), seconds=9.0))
    failed = training("1f", "A", status="failed", reason="no memory")
    log.finished(Outcome(trial=TRIAL, records=(failed,), seconds=0.5))


def test_every_event_is_one_object_with_its_time_in_utc(tmp_path: Path) -> None:
    _told(SweepLog(tmp_path / "logs" / "sweep.jsonl"))

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    text = (tmp_path / "logs" / "sweep.jsonl").read_text()
    lines = [json.loads(line, parse_constant=refuse) for line in text.splitlines()]
    assert [line["event"] for line in lines] == [
        "planned",
        "started",
        "epoch",
        "finished",
        "failed",
    ]
    planned, started, epoch, finished, failed = lines
    assert (planned["to_run"], planned["done"], planned["failed_before"]) == (1, 2, 1)
    assert (started["trial"], started["blocks"]) == ("1f", ["A"])
    assert (epoch["epoch"], epoch["train_loss"], epoch["val_accuracy"]) == (2, None, 0.25)
    assert (finished["seconds"], finished["results"]) == (9.0, 1)
    assert (failed["reason"], failed["seed"], failed["position"]) == ("no memory", 3, "mid")
    for line in lines:
        assert (
            datetime.fromisoformat(line["time"].replace("Z", "+00:00")).utcoffset() == timedelta()
        )


def test_a_log_that_cannot_be_written_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file in the place of the folder")
    _told(SweepLog(tmp_path / "logs" / "sweep.jsonl"))
    assert (tmp_path / "logs").is_file()
