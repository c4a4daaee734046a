from __future__ import annotations

import hashlib
import math

import pytest
import torch

from blockzoo.core.errors import DivergenceError
from blockzoo.results.answers import unpacked
from blockzoo.results.records import EpochMetrics
from blockzoo.training.metrics import (
    STEPS_BETWEEN_CHECKS,
    RunningMetrics,
    StepLosses,
    TestMetrics,
    check_validation,
)


def test_a_tally_weighs_every_image_alike() -> None:
    tally = RunningMetrics()
    tally.add(torch.tensor([[0.0, 0.0], [math.log(3), 0.0]]), torch.tensor([1, 0]))
    tally.add(torch.tensor([[math.log(3), 0.0]]), torch.tensor([1]))
    expected = (math.log(2) + math.log(4 / 3) + math.log(4)) / 3
    assert tally.images == 3
    assert tally.loss == pytest.approx(expected, rel=1e-6)
    assert tally.accuracy == pytest.approx(1 / 3)


def test_a_tally_computes_in_single_precision() -> None:
    tally = RunningMetrics()
    tally.add(torch.zeros(5, 3, dtype=torch.bfloat16), torch.zeros(5, dtype=torch.int64))
    assert tally.loss == pytest.approx(math.log(3), rel=1e-6)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("step", [1, 7, STEPS_BETWEEN_CHECKS, STEPS_BETWEEN_CHECKS + 3])
def test_the_first_loss_that_is_not_finite_is_named(bad: float, step: int) -> None:
    losses = StepLosses("block X (mid)", epoch=4)

    def train() -> None:
        for index in range(1, step + 3):
            losses.add(torch.tensor(bad if index >= step else 1.0), 0.5 / index)
        losses.check()

    expected = rf"block X \(mid\): the loss is {bad} in epoch 4, step {step}, at learning rate"
    with pytest.raises(DivergenceError, match=f"{expected} {0.5 / step:.6g}"):
        train()


def test_finite_losses_pass_and_the_last_rate_is_kept() -> None:
    losses = StepLosses("block X", epoch=1)
    for step in range(2 * STEPS_BETWEEN_CHECKS + 1):
        losses.add(torch.tensor(float(step)), step / 10)
    losses.check()
    losses.check()
    assert losses.last_rate == pytest.approx(2 * STEPS_BETWEEN_CHECKS / 10)


def test_a_validation_loss_that_is_not_finite_is_divergence() -> None:
    metrics = EpochMetrics(
        epoch=3,
        learning_rate=0.1,
        train_loss=1.0,
        train_accuracy=0.5,
        val_loss=math.inf,
        val_accuracy=0.5,
        seconds=1.0,
    )
    with pytest.raises(DivergenceError, match="X: the validation loss is inf after epoch 3, at le"):
        check_validation(metrics, "X")


def test_top5_is_there_only_with_more_than_five_classes() -> None:
    few, many = RunningMetrics(), RunningMetrics()
    few.add(torch.eye(5), torch.arange(5))
    many.add(torch.arange(8.0).expand(8, 8), torch.arange(8))
    assert few.top5_accuracy is None
    assert many.top5_accuracy == 5 / 8


def test_answers_are_those_of_the_images_in_order_however_they_are_batched() -> None:
    logits = torch.randn(21, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(21) % 4
    whole, parts = TestMetrics(4), TestMetrics(4)
    whole.add(logits, labels)
    for first, last in ((0, 5), (5, 6), (6, 21)):
        parts.add(logits[first:last], labels[first:last])
    expected = logits.argmax(1) == labels
    assert unpacked(parts.correct, parts.images).tolist() == expected.tolist()
    assert parts.accuracy == int(expected.sum()) / 21
    digest = hashlib.sha256(logits.numpy().tobytes()).hexdigest()
    assert whole.logits_sha256 == parts.logits_sha256 == digest
    assert whole.correct == parts.correct


def test_the_hash_of_logits_is_of_single_precision() -> None:
    """bf16 has no other representation of its values than float32 has."""
    logits = torch.tensor([[0.5, 1.25]], dtype=torch.bfloat16)
    half, single = TestMetrics(2), TestMetrics(2)
    half.add(logits, torch.tensor([1]))
    single.add(logits.float(), torch.tensor([1]))
    assert half.logits_sha256 == single.logits_sha256
    other = TestMetrics(2)
    other.add(logits.float() + 1e-6, torch.tensor([1]))
    assert other.logits_sha256 != single.logits_sha256


def test_calibration_and_classes_by_hand() -> None:
    """Three sure and right, one sure and wrong: confidence 0.8 against an accuracy of 0.75."""
    tally = TestMetrics(3)
    logits = torch.tensor([0.8, 0.1, 0.1]).log().expand(4, 3)
    tally.add(logits[:1], torch.tensor([0]))
    tally.add(logits[1:], torch.tensor([0, 0, 1]))
    assert tally.calibration_error == pytest.approx(0.05)
    assert tally.class_accuracy == (1.0, 0.0, None)
    assert tally.accuracy == 0.75
