from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from blockzoo.cli.actions import sweeping
from blockzoo.cli.app import app
from blockzoo.experiments.protocol import QUICK, get_protocol
from blockzoo.experiments.sweep.plan import SweepRequest
from blockzoo.experiments.sweep.run import SweepResult
from blockzoo.results.store.database import Store
from blockzoo.stats.power import smallest_difference
from tests import record_samples

ACCURACIES = {
    "ResNetBasicBlock": (0.90, 0.92, 0.91),
    "InvertedResidual": (0.85, 0.90, 0.86),
    "MobileOneBlock": (0.80, 0.84, 0.79),
}


def test_what_three_seeds_cannot_find_is_by_how_the_sweeps_blocks_differ(tmp_path: Path) -> None:
    protocol = get_protocol(QUICK)
    with Store(tmp_path, create=True) as store:
        for block, accuracies in (ACCURACIES | {"Other": (0.1, 0.9, 0.5)}).items():
            for seed, accuracy in enumerate(accuracies):
                store.put(
                    record_samples.training(
                        f"{block} {seed}", block, seed=seed, protocol=QUICK, test_accuracy=accuracy
                    )
                )
        line = sweeping._unfound(protocol, store)
        nothing = sweeping._unfound(get_protocol("quick"), store)
    first, second, third = map(np.array, ACCURACIES.values())
    deviations = [
        float(np.std(a - b, ddof=1)) for a, b in ((first, second), (first, third), (second, third))
    ]
    # Two comparisons, each with the context; of the three pairs the median one counts.
    points = 100 * smallest_difference(float(np.median(deviations)), 3, 0.05 / 2)
    assert line.startswith(f"3 seeds: differences in accuracy below {points:.1f} points cannot")
    assert nothing == ""


def test_in_a_track_of_matched_budgets_it_is_by_the_fitted_blocks(tmp_path: Path) -> None:
    protocol = get_protocol(f"{QUICK}+macs")
    fitted = {"ResNetBasicBlock": "", "InvertedResidual": "[expansion=7]", "MobileOneBlock": ""}
    with Store(tmp_path, create=True) as store:
        for block, accuracies in ACCURACIES.items():
            for seed, accuracy in enumerate(accuracies):
                name = f"{block}{fitted[block]}"
                store.put(
                    record_samples.training(
                        f"{name} {seed}",
                        name,
                        seed=seed,
                        protocol=protocol.label,
                        test_accuracy=accuracy,
                    )
                )
        line = sweeping._unfound(protocol, store)
    assert line.startswith("3 seeds: differences in accuracy below ")


def test_quick_runs_the_newest_quick_protocol(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[SweepRequest] = []

    def noted(request: SweepRequest, *_: Any, **__: Any) -> SweepResult:
        asked.append(request)
        return SweepResult(ran=0, failed=0, skipped=0)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sweeping, "run_sweep", noted)
    monkeypatch.setattr(sweeping, "_show_sweep", lambda *_: None)
    result = CliRunner().invoke(app, ["sweep", "--quick"])
    assert [each.protocol for each in asked] == [get_protocol(QUICK)]
    assert "digits@16" in result.stderr
    help_text = CliRunner().invoke(app, ["sweep", "--help"]).stdout
    assert f"--protocol {QUICK}" in re.sub(r"[│\s]+", " ", help_text)  # out of its box
    # What is said last goes on from this very protocol.
    assert f"-p mid --protocol {QUICK} --seeds 10" in result.stdout
