from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from blockzoo.core.run_way import RunWay
from blockzoo.data import ImageDataset, load_dataset
from blockzoo.experiments.exported import Exported, exported_accuracies
from blockzoo.experiments.train import train_block
from blockzoo.results.records import TrainingRecord
from blockzoo.scaffold.net import ScaffoldConfig
from blockzoo.training.recipe import get_recipe
from blockzoo.training.run_options import RunOptions

INT8 = RunWay(backend="onnxruntime", precision="int8")
WAYS = [RunWay(), RunWay(backend="onnxruntime"), INT8]


@pytest.fixture(scope="module")
def digits() -> ImageDataset:
    return load_dataset("digits@16")


@pytest.fixture(scope="module")
def record(digits: ImageDataset, tmp_path_factory: pytest.TempPathFactory) -> TrainingRecord:
    return train_block(
        "ResNetBasicBlock",
        "mid",
        dataset=digits,
        recipe=replace(get_recipe("quick3"), epochs=2, precision="fp32"),
        seed=0,
        config=ScaffoldConfig(width=8, depth=1),
        device="cpu",
        options=RunOptions(save_weights=tmp_path_factory.mktemp("weights")),
    )


def test_exported_networks_answer_as_trained_ones(
    record: TrainingRecord, digits: ImageDataset
) -> None:
    eager, onnx, int8 = exported_accuracies([record], digits, WAYS)
    assert record.test_accuracy is not None
    # A network that has learned nothing would answer as any other.
    assert record.test_accuracy > 0.3
    assert (eager.reason, onnx.reason, int8.reason) == ("", "", "")
    for way in (eager, onnx):
        assert way.accuracy == pytest.approx(record.test_accuracy, abs=1 / 359)
        assert way.agreement == pytest.approx(1.0, abs=1 / 359)
    assert int8.agreement is not None
    assert 0.8 < int8.agreement <= 1.0
    assert eager.exported_bytes is None
    assert onnx.exported_bytes is not None
    assert int8.exported_bytes is not None
    # Four bytes a weight, against one.
    assert int8.exported_bytes < 0.6 * onnx.exported_bytes


def test_what_cannot_be_run_says_why(record: TrainingRecord, digits: ImageDataset) -> None:
    (eager_int8,) = exported_accuracies([record], digits, [RunWay(precision="int8")])
    assert eager_int8.reason == "int8 is for onnxruntime"
    gone = record.model_copy(update={"weights_path": "gone.pt"})
    (missing,) = exported_accuracies([gone], digits, [RunWay()])
    assert missing.reason == "the weights are not at gone.pt any more"
    assert missing.accuracy is None


def test_weights_that_are_not_those_of_the_record_are_refused(
    record: TrainingRecord, digits: ImageDataset, tmp_path: Path
) -> None:
    weights = torch.load(record.weights_path or "", weights_only=True)
    other = tmp_path / "other.pt"
    torch.save({name: torch.zeros_like(value) for name, value in weights.items()}, other)
    swapped = record.model_copy(update={"weights_path": str(other)})
    (found,) = exported_accuracies([swapped], digits, [RunWay()])
    assert "of the test images otherwise than the training recorded" in found.reason


def test_trainings_on_other_data_or_without_weights_are_passed_over(
    record: TrainingRecord, digits: ImageDataset
) -> None:
    others = [
        record.model_copy(update={"dataset_fingerprint": "another"}),
        record.model_copy(update={"weights_path": None}),
    ]
    found: list[Exported] = list(exported_accuracies(others, digits, WAYS))
    assert found == []
