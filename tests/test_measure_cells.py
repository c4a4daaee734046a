"""Cells in fresh processes: deaths, hangs and errors cost one cell, never the others."""

from __future__ import annotations

import os
import platform
import signal
import time
from dataclasses import replace
from pathlib import Path

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


class NotesPageFaults(nn.Module):
    """Allocates and frees 24 MiB per call, and writes down the page faults that this took."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def forward(self, x: Tensor) -> Tensor:
        import resource

        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        blocks = [torch.ones(3 << 20, dtype=torch.float32) for _ in range(2)]
        taken = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
        self.path.write_text(str(taken))
        return x + blocks[0][0]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_freed_memory_is_kept_unless_asked_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = 2 * (12 << 20) // os.sysconf("SC_PAGE_SIZE")

    def faults(*, keep: bool) -> int:
        model = NotesPageFaults(tmp_path / "faults")
        settings = replace(SETTINGS, processes=1, keep_freed_memory=keep)
        measure_cells([Cell(name="model", model=model, example=EXAMPLE)], settings)
        return int(model.path.read_text())

    assert faults(keep=True) < pages / 10
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "131072")  # glibc maps each block anew
    assert faults(keep=False) >= pages
    monkeypatch.setenv("MALLOC_MMAP_MAX_", "65536")
    assert faults(keep=True) >= pages, "the user's own settings count"


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
