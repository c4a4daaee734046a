"""The page of what a board takes says what its record says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.record_samples import ENVIRONMENT

ROOT = Path(__file__).parent.parent
RECORD = {
    "runs": [
        {"command": "site", "records": 1000, "cpu_s": 4.0, "wall_s": 4.5, "peak_rss_mib": 300.2}
    ],
    "sites": [{"records": 1000, "pages_mb": 7.25}],
    "pages": [
        {"records": 1000, "page": "index.html", "html_mb": 0.125, "drawn_ms": [90.0, 110.0, 100.0]}
    ],
    "actions": [
        {
            "records": 1000,
            "rows": 5000,
            "action": "sort by block",
            "script_ms": [20.0, 40.0, 30.0],
            "with_layout_ms": [50.0, 60.0, 70.0],
        }
    ],
    "environment": {
        **ENVIRONMENT.model_dump(mode="json"),
        "processor": "Some CPU",
        "commit": "abc",
    },
}


def test_the_page_says_what_the_record_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    from board_scale_page import board_scale_page

    page = board_scale_page(RECORD)
    assert "| 1,000 | 4.5 | 4.0 | 300 | 7.2 |" in page
    assert "| 1,000 | index.html | 0.12 | 100 | 90 | 110 |" in page
    assert "| 5,000 | sort by block | 30 | 20 | 40 | 60 |" in page
    assert "opened 3 times, each action 3 times" in page
    assert "Some CPU" in page
    assert "commit abc" in page
