"""The comparison of estimators on samples whose figures are known, and the published record's."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(autouse=True)
def _benchmarks_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)


def test_spreads_of_known_samples() -> None:
    from latency_estimators import compare

    base = [(np.array([0, 0, 1, 2]), np.array([9.0, 11.0, 10.0, 10.0]))]

    def run(*ms: float) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
        return {"base/early": base, "own/early": [(np.arange(3), np.array(ms))]}

    # The medians are 20, 22 and 30, the lowest samples 20 in all runs.
    spreads = compare([run(20, 20, 20), run(20, 22, 24), run(20, 30, 40)])
    assert spreads["milliseconds, quantile 0.5"]["worst"] == pytest.approx(10 / 22)
    assert spreads["milliseconds, quantile 0.5"]["cells"]["base/early"] == 0
    assert spreads["ratio, median of rounds"]["worst"] == pytest.approx(10 / 22)
    assert spreads["ratio, median of rounds"]["worst_cell"] == "own/early"
    assert list(spreads["ratio, of quantiles 0.1"]["cells"]) == ["own/early"]
    assert spreads["ratio, of quantiles 0.1"]["worst"] == pytest.approx((22 - 20) / 20.4)


def test_the_published_spreads_are_those_of_the_published_samples() -> None:
    from latency_estimators import compare, read_samples

    environment, runs = read_samples(BENCHMARKS / "results/latency_samples.npz")
    record = json.loads((BENCHMARKS / "results/latency_estimators.json").read_text())
    assert record["environment"] == environment
    assert record["runs"] == len(runs) == 5
    for figure, spread in compare(runs).items():
        assert record["spreads"][figure]["cells"] == pytest.approx(spread["cells"], rel=1e-4)
