"""What a terminal shows while a sweep runs."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from blockzoo.cli.screen.sweep_progress import SweepProgress
from blockzoo.core.position import Position
from blockzoo.experiments.sweep.plan import Plan, Trial
from blockzoo.results.records import EpochMetrics


def test_the_epoch_of_the_training_in_hand_is_shown() -> None:
    console = Console(file=StringIO(), force_terminal=True, width=100, color_system=None)
    trial = Trial(
        kind="training",
        blocks=("odd[/x].py:Block",),
        position=Position.MID,
        trial_ids=("1",),
        expected_s=90.0,
        seed=3,
    )
    metrics = EpochMetrics(
        epoch=12,
        learning_rate=0.1,
        train_loss=1.0,
        train_accuracy=0.5,
        val_loss=1.0,
        val_accuracy=0.625,
        seconds=1.0,
    )
    with SweepProgress(console, epochs=24) as progress:
        progress.planned(Plan(trials=(trial,), done=0))
        progress.started(trial)
        progress.epoch(trial, metrics)
    assert isinstance(console.file, StringIO)
    shown = console.file.getvalue()
    assert "1 trial to run, 0 already in the store" in shown
    assert "0/1 0:24 left training odd[/x].py:Block mid, seed 3, epoch 12, val acc 62.5%" in shown
