"""Cells in one process or several: each by its own options, and faults cost one, not the others."""

from __future__ import annotations

import copy
import itertools
import os
import signal
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from blockzoo.errors import InputError
from blockzoo.measure.backends import CellOptions
from blockzoo.measure.cells import Cell, measure_cells
from blockzoo.measure.latency import LatencySettings

SETTINGS = LatencySettings(
    processes=2, min_rounds=8, rounds_max=8, min_seconds=0.0, warmup_max_s=0.01, min_sample_ms=0.01
)
HERE = replace(SETTINGS, processes=0)
EXAMPLE = torch.randn(1, 3, 8, 8)
SEEN: dict[str, list[tuple[object, ...]]] = {}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class Probe(nn.Module):
    """Notes under its name how it was called; so do copies of it, in the same process."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.weight = nn.Parameter(torch.ones(1, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        is_last = x.is_contiguous(memory_format=torch.channels_last)
        modes = (self.training, torch.is_inference_mode_enabled())
        seen = (x.dtype, self.weight.dtype, is_last, len(x), torch.get_num_threads(), *modes)
        SEEN.setdefault(self.name, []).append(seen)
        return x * self.weight


class Killed(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        os.kill(os.getpid(), signal.SIGKILL)
        return x


class Hangs(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        time.sleep(60)
        return x


class Raises(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError("no kernel")


def test_modules_are_measured_together() -> None:
    models = {"a": nn.Conv2d(3, 4, 3), "b": nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())}
    cells = [Cell(name=n, model=m, example=EXAMPLE, baseline="a") for n, m in models.items()]
    told: list[float] = []
    results = measure_cells(cells, HERE, progress=lambda fraction, _: told.append(fraction))
    assert list(results) == ["a", "b"]
    assert all(len(result.samples_ms) == 8 for result in results.values())
    assert all(ms > 0 for result in results.values() for ms in result.samples_ms)
    assert results["a"].verdict == "baseline"
    paired = np.array(results["b"].samples_ms) / np.array(results["a"].samples_ms)
    assert results["b"].ratio == pytest.approx(np.median(paired))
    assert told == [0.0, 1.0]


def test_each_may_have_its_own_baseline_or_none() -> None:
    baselines = {"a": "a", "b": "a", "c": "c", "d": None}
    results = measure_cells(
        [
            Cell(name=name, model=nn.Identity(), example=EXAMPLE, baseline=baseline)
            for name, baseline in baselines.items()
        ],
        HERE,
    )
    assert [results[name].verdict for name in "ac"] == ["baseline", "baseline"]
    assert results["b"].ratio is not None
    assert results["d"].ratio is None


def test_options_reach_each_of_many_cells_in_turn() -> None:
    """Precision, layout, threads and batch change from sample to sample and are not mixed up."""
    SEEN.clear()
    before = torch.get_num_threads()
    choices = list(itertools.product(DTYPES, (False, True), (1, 2), (1, 4)))
    probes = {str(choice): Probe(str(choice)).train() for choice in choices}
    cells = [
        Cell(
            name=str(choice),
            model=probes[str(choice)],
            example=torch.randn(batch_size, 3, 5, 5),
            options=CellOptions(precision=precision, channels_last=channels_last, threads=threads),
        )
        for choice in choices
        for precision, channels_last, threads, batch_size in [choice]
    ]
    results = measure_cells(cells, HERE)
    for precision, channels_last, threads, batch_size in choices:
        name, dtype = str((precision, channels_last, threads, batch_size)), DTYPES[precision]
        timed = SEEN[name][-8 * 2 :]  # 8 rounds, each of a call to prepare and at least one timed
        assert set(timed) == {(dtype, dtype, channels_last, batch_size, threads, False, True)}
        assert results[name].failure is None
        median_ms = results[name].median_ms
        assert median_ms is not None
        assert results[name].throughput_images_per_s == pytest.approx(batch_size / median_ms * 1e3)
    assert torch.get_num_threads() == before
    assert all(probe.training for probe in probes.values())
    assert {probe.weight.dtype for probe in probes.values()} == {torch.float32}


def test_modules_are_left_as_they_were() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).train()
    before = copy.deepcopy(model.state_dict())
    measure_cells([Cell(name="m", model=model, example=EXAMPLE)], HERE)
    assert model.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_a_baseline_that_raises_costs_the_others_their_ratio_alone() -> None:
    models = {"broken": Raises(), "good": nn.Identity()}
    results = measure_cells(
        [Cell(name=n, model=m, example=EXAMPLE, baseline="broken") for n, m in models.items()],
        HERE,
    )
    assert results["broken"].failure == "RuntimeError: no kernel"
    assert results["good"].median_ms is not None
    assert "no baseline" in results["good"].flags


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_device_that_is_absent_costs_its_cells_alone() -> None:
    cuda = CellOptions(device="cuda")
    results = measure_cells(
        [
            Cell(name="gpu", model=nn.Identity(), example=EXAMPLE, options=cuda),
            Cell(name="cpu", model=nn.Identity(), example=EXAMPLE),
        ],
        HERE,
    )
    assert results["gpu"].failure == "device 'cuda' is not available; there is: cpu"
    assert results["cpu"].median_ms is not None


@pytest.mark.gpu
def test_device_events_time_what_the_device_does() -> None:
    layer = nn.Conv2d(64, 64, 3, padding=1)
    models = {"one": layer, "four": nn.Sequential(*[copy.deepcopy(layer) for _ in range(4)])}
    images, cuda = torch.randn(64, 64, 64, 64), CellOptions(device="cuda")
    results = measure_cells(
        [
            Cell(name=name, model=model, example=images, options=cuda, baseline="one")
            for name, model in models.items()
        ],
        LatencySettings(processes=0, rounds_max=50),
    )
    assert results["four"].verdict == "slower"


def test_faults_cost_one_cell() -> None:
    models = {
        "good": nn.Conv2d(3, 4, 3),
        "killed": Killed(),
        "hangs": Hangs(),
        "raises": Raises(),
        "same": nn.Conv2d(3, 4, 3),
    }
    cells = [Cell(name=n, model=m, example=EXAMPLE, baseline="good") for n, m in models.items()]
    results = measure_cells(cells, SETTINGS, hang_s=6.0)
    failures = {name: result.failure for name, result in results.items()}
    assert failures["killed"] == ("the measuring process died by SIGKILL while warm-up killed")
    assert "stopped after hanging for 6 s while warm-up hangs" in (failures["hangs"] or "")
    assert failures["raises"] == "RuntimeError: no kernel"
    assert results["good"].process_counts == (8, 8)
    assert results["same"].ratio is not None
    assert 0 < (results["good"].overhead_fraction or 0) < 1


def test_a_baseline_must_be_a_cell() -> None:
    with pytest.raises(InputError, match="'z' is not measured"):
        measure_cells([Cell(name="a", model=Raises(), example=EXAMPLE, baseline="z")], SETTINGS)
