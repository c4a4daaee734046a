from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from blockzoo.core.errors import InputError
from blockzoo.training import arithmetic
from blockzoo.training.arithmetic import Arithmetic, profits_from_bf16, resolve_arithmetic
from tests.training.samples import TINY_RECIPE

CPU = torch.device("cpu")
WIDE = nn.Sequential(nn.Conv2d(3, 16, 3), nn.Conv2d(16, 16, 3))
NARROW = nn.Sequential(nn.Conv2d(3, 16, 3), nn.Conv2d(16, 15, 3))


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
        (("fp32", "wide"), False, ("fp32", True)),
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
    for device in (CPU, torch.device("cuda")):
        assert not resolve_arithmetic(
            replace(auto, channels_last="wide"), device, NARROW
        ).channels_last
    with pytest.raises(InputError, match=r"needs convolutions of 16 or more channels.* has 15"):
        resolve_arithmetic(replace(auto, channels_last=True), CPU, NARROW)
