"""Cells in fresh processes: deaths, hangs and errors cost one cell, never the others."""

from __future__ import annotations

import os
import signal
import time

import pytest
import torch
from torch import Tensor, nn

from blockzoo.errors import InputError
from blockzoo.measure.cells import Cell, measure_cells
from blockzoo.measure.latency import LatencySettings

SETTINGS = LatencySettings(
    processes=2, min_rounds=8, rounds_max=8, min_seconds=0.0, warmup_max_s=0.01, min_sample_ms=0.01
)
EXAMPLE = torch.randn(1, 3, 8, 8)


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
