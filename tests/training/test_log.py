from __future__ import annotations

import csv
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from blockzoo.core.errors import DivergenceError
from blockzoo.experiments.train import scaffold_for, train_placement
from blockzoo.results.records import EpochMetrics, TrainingRecord
from blockzoo.scaffold.net import ScaffoldConfig
from blockzoo.scaffold.placement import Placement
from blockzoo.training import log
from blockzoo.training.log import epoch_figures
from blockzoo.training.loggers import LogTo, OpenLogger
from blockzoo.training.run_options import RunOptions
from tests.training.samples import TINY_RECIPE, tiny_dataset, training_settings

DATA = tiny_dataset(classes=6, per_class=6)
EPOCHS = 4
TIMED = {"seconds", "elapsed_seconds", "images_per_s"}
TEST = ("test_loss", "test_accuracy", "test_top5_accuracy", "test_calibration_error")


def train(
    folder: Path,
    *loggers: str,
    tuning: bool = False,
    checkpoints: Path | None = None,
    on_epoch: Callable[[EpochMetrics], None] | None = None,
    **changes: Any,
) -> TrainingRecord:
    scaffold = ScaffoldConfig(context="Identity", width=4, depth=1)
    return train_placement(
        Placement.of("ResNetBasicBlock", "mid", scaffold_for(scaffold, DATA)),
        training_settings(DATA, **{"recipe": replace(TINY_RECIPE, epochs=EPOCHS), **changes}),
        RunOptions(
            checkpoints=checkpoints,
            log_to=LogTo(folder=folder, loggers=loggers, tuning=tuning) if loggers else None,
        ),
        on_epoch=on_epoch,
    )


def rows_of(folder: Path) -> list[dict[str, str]]:
    (path,) = folder.glob("csv/*/metrics.csv")
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def filled(row: dict[str, str]) -> dict[str, float]:
    return {name: float(value) for name, value in row.items() if value}


def stop_after(epoch: int) -> Callable[[EpochMetrics], None]:
    def stop(metrics: EpochMetrics) -> None:
        if metrics.epoch == epoch:
            raise KeyboardInterrupt

    return stop


def learned(record: TrainingRecord) -> tuple[Any, ...]:
    curves = [metrics.model_dump(exclude=TIMED) for metrics in record.epochs]
    return record.trial_id, curves, [getattr(record, name) for name in TEST]


def test_a_csv_log_holds_the_records_epochs_and_then_the_test_figures(tmp_path: Path) -> None:
    record = train(tmp_path, "csv")
    *epochs, end = rows_of(tmp_path)
    assert [filled(row) for row in epochs] == [
        {**epoch_figures(metrics), "step": metrics.epoch} for metrics in record.epochs
    ]
    assert {
        "gradient_norms/stage_mid", "train_loss", "val_loss", "train_accuracy", "val_accuracy",
        "train_top5_accuracy", "val_top5_accuracy", "learning_rate", "images_per_s",
    } <= filled(epochs[0]).keys()  # fmt: skip
    assert filled(end) == {
        "step": EPOCHS,
        "best_epoch": record.best_epoch,
        "training_seconds": record.training_seconds,
        "peak_memory_bytes": record.peak_memory_bytes,
        **{name: getattr(record, name) for name in TEST},
    }


def test_a_run_is_named_by_block_position_data_set_and_seed(tmp_path: Path) -> None:
    ids = [train(tmp_path, "csv", seed=seed).trial_id for seed in (0, 1)]
    assert sorted(path.name for path in (tmp_path / "csv").iterdir()) == [
        f"ResNetBasicBlock-mid-tiny-seed{seed}-{ids[seed][:8]}" for seed in (0, 1)
    ]


def test_tensorboards_own_reader_finds_the_records_epochs(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    record = train(tmp_path, "tensorboard")
    (folder,) = (tmp_path / "tensorboard").iterdir()
    events = EventAccumulator(str(folder))
    events.Reload()
    for name in ("train_loss", "val_accuracy", "learning_rate", "gradient_norms/stem"):
        shown = [(event.step, event.value) for event in events.Scalars(name)]
        expected = [(m.epoch, epoch_figures(m)[name]) for m in record.epochs]
        assert shown == [(step, pytest.approx(value, rel=1e-6)) for step, value in expected]
    (end,) = events.Scalars("test_loss")
    assert (end.step, end.value) == (EPOCHS, pytest.approx(record.test_loss, rel=1e-6))


def test_logging_changes_no_number(tmp_path: Path) -> None:
    assert learned(train(tmp_path, "csv", "tensorboard")) == learned(train(tmp_path))


class Spy:
    """A logger that takes random numbers from everybody and remembers what it heard."""

    def __init__(self, fails_at: int = 0) -> None:
        self.heard: list[tuple[int, set[str]]] = []
        self.closed: list[str] = []
        self._fails_at = fails_at

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        random.seed(len(self.heard))
        np.random.seed(len(self.heard))
        torch.manual_seed(len(self.heard))
        self.heard.append((step, set(metrics)))
        if step == self._fails_at:
            raise OSError(28, "No space left\non device")

    def save(self) -> None:
        torch.rand(1)

    def opened(self, epochs: Sequence[int] = ()) -> OpenLogger:
        logger: Any = self
        return OpenLogger(logger=logger, close=self.closed.append, epochs=frozenset(epochs))


def use(monkeypatch: pytest.MonkeyPatch, **spies: OpenLogger | Exception) -> None:
    def opened(name: str, *_: object, **__: object) -> OpenLogger:
        logger = spies[name]
        if isinstance(logger, Exception):
            raise logger
        return logger

    monkeypatch.setattr(log, "open_logger", opened)


def test_a_logger_that_draws_random_numbers_changes_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = learned(train(tmp_path))
    spy = Spy()
    use(monkeypatch, csv=spy.opened())
    assert learned(train(tmp_path, "csv")) == expected
    assert [step for step, _ in spy.heard] == [1, 2, 3, 4, 4]
    assert spy.closed == ["success"]


def test_a_logger_that_fails_is_warned_of_once_and_harms_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = learned(train(tmp_path))
    failing, other = Spy(fails_at=2), Spy()
    use(monkeypatch, csv=failing.opened(), tensorboard=other.opened())
    with pytest.warns(UserWarning, match="logging to csv failed") as warned:
        record = train(tmp_path, "csv", "tensorboard")
    assert [str(warning.message) for warning in warned] == [
        "logging to csv failed (OSError: [Errno 28] No space left on device); "
        "training goes on without it"
    ]
    assert learned(record) == expected
    assert ([step for step, _ in failing.heard], failing.closed) == ([1, 2], [])
    assert ([step for step, _ in other.heard], other.closed) == ([1, 2, 3, 4, 4], ["success"])


def test_a_logger_that_cannot_be_opened_is_warned_of_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, mlflow=ConnectionError("no server"))
    monkeypatch.setattr("blockzoo.training.loggers._installed", lambda name: True)
    with pytest.warns(UserWarning, match=r"mlflow failed \(ConnectionError: no server\)") as warned:
        assert len(train(tmp_path, "mlflow").epochs) == EPOCHS
    assert len(warned) == 1


def test_a_place_that_cannot_be_written_is_warned_of_once(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file, not a folder")
    with pytest.warns(UserWarning, match=r"csv failed \(ResultsError: folder .*logs") as warned:
        assert len(train(tmp_path / "logs", "csv").epochs) == EPOCHS
    assert len(warned) == 1


@pytest.mark.parametrize("stopped_after", [1, 3, 4])
def test_a_training_that_goes_on_repeats_and_lacks_no_epoch_in_its_log(
    stopped_after: int, tmp_path: Path
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    checkpoints = tmp_path / "checkpoints"
    stop = stop_after(stopped_after)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, "csv", "tensorboard", on_epoch=stop, checkpoints=checkpoints)
    assert [row["epoch"] for row in rows_of(tmp_path)] == [
        str(epoch) for epoch in range(1, stopped_after + 1)
    ]
    record = train(tmp_path, "csv", "tensorboard", checkpoints=checkpoints)
    *epochs, _ = rows_of(tmp_path)
    assert [filled(row) for row in epochs] == [
        {**epoch_figures(metrics), "step": metrics.epoch} for metrics in record.epochs
    ]
    (folder,) = (tmp_path / "tensorboard").iterdir()
    events = EventAccumulator(str(folder))
    events.Reload()
    assert [event.step for event in events.Scalars("val_loss")] == [1, 2, 3, 4]
    assert [event.step for event in events.Scalars("test_loss")] == [4]


def test_a_logger_that_keeps_epochs_is_told_of_those_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, on_epoch=stop_after(3), checkpoints=tmp_path)
    spy = Spy()
    use(monkeypatch, csv=spy.opened([1, 3]))
    train(tmp_path, "csv", checkpoints=tmp_path)
    assert [step for step, _ in spy.heard] == [2, 4, 4]


def test_a_training_that_starts_again_has_a_new_log(tmp_path: Path) -> None:
    train(tmp_path, "csv", "tensorboard")
    train(tmp_path, "csv", "tensorboard")
    assert len(rows_of(tmp_path)) == EPOCHS + 1
    (folder,) = (tmp_path / "tensorboard").iterdir()
    assert len(list(folder.iterdir())) == 1


def test_a_training_that_fails_closes_its_log_as_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spy = Spy()
    use(monkeypatch, csv=spy.opened())
    recipe = replace(TINY_RECIPE, epochs=EPOCHS, learning_rate=1e12, schedule="plateau")
    with pytest.raises(DivergenceError):
        train(tmp_path, "csv", recipe=recipe)
    assert spy.closed == ["failed"]
    assert all("test_loss" not in names for _, names in spy.heard)


def test_of_stand_ins_for_the_test_images_nothing_is_logged(tmp_path: Path) -> None:
    record = train(tmp_path, "csv", tuning=True)
    end = filled(rows_of(tmp_path)[-1])
    assert end["best_epoch"] == record.best_epoch
    assert not any(name.startswith("test") for name in rows_of(tmp_path)[0])
