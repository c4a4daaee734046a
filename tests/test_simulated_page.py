"""The pages say of simulations what their records say, and these are in order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks/results"
PAGE = ROOT / "docs/measurements/same-or-slower.md"
COMPARING = ROOT / "docs/measurements/family-tests.md"


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


def test_what_tests_of_a_family_find_is_that_of_the_record() -> None:
    page = COMPARING.read_text()
    of_design = [
        row
        for row in rows("families_simulated.json")
        if (row["n"], row["k"], row["share"]) == (10, 32, 0.3)
    ]
    tests = list(dict.fromkeys(row["test"] for row in of_design))
    assert len(tests) == 5
    for test in tests:
        alike, unlike = (row for row in of_design if row["test"] == test)
        assert (alike["unlike"], unlike["unlike"]) == (0.0, 0.5)
        cells = (alike["found"], alike["wrong"], unlike["found"], unlike["wrong"])
        assert f"| {test} | {' | '.join(f'{cell:.1%}' for cell in cells)} |" in page
    for test in ("moderated t, Holm", "moderated max-T"):
        wrong = max(row["wrong"] for row in rows("families_simulated.json") if row["test"] == test)
        assert f"{wrong:.1%} {'with Holm' if 'Holm' in test else 'inside max-T'}" in page
