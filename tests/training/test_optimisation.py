from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from blockzoo.training.optimisation import build_optimizer, build_scheduler, rate_factor
from tests.training.samples import TINY_RECIPE, tiny_net


@pytest.mark.parametrize(
    ("name", "kind"),
    [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)],
)
def test_the_optimizer_is_the_named_one(name: Any, kind: type) -> None:
    recipe = replace(TINY_RECIPE, optimizer=name, momentum=0.8)
    optimizer = build_optimizer(tiny_net(), recipe)
    assert type(optimizer) is kind
    assert {group["lr"] for group in optimizer.param_groups} == {0.01}
    if name == "sgd":
        assert {group["momentum"] for group in optimizer.param_groups} == {0.8}
        assert all(group["nesterov"] for group in optimizer.param_groups)


def test_weights_decay_and_biases_and_normalisation_do_not() -> None:
    net = tiny_net()
    frozen = nn.Parameter(torch.ones(2, 2), requires_grad=False)
    net.register_parameter("frozen", frozen)
    decayed, plain = build_optimizer(net, replace(TINY_RECIPE, weight_decay=0.5)).param_groups
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.5, 0.0)
    assert sorted(p.ndim for p in decayed["params"]) == [2, 4]
    assert {p.ndim for p in plain["params"]} == {1}
    assert len(decayed["params"]) + len(plain["params"]) == len(list(net.parameters())) - 1


def test_warm_up_then_cosine_by_hand() -> None:
    recipe = replace(TINY_RECIPE, epochs=3, warmup_epochs=1.0)
    factor = rate_factor(recipe, steps_per_epoch=4)
    assert [factor(step) for step in range(4)] == [0.25, 0.5, 0.75, 1.0]
    assert factor(4) == 1.0
    assert factor(8) == pytest.approx(0.5)
    assert factor(12) == pytest.approx(0.0)
    assert factor(11) > 0


def test_constant_stays_after_warm_up() -> None:
    recipe = replace(TINY_RECIPE, schedule="constant", warmup_epochs=0.5)
    factor = rate_factor(recipe, steps_per_epoch=4)
    assert [factor(step) for step in range(5)] == [0.5, 1.0, 1.0, 1.0, 1.0]


def test_a_warm_up_longer_than_the_training_never_ends() -> None:
    factor = rate_factor(replace(TINY_RECIPE, epochs=1, warmup_epochs=9.0), steps_per_epoch=4)
    assert [factor(step) for step in range(4)] == [0.25, 0.5, 0.75, 1.0]


def test_a_plateau_divides_by_ten_after_more_than_five_epochs_without_progress() -> None:
    recipe = replace(TINY_RECIPE, schedule="plateau")
    optimizer = build_optimizer(tiny_net(), recipe)
    scheduler = build_scheduler(optimizer, recipe, 4)
    assert isinstance(scheduler, ReduceLROnPlateau)
    rates = []
    for _ in range(8):
        scheduler.step(1.0)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.01] * 6 + [0.001] * 2)


def test_other_schedules_go_by_step() -> None:
    recipe = replace(TINY_RECIPE, warmup_epochs=1.0)
    optimizer = build_optimizer(tiny_net(), recipe)
    assert isinstance(build_scheduler(optimizer, recipe, 4), LambdaLR)
    assert optimizer.param_groups[1]["lr"] == pytest.approx(0.0025)
