"""What docs/recipes.md says of `v1` against `classic` is what the published record says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from blockzoo.analysis.statistics import mean_interval

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/recipes.md").read_text()
RECORD: dict[str, Any] = json.loads((ROOT / "benchmarks/results/recipes.json").read_text())


def shown(values: list[float]) -> str:
    found = mean_interval([100 * value for value in values])
    return f"{found.mean:.1f} ({found.low:.1f} to {found.high:.1f})"


@pytest.mark.parametrize("block", RECORD["settings"]["blocks"])
def test_the_row_of_a_block(block: str) -> None:
    of_recipe = RECORD["test_accuracy"][block]
    classic, v1 = (
        [of_recipe[recipe][str(seed)] for seed in range(RECORD["settings"]["seeds"])]
        for recipe in ("classic", "v1")
    )
    differences = [ours - theirs for ours, theirs in zip(v1, classic, strict=True)]
    cells = (f"`{block}`", shown(classic), shown(v1), shown(differences), str(len(differences)))
    assert f"| {' | '.join(cells)} |" in PAGE


def test_pairs_and_commit() -> None:
    pairs = [
        of_recipe["v1"][seed] > of_recipe["classic"][seed]
        for of_recipe in RECORD["test_accuracy"].values()
        for seed in of_recipe["v1"]
    ]
    assert f"`v1` is ahead in {sum(pairs)} of {len(pairs)} pairs" in PAGE
    assert f"commit {RECORD['environment']['commit'][:7]}" in PAGE
