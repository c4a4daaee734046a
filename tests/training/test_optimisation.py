from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from blockzoo.blocks import list_available_blocks
from blockzoo.scaffold.net import ScaffoldConfig
from blockzoo.scaffold.placement import Placement
from blockzoo.training.optimisation import (
    build_optimizer,
    build_scheduler,
    kernels_of,
    rate_factor,
)
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


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_complex_weights_learn(name: Any) -> None:
    """Which fused kernels refuse; see pytorch/pytorch #59803, neuraloperator's spectral weights."""
    layer = nn.Linear(2, 1, bias=False, dtype=torch.cfloat)
    before = layer.weight.detach().clone()
    optimizer = build_optimizer(layer, replace(TINY_RECIPE, optimizer=name))
    layer(torch.ones(1, 2, dtype=torch.cfloat)).abs().sum().backward()
    optimizer.step()
    assert bool((layer.weight.real != before.real).all())
    assert bool((layer.weight.imag != before.imag).all())


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


BESIDE_BIASES_AND_NORMS = {
    ("AffineScale", "weight"),
    ("CascadedGroupAttention", "attention_biases"),
    ("ConvBlock", "gamma"),
    ("ConvNeXtBlock", "gamma"),
    ("CrossCovarianceAttn", "temperature"),
    ("Decomposition", "strength"),
    ("DenseBlock", "gamma"),
    ("EfficientAdditiveAttention", "w_g"),
    ("EfficientModBlock", "gamma"),
    ("EfficientViMBlock", "alpha"),
    ("GlobalResponseNorm", "weight"),
    ("HSMSSD", "A"),
    ("HSMSSD", "D"),
    ("LarKBlock", "gamma"),
    ("LayerScale2d", "gamma"),
    ("LearnableAffineBlock", "scale"),
    ("MetaNeXtBlock", "gamma"),
    ("NormFreeBlock", "skipinit_gain"),
    ("ParameterList", "0"),
    ("ParameterList", "1"),
    ("ParameterList", "2"),
    ("RmsNormAct2d", "weight"),
    ("SLaKBlock", "gamma"),
    ("Scale", "scale"),
    ("ScaledResidual", "gamma"),
    ("ScaledStdConv2d", "gain"),
    ("SplitTransposeBlock", "gamma"),
    ("SplitTransposeBlock", "gamma_xca"),
    ("StarReLU", "scale"),
    ("WTConv2d", "base_scale"),
}


def test_of_every_block_only_kernels_decay() -> None:
    """What does not, beside biases and norms: scales however stored, gates, tables; by hand."""
    scaffold = ScaffoldConfig(width=32, depth=1)
    still: set[tuple[str, str]] = set()
    for block in list_available_blocks():
        for position in ("mid", "late"):
            stage = Placement.of(block, position, scaffold).meta_stage()
            kernels = {id(kernel) for kernel in kernels_of(stage)}
            for path, parameter in stage.named_parameters():
                owner, _, name = path.rpartition(".")
                module = stage.get_submodule(owner)
                if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear) and name == "weight":
                    assert id(parameter) in kernels, f"{block}: {path}"
                elif isinstance(module, nn.BatchNorm2d | nn.GroupNorm | nn.LayerNorm):
                    assert id(parameter) not in kernels, f"{block}: {path}"
                elif id(parameter) not in kernels and name != "bias":
                    still.add((type(module).__name__, name))
    assert still == BESIDE_BIASES_AND_NORMS


@pytest.mark.parametrize(
    ("block", "path", "shape", "decays"),
    [
        ("RepMixer", "0.layer_scale.gamma", (32, 1, 1), False),
        ("ConvNeXtBlock", "0.gamma", (32,), False),
        ("NFNetBlock", "0.conv1.gain", (16, 1, 1, 1), False),
        ("EdgeNeXtSDTA", "0.xca.temperature", (8, 1, 1), False),
        ("WTConvNeXtBlock", "0.conv_dw.scales.0", (128, 1, 1), False),
        ("EfficientViMBlock", "0.block.alpha", (4, 32), False),
        ("EfficientViTCGA", "0.mixer.m.attn.attention_biases", (4, 49), False),
        ("ODConvBasicBlock", "0.branch.0.weight", (128, 32, 3, 3), True),
        ("CondConvMBConv", "0.conv_pw.weight", (4, 6144), True),
        ("DBBBasicBlock", "0.branch.0.before_dense.0.deviation", (32, 32, 1, 1), True),
        ("ECABasicBlock", "0.se.conv.weight", (1, 1, 3), True),
        ("MobileOneBlock", "0.0.conv_scale.conv.weight", (32, 1, 1, 1), True),
        ("NFNetBlock", "0.conv1.weight", (16, 32, 1, 1), True),
    ],
)
def test_whether_a_parameter_decays_does_not_hang_on_how_it_is_stored(
    block: str, path: str, shape: tuple[int, ...], decays: bool
) -> None:
    stage = Placement.of(block, "early", ScaffoldConfig(width=32, depth=1)).meta_stage()
    parameter = stage.get_parameter(path)
    assert tuple(parameter.shape) == shape
    assert (id(parameter) in {id(kernel) for kernel in kernels_of(stage)}) is decays


class Held(nn.Module):
    """A parameter that a module holds beside its layers."""

    def __init__(self, name: str, *shape: int) -> None:
        super().__init__()
        self.register_parameter(name, nn.Parameter(torch.ones(shape)))


@pytest.mark.parametrize(
    ("module", "decayed"),
    [
        (Held("mix", 8, 8), 1),
        (Held("mixing_kernel", 8, 1, 3, 3), 1),
        (Held("multi_scale_weight", 8, 8), 1),
        (Held("mix", 1, 8, 1, 1), 0),
        (Held("pos_embed", 1, 8, 4, 4), 0),
        (Held("relative_position_bias_table", 49, 4), 0),
        (Held("logit_scale", 4, 1, 1), 0),
        (nn.LayerNorm((8, 4, 4)), 0),
        (nn.Embedding(10, 8), 0),
        (nn.ConvTranspose2d(4, 8, 2), 1),
        (nn.Bilinear(3, 4, 5), 1),
        (nn.MultiheadAttention(8, 2), 2),
        (nn.LSTM(4, 4), 2),
        (nn.ParameterList([nn.Parameter(torch.ones(3, 3)), nn.Parameter(torch.ones(3, 1))]), 1),
        (torch.nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 8, 3)), 1),
        (nn.Sequential(nn.Conv2d(4, 8, 3), nn.BatchNorm2d(8), nn.PReLU(8)), 1),
    ],
)
def test_kernels_of_layers_and_of_what_modules_hold_themselves(
    module: nn.Module, decayed: int
) -> None:
    assert len(list(kernels_of(module))) == decayed
