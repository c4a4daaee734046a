from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from blockzoo.core.errors import BlockError, DivergenceError, InputError
from blockzoo.core.position import Position
from blockzoo.data import ImageDataset
from blockzoo.experiments.protocol import Protocol, get_protocol
from blockzoo.experiments.train import train_placement
from blockzoo.experiments.trial_identity import training_trial_id
from blockzoo.experiments.tuning import trial
from blockzoo.experiments.tuning.trial import (
    TUNING_SEED,
    recipe_point,
    search_space,
    tuned_to,
    without_test,
)
from blockzoo.experiments.tuning.tries import Try
from blockzoo.experiments.tuning.tune import (
    Tuning,
    train_tuned,
    tune,
    tune_block,
    tuned_label,
    tuned_network,
    tuned_settings,
)
from blockzoo.results.records import EpochMetrics, TrainingRecord
from blockzoo.scaffold.placement import Placement
from blockzoo.training.run_options import RunOptions
from blockzoo.training.settings import TrainingSettings
from tests.training.samples import TINY_RECIPE, tiny_dataset

DATA = tiny_dataset(classes=3, per_class=12)
PROTOCOL = Protocol(
    name="tiny",
    context="Identity",
    width=4,
    depth=1,
    recipe=TINY_RECIPE,
    dataset="tiny",
    blocks=("ResNetBasicBlock",),
    seeds=(0, 1),
)


def tuned_at_mid(
    folder: Path,
    block: str = "ResNetBasicBlock",
    protocol: Protocol = PROTOCOL,
    dataset: ImageDataset = DATA,
    trials: int = 3,
    **arguments: Any,
) -> Tuning:
    network = tuned_network(block, "mid", protocol, dataset, device="cpu")
    return tune(network, folder / "tuning.db", trials=trials, **arguments)


def with_noise_for_test(dataset: ImageDataset) -> ImageDataset:
    generator = torch.Generator().manual_seed(1)
    return replace(
        dataset,
        x_test=torch.randint(0, 256, dataset.x_test.shape, generator=generator, dtype=torch.uint8),
        y_test=dataset.y_test.flip(0),
    )


@pytest.mark.parametrize("name", ["quick", "classic", "v1"])
def test_the_first_point_is_the_recipes_own_training(name: str) -> None:
    protocol = get_protocol(name)
    point = recipe_point(protocol)
    assert point.keys() == search_space(protocol).keys()
    assert tuned_to(protocol, point) == protocol


def test_every_block_tries_the_same_points_with_one_seed_that_is_never_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[TrainingSettings] = []

    def spy(placement: Placement, settings: TrainingSettings, *rest: Any, **more: Any) -> Any:
        asked.append(settings)
        return train_placement(placement, settings, *rest, **more)

    monkeypatch.setattr(trial, "train_placement", spy)
    first, second = tuned_at_mid(tmp_path), tuned_at_mid(tmp_path, "InvertedResidual")
    assert [trial.point for trial in first.trials] == [trial.point for trial in second.trials]
    assert {settings.seed for settings in asked} == {TUNING_SEED}
    assert len(asked) == 6
    rates = [settings.recipe.learning_rate for settings in asked[:3]]
    assert rates == [trial.point["learning_rate"] for trial in first.trials]
    assert len(set(rates)) == 3
    with pytest.raises(InputError, match="seed 10000 is that of the tuning"):
        train_tuned(first, dataset=DATA, seed=TUNING_SEED)
    with pytest.raises(InputError, match="needs fresh seeds"):
        tuned_settings(first, DATA, seed=TUNING_SEED, device="cpu", compiled=False)


def test_the_door_by_name_tunes_the_same(tmp_path: Path) -> None:
    file = tmp_path / "tuning.db"
    tuned = tune_block(
        "Identity", "mid", protocol=PROTOCOL, dataset=DATA, file=file, trials=1, device="cpu"
    )
    epochs: list[EpochMetrics] = []
    assert tuned_at_mid(tmp_path, "Identity", trials=1, on_epoch=epochs.append) == tuned
    assert epochs == []  # the trial was found done, in the same search


def test_the_space_is_that_of_the_recipe_for_whatever_block() -> None:
    space = search_space(PROTOCOL)
    assert space["learning_rate"] == pytest.approx((0.001, 0.1))
    assert space["weight_decay"] == (1e-4, 1e-1)
    assert space["drop_path"] == (0.0, 0.3)


def test_trials_see_no_test_image_and_noise_in_its_place_changes_no_choice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[ImageDataset] = []

    def spy(placement: Placement, settings: TrainingSettings, *rest: Any, **more: Any) -> Any:
        seen.append(settings.dataset)
        return train_placement(placement, settings, *rest, **more)

    monkeypatch.setattr(trial, "train_placement", spy)
    real = tuned_at_mid(tmp_path / "real")
    noise = tuned_at_mid(tmp_path / "noise", dataset=with_noise_for_test(DATA))
    assert real == noise
    assert real.recipe == noise.recipe
    assert len(seen) == 6
    training_images = {image.numpy().tobytes() for image in DATA.x_train}
    for dataset in seen:
        assert {image.numpy().tobytes() for image in dataset.x_test} <= training_images
    # Not even the name of the search depends on the test: the noise finds all trials done.
    assert tuned_at_mid(tmp_path / "real", dataset=with_noise_for_test(DATA)) == real
    assert len(seen) == 6


def test_a_data_set_without_test_holds_one_training_image_of_each_class() -> None:
    blind = without_test(DATA)
    assert blind.y_test.tolist() == [0, 1, 2]
    assert torch.equal(blind.x_test, DATA.x_train[:3])
    assert torch.equal(blind.x_train, DATA.x_train)
    assert blind.fingerprint == without_test(with_noise_for_test(DATA)).fingerprint


def test_the_best_on_validation_is_chosen(tmp_path: Path) -> None:
    tuned = tuned_at_mid(tmp_path)
    complete = [trial.value for trial in tuned.trials if trial.value is not None]
    assert tuned.best.value == max(complete)
    assert tuned.recipe == replace(
        TINY_RECIPE,
        learning_rate=tuned.best.point["learning_rate"],
        weight_decay=tuned.best.point["weight_decay"],
        drop_path=tuned.best.point["drop_path"],
    )


@pytest.mark.parametrize("after", [1, 2])
def test_a_tuning_that_was_stopped_goes_on_to_the_same_choice(tmp_path: Path, after: int) -> None:
    whole = tuned_at_mid(tmp_path / "whole")
    ended: list[Try] = []
    epochs: list[EpochMetrics] = []

    def interrupt(metrics: EpochMetrics) -> None:
        epochs.append(metrics)
        if len(ended) == after:  # in the middle of the next trial
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tuned_at_mid(tmp_path / "cut", on_trial=ended.append, on_epoch=interrupt)
    epochs.clear()
    resumed = tuned_at_mid(tmp_path / "cut", on_epoch=epochs.append)
    assert resumed == whole
    assert len(epochs) == (3 - after) * TINY_RECIPE.epochs


@pytest.mark.parametrize(("resume", "again"), [(True, 1), (False, 2)])
def test_with_checkpoints_the_trial_in_hand_goes_on_after_its_last_epoch(
    tmp_path: Path, resume: bool, again: int
) -> None:
    whole, checkpoints = tuned_at_mid(tmp_path / "whole"), tmp_path / "checkpoints"
    epochs: list[EpochMetrics] = []

    def interrupt(metrics: EpochMetrics) -> None:
        epochs.append(metrics)
        if len(epochs) == 3:  # the first epoch of the second trial
            raise KeyboardInterrupt

    options = RunOptions(checkpoints=checkpoints, resume=resume)
    with pytest.raises(KeyboardInterrupt):
        tuned_at_mid(tmp_path / "cut", on_epoch=interrupt, options=options)
    assert len(list(checkpoints.iterdir())) == 1
    epochs.clear()
    assert tuned_at_mid(tmp_path / "cut", on_epoch=epochs.append, options=options) == whole
    assert len(epochs) == again + TINY_RECIPE.epochs
    assert list(checkpoints.iterdir()) == []


def test_epochs_before_a_stop_count_for_the_rule_that_stops_hopeless_trials(tmp_path: Path) -> None:
    hard: dict[str, Any] = {
        "protocol": replace(PROTOCOL, recipe=replace(TINY_RECIPE, epochs=4)),
        "dataset": tiny_dataset(classes=5, per_class=20),
        "trials": 8,
    }
    whole = tuned_at_mid(tmp_path / "whole", **hard)
    ended: list[Try] = []
    hopeless = next(trial for trial in whole.trials if trial.state == "stopped")

    def interrupt(metrics: EpochMetrics) -> None:
        if len(ended) == hopeless.index and metrics.epoch == hopeless.steps:
            raise KeyboardInterrupt

    cut: dict[str, Any] = {**hard, "options": RunOptions(checkpoints=tmp_path / "checkpoints")}
    with pytest.raises(KeyboardInterrupt):
        tuned_at_mid(tmp_path / "cut", on_trial=ended.append, on_epoch=interrupt, **cut)
    epochs: list[EpochMetrics] = []
    left = sum(trial.steps for trial in whole.trials[hopeless.index + 1 :])
    assert tuned_at_mid(tmp_path / "cut", on_epoch=epochs.append, **cut) == whole
    assert len(epochs) == left


def test_a_hopeless_trial_is_stopped_through_lightning_and_is_not_trained_again(
    tmp_path: Path,
) -> None:
    long = replace(PROTOCOL, recipe=replace(TINY_RECIPE, epochs=4))
    hard = tiny_dataset(classes=5, per_class=20)
    counts: list[int] = []
    tuned = tuned_at_mid(
        tmp_path,
        protocol=long,
        dataset=hard,
        trials=8,
        on_epoch=lambda metrics: counts.append(metrics.epoch),
    )
    stopped = [trial for trial in tuned.trials if trial.state == "stopped"]
    assert stopped
    assert all(trial.steps in (2, 3) for trial in stopped)  # a third of 4, upwards, to the last
    assert len(counts) == sum(trial.steps for trial in tuned.trials)
    assert tuned.summary()["stopped"] == len(stopped)
    assert tuned_at_mid(tmp_path, protocol=long, dataset=hard, trials=8) == tuned


def test_a_diverging_trial_counts_and_a_broken_block_ends_the_tuning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def first_diverges(*arguments: Any, **listeners: Any) -> TrainingRecord:
        calls.append(1)
        if len(calls) == 1:
            raise DivergenceError("the loss is nan in epoch 1")
        return train_placement(*arguments, **listeners)

    monkeypatch.setattr(trial, "train_placement", first_diverges)
    tuned = tuned_at_mid(tmp_path)
    assert [trial.state for trial in tuned.trials] == ["diverged", "complete", "complete"]
    assert tuned.best.index in (1, 2)

    def broken(*_: Any, **__: Any) -> TrainingRecord:
        raise BlockError("raises on a batch")

    monkeypatch.setattr(trial, "train_placement", broken)
    with pytest.raises(BlockError, match="raises on a batch"):
        tuned_at_mid(tmp_path / "broken")


def test_a_record_of_the_tuned_track_says_what_was_chosen_and_how(tmp_path: Path) -> None:
    tuned = tuned_at_mid(tmp_path)
    options = RunOptions(notes="by hand")
    record = train_tuned(tuned, dataset=DATA, seed=0, device="cpu", options=options)
    assert record.protocol == "tiny+tuned3"
    settings = tuned_settings(tuned, DATA, seed=0, device="cpu", compiled=False)
    assert record.trial_id == training_trial_id(tuned.placement, settings)
    assert record.recipe["learning_rate"] == tuned.best.point["learning_rate"]
    assert record.recipe["weight_decay"] == tuned.best.point["weight_decay"]
    assert record.recipe["drop_path"] == tuned.best.point["drop_path"]
    assert record.recipe["tuning"] == {
        "trials": 3,
        "stopped": 0,
        "diverged": 0,
        "chosen_trial": tuned.best.index,
        "val_accuracy": tuned.best.value,
        "seed": TUNING_SEED,
        "space": {
            "learning_rate": list(search_space(PROTOCOL)["learning_rate"]),
            "weight_decay": [1e-4, 1e-1],
            "drop_path": [0.0, 0.3],
        },
    }
    assert record.dataset_fingerprint == DATA.fingerprint
    assert (record.seed, record.notes, record.positions) == (0, "by hand", (Position.MID,))
    assert TrainingRecord.model_validate_json(record.model_dump_json()) == record


def test_noise_for_test_images_changes_nothing_but_what_is_read_at_the_end(tmp_path: Path) -> None:
    def outcome(folder: str, dataset: ImageDataset) -> tuple[object, float | None]:
        tuned = tuned_at_mid(tmp_path / folder, dataset=dataset)
        record = train_tuned(tuned, dataset=dataset, seed=1, device="cpu")
        clock = {"seconds": 0.0, "images_per_s": 0.0, "elapsed_seconds": 0.0}
        learned = [epoch.model_copy(update=clock) for epoch in record.epochs]
        return (record.recipe, record.best_epoch, learned), record.test_accuracy

    real, real_accuracy = outcome("real", DATA)
    noise, noise_accuracy = outcome("noise", with_noise_for_test(DATA))
    assert real == noise
    assert real_accuracy != noise_accuracy


def test_budgets_and_changed_protocols_have_labels_of_their_own() -> None:
    v1 = get_protocol("v1")
    assert tuned_label(v1, 16) == "v1+tuned"
    assert tuned_label(v1, 8) == "v1+tuned8"
    shorter = v1.changed(epochs=5)
    assert tuned_label(shorter, 16) == f"{shorter.label}+tuned" != "v1+tuned"


_TUNE_FOREVER = """
import sys
from pathlib import Path
import torch
from tests.experiments.tuning.test_tune import tuned_at_mid
torch.set_num_threads(1)  # as in the tests: sums over two threads may differ in their last bit
tuned_at_mid(Path(sys.argv[1]), trials=4, on_trial=lambda trial: print(trial.index, flush=True))
"""


@pytest.mark.slow
@pytest.mark.parametrize("delay_s", [0.0, 0.05, 0.2])
def test_a_killed_tuning_goes_on_to_the_same_choice(tmp_path: Path, delay_s: float) -> None:
    whole = tuned_at_mid(tmp_path / "whole", trials=4)
    command = [sys.executable, "-c", _TUNE_FOREVER, str(tmp_path / "cut")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "0\n"
        time.sleep(delay_s)
        os.kill(process.pid, signal.SIGKILL)
    assert tuned_at_mid(tmp_path / "cut", trials=4) == whole


def test_a_tuning_shows_what_it_chose() -> None:
    network = tuned_network("ResNetBasicBlock", "mid", PROTOCOL, DATA)
    tries = (
        Try(index=0, point={"learning_rate": 0.01}, state="complete", value=0.5),
        Try(index=1, point={"learning_rate": 0.0123456}, state="complete", value=0.625),
    )
    found = Tuning(placement=network.placement, protocol=PROTOCOL, trials=tries)
    none = replace(found, trials=(Try(index=0, point={}, state="diverged", reason="nan"),))

    assert repr(found) == (
        "<Tuning: block ResNetBasicBlock, position mid, protocol tiny+tuned2, trials 2, "
        "val accuracy 62.50%, chosen learning_rate 0.01235>"
    )
    assert repr(none).endswith("trials 1>")
