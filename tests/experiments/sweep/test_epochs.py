"""Epochs of trainings in other processes, as they reach who listens."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from blockzoo.experiments.execution.pool import PoolExecutor
from blockzoo.experiments.sweep.plan import Trial
from blockzoo.experiments.sweep.run import SweepListener, run_sweep
from blockzoo.results.records import EpochMetrics
from blockzoo.results.store.database import Store
from blockzoo.training.run_options import RunOptions
from tests.experiments.sweep.test_run import request_of


class Hearing(SweepListener):
    def __init__(self) -> None:
        self.heard: list[tuple[str, int]] = []

    def epoch(self, trial: Trial, metrics: EpochMetrics) -> None:
        self.heard.append((trial.label, metrics.epoch))


@pytest.mark.usefixtures("forked_workers")
def test_a_sweep_hears_of_every_epoch_in_other_processes(tiny_npz: Path, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    request = request_of(tiny_npz, "Identity", positions=("mid",), seeds=(0, 1), epochs=3)
    request = replace(request, options=RunOptions(checkpoints=folder))
    listener = Hearing()
    with (
        Store(tmp_path / "blockzoo.db", create=True) as store,
        PoolExecutor(2, threads=1) as trainers,
    ):
        assert run_sweep(request, store, trainers=trainers, listener=listener).failed == 0
    for seed in (0, 1):
        label = f"training Identity mid, seed {seed}"
        assert [epoch for name, epoch in listener.heard if name == label] == [1, 2, 3]
    assert [*folder.iterdir()] == []
