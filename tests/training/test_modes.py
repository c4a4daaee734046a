"""Blocks whose weights mean something else in eval mode are trained as their plain twins are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockzoo.core.errors import BlockError
from blockzoo.measure.costs.meta import in_mode
from blockzoo.results.records import EpochMetrics
from blockzoo.training.fit import FitResult, fit
from blockzoo.training.optimisation import WeightAverage
from blockzoo.training.run_options import RunOptions
from tests.training.samples import TINY_RECIPE, tiny_dataset, training_settings

DATA = tiny_dataset(per_class=20)
RECIPE = replace(TINY_RECIPE, epochs=4, learning_rate=0.0005)


class LowRank(nn.Conv2d):
    """A convolution by W + B A, computed at each call."""

    def __init__(self) -> None:
        super().__init__(3, 8, 3, padding=1, bias=False)
        self.a = nn.Parameter(torch.randn(2, 27) / 5)
        self.b = nn.Parameter(torch.randn(8, 2) / 5)

    def update(self) -> Tensor:
        return (self.b @ self.a).view_as(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight + self.update(), padding=1)


class FoldedInEval(LowRank):
    """The same, with B A folded into W in eval mode.

    As microsoft/LoRA's layers, whose weights differ after a checkpoint (#190).
    """

    merged = False

    def train(self, mode: bool = True) -> FoldedInEval:
        if self.merged == mode:
            with torch.no_grad():
                self.weight += -self.update() if mode else self.update()
            self.merged = not mode
        return super().train(mode)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, padding=1) if self.merged else super().forward(x)


class CachedInEval(LowRank):
    """The same, with the sum kept from the first call in eval mode until `train()` is called.

    As timm's attention keeps its biases (huggingface/pytorch-image-models #2795).
    """

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[str, Tensor] = {}

    def train(self, mode: bool = True) -> CachedInEval:
        if mode:
            self.kept = {}
        return super().train(mode)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return super().forward(x)
        if not self.kept:
            self.kept["sum"] = self.weight + self.update()
        return F.conv2d(x, self.kept["sum"], padding=1)


class NewBuffer(LowRank):
    """The same, beside a buffer that is another tensor after each call in training."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Tensor
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.calls = self.calls + 1
        return super().forward(x)


class ScaledInForward(nn.Conv2d):
    """Weights of length one, made so in place before each step.

    As the convolutions of NVlabs/edm2 (see locuslab/ect #21 for what an average makes of them).
    """

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            with torch.no_grad():
                self.weight /= self.weight.flatten(1).norm(dim=1)[:, None, None, None]
        return super().forward(x)


def net_of(kind: type[nn.Module], *arguments: Any) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        head = (nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))
        return nn.Sequential(kind(*arguments), *head)


def trained(net: nn.Module, ema_decay: float, **options: Any) -> FitResult:
    recipe = replace(RECIPE, ema_decay=ema_decay)
    return fit(net, training_settings(DATA, recipe, seed=1), **options)


def losses(result: FitResult) -> list[float]:
    return [epoch.val_loss for epoch in result.epochs] + [result.test_loss]


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
@pytest.mark.parametrize("kind", [FoldedInEval, CachedInEval, NewBuffer])
def test_it_learns_what_its_plain_twin_learns(kind: type[LowRank], ema_decay: float) -> None:
    plain, net = net_of(LowRank), net_of(kind)
    expected = losses(trained(plain, ema_decay))
    assert len(set(expected)) == len(expected)
    assert losses(trained(net, ema_decay)) == pytest.approx(expected, rel=1e-4)
    weights = net.state_dict()
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(weights[name], value, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_it_goes_on_from_a_checkpoint_as_if_it_had_not_stopped(
    ema_decay: float, tmp_path: Path
) -> None:
    def stop(metrics: EpochMetrics) -> None:
        if metrics.epoch == 2:
            raise KeyboardInterrupt

    whole = trained(net_of(FoldedInEval), ema_decay)
    path = tmp_path / "a.ckpt"
    with pytest.raises(KeyboardInterrupt):
        trained(net_of(FoldedInEval), ema_decay, checkpoint=path, on_epoch=stop)
    resumed = trained(net_of(FoldedInEval), ema_decay, checkpoint=path, options=RunOptions())
    assert losses(resumed) == pytest.approx(losses(whole), rel=1e-4)


def test_a_run_without_data_in_eval_mode_leaves_weights_as_they_were() -> None:
    net = net_of(FoldedInEval)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with in_mode(net, training=False):
        assert not torch.equal(net.state_dict()["0.weight"], before["0.weight"])
    torch.testing.assert_close(net.state_dict()["0.weight"], before["0.weight"])
    assert not net.get_submodule("0").merged


class Flagged(nn.Conv2d):
    """With frozen flags among its parameters."""

    def __init__(self) -> None:
        super().__init__(3, 8, 3)
        self.flags = nn.Parameter(torch.tensor([True, False]), requires_grad=False)


def test_flags_are_no_weights_to_be_looked_at() -> None:
    assert trained(net_of(Flagged), 0.0).best_epoch >= 1


def test_weights_that_are_scaled_in_training_stay_of_length_one() -> None:
    net = net_of(ScaledInForward, 3, 8, 3)
    result = trained(net, 0.9)
    assert result.val_loss == result.epochs[result.best_epoch - 1].val_loss
    norms = net.get_parameter("0.weight").flatten(1).norm(dim=1)
    assert ((norms > 0.9) & (norms < 1.1)).all()  # an average of such weights is a little shorter


class ChangedForGood(nn.Conv2d):
    def train(self, mode: bool = True) -> ChangedForGood:
        if not mode:
            self.weight.data *= 2
        return super().train(mode)


def test_weights_that_eval_mode_changes_for_good_are_refused_by_name() -> None:
    with pytest.raises(BlockError, match=r"another 0\.weight after it was in eval mode"):
        trained(net_of(ChangedForGood, 3, 8, 3), 0.0)


def test_a_weight_of_two_names_is_averaged_once() -> None:
    net = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False))
    net[1].weight = net[0].weight
    net[0].weight.data.fill_(0.0)  # type: ignore[operator]
    average = WeightAverage(net, 0.5)
    average.steps = 20
    net[0].weight.data.fill_(1.0)  # type: ignore[operator]
    average.update()
    (value,) = average.net.parameters()
    assert value.item() == 0.5
