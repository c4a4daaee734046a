"""Epochs of trainings in other processes, as they reach who listens."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from blockzoo.experiments.execution.executors import SideBySideExecutor
from blockzoo.experiments.sweep.epochs import EpochReader, EpochRelay, EpochWriter, epochs_path
from blockzoo.experiments.sweep.plan import Trial
from blockzoo.experiments.sweep.run import SweepListener, run_sweep
from blockzoo.results.records import EpochMetrics
from blockzoo.results.store.database import Store
from blockzoo.training.run_options import RunOptions
from tests.experiments.sweep.test_log import EPOCH, TRIAL
from tests.experiments.sweep.test_run import request_of

FINITE = EPOCH.model_copy(update={"train_loss": 1.0})


def _numbered(epoch: int) -> EpochMetrics:
    return FINITE.model_copy(update={"epoch": epoch})


def test_each_epoch_is_read_once_and_half_a_line_later(tmp_path: Path) -> None:
    reader, write = EpochReader(tmp_path, "1f"), EpochWriter(tmp_path, "1f")
    assert reader.new() == []
    write(_numbered(1))
    write(_numbered(2))
    assert [each.epoch for each in reader.new()] == [1, 2]
    line = _numbered(3).model_dump_json() + "\n"
    with epochs_path(tmp_path, "1f").open("a") as file:
        file.write(line[:20])
        file.flush()
        assert reader.new() == []
        file.write(line[20:] + "no epoch\n")
    assert reader.new() == [_numbered(3)]


def test_an_epoch_of_a_diverging_training_is_read_too(tmp_path: Path) -> None:
    reader = EpochReader(tmp_path, "1f")
    EpochWriter(tmp_path, "1f")(EPOCH)
    (read,) = reader.new()
    assert (read.epoch, read.val_accuracy) == (EPOCH.epoch, EPOCH.val_accuracy)


def test_what_a_killed_run_left_is_not_told(tmp_path: Path) -> None:
    EpochWriter(tmp_path, "1f")(_numbered(9))
    told: list[tuple[Trial, int]] = []
    with EpochRelay(tmp_path, lambda trial, metrics: told.append((trial, metrics.epoch))) as relay:
        relay.follow(TRIAL)
        EpochWriter(tmp_path, "1f")(_numbered(1))
        relay.leave(TRIAL)
    assert told == [(TRIAL, 1)]
    assert [*tmp_path.iterdir()] == []


def test_a_folder_that_cannot_be_written_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    EpochWriter(tmp_path / "file", "1f")(_numbered(1))
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("file", "")]


class Hearing(SweepListener):
    def __init__(self) -> None:
        self.heard: list[tuple[str, int]] = []

    def epoch(self, trial: Trial, metrics: EpochMetrics) -> None:
        self.heard.append((trial.label, metrics.epoch))


def test_a_sweep_hears_of_every_epoch_in_other_processes(tiny_npz: Path, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    request = request_of(tiny_npz, "Identity", positions=("mid",), seeds=(0, 1), epochs=3)
    request = replace(request, options=RunOptions(checkpoints=folder))
    listener = Hearing()
    with (
        Store(tmp_path / "blockzoo.db", create=True) as store,
        SideBySideExecutor(2, threads=1) as trainers,
    ):
        assert run_sweep(request, store, trainers=trainers, listener=listener).failed == 0
    for seed in (0, 1):
        label = f"training Identity mid, seed {seed}"
        assert [epoch for name, epoch in listener.heard if name == label] == [1, 2, 3]
    assert [*folder.iterdir()] == []
