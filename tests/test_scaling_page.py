"""The published page of scaling says what the published record says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent


def test_the_published_page_is_that_of_the_published_record(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    from scaling_page import scaling_page

    record = json.loads((ROOT / "benchmarks/results/scaling.json").read_text())
    assert scaling_page(record) == (ROOT / "docs/measurements/scaling.md").read_text()
    record["batch_size"]["rows"][0]["images_per_s"] = 1234.5
    assert "| ResNetBasicBlock | 1,234.5 (6) |" in scaling_page(record)


def test_the_plots_are_drawn_from_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    from scaling_page import scaling_plots

    record = json.loads((ROOT / "benchmarks/results/scaling.json").read_text())
    plots = scaling_plots(record)
    assert {*plots} == {"batch_size", "resolution", "threads", "roofline"}
    speed = plots["threads"].axes[0]
    drawn = {tuple(np.asarray(line.get_ydata()).tolist()) for line in speed.get_lines()}
    rows = [row for row in record["threads"]["rows"] if row["block"] == "RepMixer"]
    assert tuple(row["images_per_s"] for row in rows) in drawn
