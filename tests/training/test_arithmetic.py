from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from blockzoo.core.errors import InputError
from blockzoo.training import arithmetic
from blockzoo.training.arithmetic import (
    Arithmetic,
    contiguous_where_narrow,
    profits_from_bf16,
    resolve_arithmetic,
)
from blockzoo.training.fit import fit
from tests.training.samples import TINY_RECIPE, tiny_dataset, training_settings

CPU = torch.device("cpu")
WIDE = nn.Sequential(nn.Conv2d(3, 16, 3), nn.Conv2d(16, 16, 3))
NARROW = nn.Sequential(nn.Conv2d(3, 16, 3), nn.Conv2d(16, 15, 3))
LAST_IN_FP32 = Arithmetic(precision="fp32", channels_last=True)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [("fpu avx512f avx512_bf16", True), ("fpu amx_bf16 sse", True), ("fpu avx512f avx2", False)],
)
def test_a_cpu_profits_if_it_has_the_instructions(
    monkeypatch: pytest.MonkeyPatch, flags: str, expected: bool
) -> None:
    monkeypatch.setattr(arithmetic, "cpu_flags", lambda: frozenset(flags.split()))
    assert profits_from_bf16(CPU) is expected


def test_a_cpu_that_cannot_be_read_is_taken_not_to_profit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(arithmetic, "cpu_flags", lambda: frozenset())
    assert profits_from_bf16(CPU) is False


@pytest.mark.parametrize(
    ("asked", "profits", "expected"),
    [
        (("auto", "auto"), True, ("bf16", True)),
        (("auto", "auto"), False, ("fp32", False)),
        (("fp32", "auto"), True, ("fp32", False)),
        (("bf16", "auto"), False, ("bf16", True)),
        (("auto", False), True, ("bf16", False)),
        (("fp32", True), False, ("fp32", True)),
        (("fp32", "safe"), False, ("fp32", True)),
    ],
)
def test_auto_takes_what_profits_and_the_rest_is_as_asked(
    monkeypatch: pytest.MonkeyPatch, asked: Any, profits: bool, expected: Any
) -> None:
    monkeypatch.setattr(arithmetic, "profits_from_bf16", lambda device: profits)
    recipe = replace(TINY_RECIPE, precision=asked[0], channels_last=asked[1])
    resolved = resolve_arithmetic(recipe, CPU, WIDE)
    assert resolved == Arithmetic(precision=expected[0], channels_last=expected[1])


def test_narrow_convolutions_stay_contiguous_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arithmetic, "profits_from_bf16", lambda device: True)
    auto = replace(TINY_RECIPE, precision="auto", channels_last="auto")
    assert not resolve_arithmetic(auto, CPU, NARROW).channels_last
    assert resolve_arithmetic(auto, torch.device("cuda"), NARROW).channels_last
    with pytest.raises(InputError, match=r"needs convolutions of 16 or more channels.* has 15"):
        resolve_arithmetic(replace(auto, channels_last=True), CPU, NARROW)
    in_fp32 = replace(auto, channels_last=True, precision="fp32")
    assert resolve_arithmetic(in_fp32, CPU, NARROW) == LAST_IN_FP32
    with pytest.raises(InputError, match=r"needs convolutions of 16 or more channels.* has 8"):
        resolve_arithmetic(in_fp32, CPU, nn.Sequential(NARROW, _OfItsOwn(8, 8, 1)))


@pytest.mark.parametrize("side", [1, 4])
@pytest.mark.parametrize("kernel", [1, 3])
def test_no_narrow_convolution_sees_a_channels_last_stride(
    monkeypatch: pytest.MonkeyPatch, kernel: int, side: int
) -> None:
    # Of kernels and images of 1x1 both layouts are "contiguous", and torch goes by the strides.
    conv = nn.Conv2d(16, 8, kernel, padding=kernel // 2).to(memory_format=torch.channels_last)
    images = torch.rand(2, 16, side, side).to(memory_format=torch.channels_last)
    expected, seen = conv(images), []
    compute = nn.Conv2d._conv_forward

    def watched(self: nn.Conv2d, images: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        seen.extend([images, weight])
        output: Tensor = compute(self, images, weight, bias)
        return output

    monkeypatch.setattr(nn.Conv2d, "_conv_forward", watched)
    with contiguous_where_narrow(conv, LAST_IN_FP32, CPU):
        found = conv(images)
    torch.testing.assert_close(found, expected)
    assert [each.stride() for each in seen] == [torch.empty(each.shape).stride() for each in seen]


class _OfItsOwn(nn.Conv2d):
    pass


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_safe_layout_is_the_same_on_every_device(device: str) -> None:
    def layout(net: nn.Module, precision: Any) -> bool:
        recipe = replace(TINY_RECIPE, precision=precision, channels_last="safe")
        return resolve_arithmetic(recipe, torch.device(device), net).channels_last

    assert layout(WIDE, "fp32")
    assert layout(WIDE, "bf16")
    assert layout(NARROW, "fp32")
    assert not layout(NARROW, "bf16")
    assert not layout(nn.Sequential(WIDE, _OfItsOwn(8, 8, 1)), "fp32")


def test_narrow_convolutions_are_contiguous_inside_alone() -> None:
    wide, narrow = nn.Conv2d(16, 16, 3), nn.Conv2d(16, 8, 3)
    net = nn.Sequential(wide, narrow).to(memory_format=torch.channels_last)
    images = torch.randn(2, 16, 8, 8, generator=torch.Generator().manual_seed(0))
    images = images.contiguous(memory_format=torch.channels_last)
    expected = net(images)
    with contiguous_where_narrow(net, LAST_IN_FP32, CPU):
        between = wide(images)
        output = narrow(between)
        output.sum().backward()
    torch.testing.assert_close(output, expected)
    assert between.is_contiguous(memory_format=torch.channels_last)
    assert output.is_contiguous()
    assert narrow.weight.grad is not None
    assert type(narrow) is type(wide) is nn.Conv2d


@pytest.mark.parametrize(
    ("arithmetic", "device"),
    [
        (Arithmetic(precision="fp32", channels_last=False), CPU),
        (Arithmetic(precision="bf16", channels_last=True), CPU),
        (Arithmetic(precision="fp32", channels_last=True), torch.device("cuda")),
    ],
)
def test_nothing_is_contiguous_that_need_not_be(arithmetic: Arithmetic, device: Any) -> None:
    with contiguous_where_narrow(NARROW, arithmetic, device):
        assert [type(conv) for conv in NARROW] == [nn.Conv2d, nn.Conv2d]


def test_a_training_has_narrow_convolutions_in_any_number_of_threads() -> None:
    """Channels-last their gradients write out of bounds where threads do not divide the batch."""
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.AdaptiveAvgPool2d(1))
    recipe = replace(TINY_RECIPE, batch_size=7, channels_last=True, epochs=1)
    settings = training_settings(tiny_dataset(), recipe)
    result = fit(nn.Sequential(net, nn.Flatten(), nn.Linear(4, 2)), settings)
    assert (result.precision, result.channels_last) == ("fp32", True)
