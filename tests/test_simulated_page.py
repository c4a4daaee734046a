"""The page says of simulated A/A sessions what their records say, and these are in order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks/results"
PAGE = ROOT / "docs/protocol.md"


def rows(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((RESULTS / name).read_text())["rows"]
    return found


def test_coverage_and_false_verdicts_are_those_of_the_record() -> None:
    page = PAGE.read_text()
    for processes in (3, 5, 10):
        of = [row for row in rows("simulated_aa.json") if row["processes"] == processes]
        assert [row["cells"] for row in of] == list(range(1, 13))
        count = sum(row["ratios"] for row in of)
        covered, false = (
            sum(row[name] * row["ratios"] for row in of) / count
            for name in ("coverage", "false_verdicts")
        )
        assert 0.93 <= covered <= 0.97
        assert false <= 0.05
        assert f"| {processes} | {count:,} | {covered:.1%} | {false:.1%} |" in page


def test_how_often_it_ends_in_same_is_that_of_the_record() -> None:
    page, found = PAGE.read_text(), rows("simulated_aa_quiet.json")
    assert all(row["false_verdicts"] == 0 for row in found)
    for processes in (3, 5):
        for noise in (0.005, 0.01):
            same = [
                f"{row['same']:.0%}"
                for row in found
                if (row["processes"], row["noise"]) == (processes, noise)
            ]
            assert f"| {processes} | {noise:.1%} | {' | '.join(same)} |" in page
