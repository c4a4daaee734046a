"""`measure`: any modules in, results by name out, and one clear line for what cannot be."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from blockzoo.core.errors import DeviceError, InputError
from blockzoo.measure import RunWay, measure
from blockzoo.measure.timing.latency import LatencyResult
from blockzoo.measure.timing.settings import LatencySettings

SETTINGS = LatencySettings(
    processes=0, min_rounds=4, rounds_max=4, min_seconds=0.0, warmup_max_s=0.01, min_sample_ms=0.01
)
EXAMPLE = torch.randn(2, 3, 8, 8)


def test_modules_are_timed_against_the_baseline() -> None:
    models = {"a": nn.Conv2d(3, 4, 3), "b": nn.Conv2d(3, 4, 3), "bad": nn.Conv2d(5, 4, 3)}
    results = measure(models, EXAMPLE, baseline="a", settings=SETTINGS)
    assert list(results) == ["a", "b", "bad"]
    assert results["a"].process_counts == (4,)
    assert results["a"].verdict == "baseline"
    assert results["b"].ratio is not None
    assert "RuntimeError" in (results["bad"].failure or "")


@pytest.mark.parametrize(
    ("models", "baseline", "told"),
    [
        ({}, None, "no models given"),
        ({"a": 3}, None, "model 'a' is a int; it must be an nn.Module"),
        ({"a": nn.ReLU()}, "z", "baseline 'z' is not among the models: a"),
    ],
)
def test_what_cannot_be_measured_is_told(models: Any, baseline: str | None, told: str) -> None:
    with pytest.raises(InputError, match=told):
        measure(models, EXAMPLE, baseline=baseline)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_device_that_is_absent_is_refused() -> None:
    with pytest.raises(DeviceError, match="device 'cuda' is not available"):
        measure({"a": nn.ReLU()}, EXAMPLE, way=RunWay(device="cuda"))


def test_a_result_is_one_line() -> None:
    result = LatencyResult(
        median_ms=1.23456,
        interval_ms=(1.2, 1.25),
        ratio=0.5,
        ratio_interval=(0.49, 0.51),
        verdict="faster",
        flags=("noisy", "wide"),
    )
    assert str(result) == (
        "1.235 ms [1.2, 1.25]; 0.500 x baseline [0.490, 0.510], faster; flags: noisy, wide"
    )
    assert str(LatencyResult(failure="RuntimeError: no\nkernel")) == "failed: RuntimeError: no"


def test_the_statistics_do_not_load_torch() -> None:
    code = "import sys, blockzoo.stats.medians; print('torch' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"


class Complex(nn.Module):
    """Fails where its weights or its output are of real numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 8, 8, dtype=torch.cfloat))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert self.weight.is_complex()
        return torch.fft.fft2(x) * self.weight  # type: ignore[no-any-return]


def test_complex_weights_are_timed_as_such() -> None:
    (result,) = measure({"a": Complex()}, EXAMPLE, settings=SETTINGS).values()
    assert result.failure is None


class Embeds(nn.Module):
    """Takes whole numbers below 5, and no others (sksq96/pytorch-summary #42 and #77,
    nmhkahn/torchsummaryX #1, TylerYep/torchinfo #244)."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(5, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert x.dtype == torch.int64
        return self.table(x)  # type: ignore[no-any-return]


@pytest.mark.parametrize("example", [torch.tensor([[0, 4, 2]]), torch.full((2, 3), 4)])
def test_whole_numbers_stay_such(example: torch.Tensor) -> None:
    (result,) = measure({"a": Embeds()}, example, settings=SETTINGS).values()
    assert result.failure is None


class Looks(nn.Module):
    """Takes what a detection head takes: features, and where to look (whole numbers)."""

    def forward(self, features: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        assert (features.shape, places.dtype) == (EXAMPLE.shape, torch.int64)
        return features.flatten(2)[:, :, places]


class Deep(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1


class Siamese(nn.Module):
    """Two images through one kernel each (sovrasov/flops-counter.pytorch #122)."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)

    def forward(self, x1: torch.Tensor, x2: torch.Tensor) -> torch.Tensor:
        return self.one(x1) + self.other(x2)  # type: ignore[no-any-return]


class Masked(nn.Module):
    """Features and which of them are hidden (zugexiaodui/torch_flops #9)."""

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        assert mask.dtype == torch.bool
        return x.masked_fill(mask, 0.0)


PLACES = torch.tensor([3, 1])


@pytest.mark.usefixtures("forked_workers")
@pytest.mark.parametrize("processes", [0, 1])
@pytest.mark.parametrize(
    ("model", "example"),
    [
        (Looks(), (EXAMPLE, PLACES)),
        (Looks(), {"features": EXAMPLE, "places": PLACES}),
        (Looks(), {"places": PLACES, "features": EXAMPLE}),
        (Siamese(), (EXAMPLE, EXAMPLE)),
        (Siamese(), {"x2": EXAMPLE, "x1": EXAMPLE}),
        (Masked(), (EXAMPLE, EXAMPLE > 0)),
        (Deep(), [EXAMPLE]),
        (Deep(), {"x": EXAMPLE}),
    ],
)
def test_several_tensors_are_arguments(model: nn.Module, example: Any, processes: int) -> None:
    settings = replace(SETTINGS, processes=processes)
    (result,) = measure({"a": model}, example, settings=settings).values()
    assert result.failure is None
    assert len(result.samples_ms) == 4


@pytest.mark.parametrize(
    ("example", "held"),
    [
        ((EXAMPLE, 3), "Tensor, int"),
        ((), "nothing"),
        ("x", "str"),
        ({"x": [EXAMPLE]}, "list"),
        ({"image0": {"image": EXAMPLE}, "image1": EXAMPLE}, "dict, Tensor"),
        ([[EXAMPLE, EXAMPLE]], "list"),
    ],
)
def test_other_examples_are_refused_with_what_to_do(example: Any, held: str) -> None:
    """Dicts by name (vra/flopth #10) and lists that are one argument (TylerYep/torchinfo #272)."""
    with pytest.raises(InputError, match=f"^example holds {held}; it must be a tensor .* around"):
        measure({"a": nn.ReLU()}, example)


class Keeps(nn.Module):
    """Makes a scale in its first forward, and counts what it has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv2d(3, 3, 1)
        self.scale: torch.Tensor | None = None
        self.seen: list[torch.Tensor] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.scale is None:
            self.scale = torch.linspace(0, 1, x.shape[-1])
        self.seen.append(x)
        return self.mix(x) * self.scale  # type: ignore[no-any-return]


def test_what_was_timed_learns_afterwards_and_has_kept_nothing() -> None:
    """What is kept in inference mode has no gradient (Dao-AILab/flash-attention #299), and what
    is kept of every call fills the memory (meta-pytorch/opacus #176)."""
    model = Keeps()
    (result,) = measure({"a": model}, EXAMPLE, settings=SETTINGS).values()
    assert result.failure is None
    assert (model.scale, model.seen, model.training) == (None, [], True)
    model(EXAMPLE).sum().backward()
    assert model.mix.weight.grad is not None
