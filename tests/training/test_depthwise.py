"""Depthwise convolutions that a CPU is slow at in bfloat16 are trained in fp32, and no others."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from blockzoo.training.arithmetic import Arithmetic, fast_depthwise
from blockzoo.training.fit import fit
from tests.training.samples import TINY_RECIPE, tiny_dataset, training_settings

BF16 = Arithmetic(precision="bf16", channels_last=False)
FP32 = Arithmetic(precision="fp32", channels_last=False)
CPU = torch.device("cpu")

SLOW = (
    nn.Conv2d(16, 16, 3, stride=2, padding=1, groups=16),
    nn.Conv2d(16, 16, 3, dilation=2, padding=2, groups=16),
    nn.Conv2d(16, 16, 5, padding=2, groups=16),
    nn.Conv2d(16, 32, (1, 7), padding=(0, 3), groups=16),
)
FAST = (
    nn.Conv2d(16, 16, 3, padding=1, groups=16),
    nn.Conv2d(16, 16, 1, groups=16),
    nn.Conv2d(16, 16, 3, stride=2, padding=1),
    nn.Conv2d(16, 16, 5, padding=2, groups=8),
    nn.Conv2d(1, 16, 7, stride=2, padding=3),
)


@pytest.mark.parametrize("conv", SLOW)
def test_slow_ones_are_computed_in_fp32(conv: nn.Conv2d) -> None:
    images = torch.randn(2, 16, 8, 8, generator=torch.Generator().manual_seed(0))
    exact = conv(images.bfloat16().float())
    with fast_depthwise(conv, BF16, CPU), torch.autocast("cpu", dtype=torch.bfloat16):
        output = conv(images.bfloat16())
        output.float().sum().backward()
    assert torch.equal(output, exact.bfloat16())
    assert conv.weight.grad is not None
    assert conv.weight.grad.dtype is torch.float32
    conv.zero_grad()


@pytest.mark.parametrize("conv", FAST)
def test_fast_ones_stay_in_bfloat16(conv: nn.Conv2d) -> None:
    with fast_depthwise(conv, BF16, CPU):
        assert type(conv) is nn.Conv2d


@pytest.mark.parametrize(
    ("arithmetic", "device"), [(FP32, CPU), (BF16, torch.device("cuda"))], ids=["fp32", "cuda"]
)
def test_nothing_changes_elsewhere(arithmetic: Arithmetic, device: torch.device) -> None:
    with fast_depthwise(SLOW[0], arithmetic, device):
        assert type(SLOW[0]) is nn.Conv2d


def test_a_subclass_keeps_its_own_forward() -> None:
    class Doubled(nn.Conv2d):
        def forward(self, input: Tensor) -> Tensor:
            return 2 * super().forward(input)

    conv = Doubled(16, 16, 5, groups=16)
    with fast_depthwise(conv, BF16, CPU):
        assert type(conv) is Doubled


def test_copies_keep_it_and_all_is_as_it_was_after_an_error() -> None:
    net = nn.Sequential(copy.deepcopy(SLOW[0]), copy.deepcopy(FAST[0]))
    with fast_depthwise(net, BF16, CPU):
        inside = [type(layer) for layer in net]
        of_copy = [type(layer) for layer in copy.deepcopy(net)]
    assert of_copy == inside
    assert [kind is nn.Conv2d for kind in inside] == [False, True]
    with pytest.raises(ValueError, match="inside"):
        _raise_inside(net)
    assert [type(layer) for layer in net] == [nn.Conv2d, nn.Conv2d]


def _raise_inside(net: nn.Module) -> None:
    with fast_depthwise(net, BF16, CPU):
        raise ValueError("inside")


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_fit_uses_it(precision: Literal["bf16", "fp32"]) -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.Conv2d(16, 16, 3, stride=2, padding=1, groups=16),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 2),
    )
    seen: set[tuple[type[nn.Module], torch.dtype]] = set()
    net[1].register_forward_hook(lambda conv, _, output: seen.add((type(conv), output.dtype)))
    recipe = replace(TINY_RECIPE, precision=precision)
    fit(net, training_settings(tiny_dataset(), recipe))
    expected = torch.bfloat16 if precision == "bf16" else torch.float32
    assert {dtype for _, dtype in seen} == {expected}
    assert (nn.Conv2d in {kind for kind, _ in seen}) == (precision == "fp32")
    assert type(net[1]) is nn.Conv2d
