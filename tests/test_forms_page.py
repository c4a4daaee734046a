"""The page on folding says what the published record says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def test_the_published_page_is_that_of_the_published_record(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    from zoo_forms import forms_page

    record = json.loads((ROOT / "benchmarks/results/zoo_forms.json").read_text())
    assert forms_page(record) == (ROOT / "docs/measurements/folding.md").read_text()
    (row,) = (
        row for row in record["rows"] if (row["block"], row["form"]) == ("MobileOneBlock", "folded")
    )
    row["median_ms"] = 1234.5
    assert "| MobileOneBlock | 1234.50 |" in forms_page(record)
