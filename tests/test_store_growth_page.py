"""The page of a store's growth says what its record says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.record_samples import ENVIRONMENT

ROOT = Path(__file__).parent.parent


def _run(command: str, records: int, cpu_s: float) -> dict[str, object]:
    return {
        "command": command,
        "records": records,
        "cpu_s": cpu_s,
        "wall_s": 2 * cpu_s,
        "peak_rss_mib": 100.0,
    }


RECORD = {
    "runs": [
        _run("results", 1000, 1.5),
        _run("results", 100_000, 15.0),
        _run("ranks", 1000, 2.0),
    ],
    "stores": [
        {"records": 1000, "append_cpu_ms": 1.25, "append_wall_ms": 3.0, "database_mb": 10.0},
        {"records": 100_000, "append_cpu_ms": 1.25, "append_wall_ms": 3.0, "database_mb": 1000.0},
    ],
    "environment": {
        **ENVIRONMENT.model_dump(mode="json"),
        "processor": "Some CPU",
        "commit": "abc",
    },
}


def test_the_page_says_what_the_record_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    from store_growth_page import store_growth_page

    page = store_growth_page(RECORD)
    assert "| | 1,000 | 100,000 | exponent |" in page
    assert "| results | 1.50 | 15.00 | 0.50 |" in page
    assert "| ranks | 2.00 | - | - |" in page
    assert "| results | 3.00 | 30.00 | 0.50 |" in page
    assert "| results | 100 | 100 | 0.00 |" in page
    assert "| one training put, CPU ms | 1.25 | 1.25 | 0.00 |" in page
    assert "| database, MB | 10.00 | 1000.00 | 1.00 |" in page
    assert "Some CPU" in page
    assert "commit abc" in page
