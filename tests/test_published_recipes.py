"""What docs/measurements/recipes.md says of the recipes is what the published records say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from blockzoo.stats.paired_seeds import mean_interval

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/measurements/recipes.md").read_text()
TEN, FIFTY = (
    json.loads((ROOT / "benchmarks/results" / name).read_text())
    for name in ("recipes.json", "recipes_fifty_epochs.json")
)


def shown(values: list[float]) -> str:
    found = mean_interval([100 * value for value in values])
    return f"{found.mean:.1f} ({found.low:.1f} to {found.high:.1f})"


def by_recipe(record: dict[str, Any], figure: str, block: str) -> tuple[list[float], list[float]]:
    """Return that figure of all seeds, by `classic` and by `v1`."""
    of_recipe = record[figure][block]
    seeds = range(record["settings"]["seeds"])
    classic, v1 = ([of_recipe[name][str(seed)] for seed in seeds] for name in ("classic", "v1"))
    return classic, v1


def accuracies(record: dict[str, Any], block: str) -> list[str]:
    classic, v1 = by_recipe(record, "test_accuracy", block)
    differences = [ours - theirs for ours, theirs in zip(v1, classic, strict=True)]
    return [shown(classic), shown(v1), shown(differences)]


def in_front(record: dict[str, Any]) -> str:
    pairs = [
        of_recipe["v1"][seed] > of_recipe["classic"][seed]
        for of_recipe in record["test_accuracy"].values()
        for seed in of_recipe["v1"]
    ]
    return f"`v1` is ahead in {sum(pairs)} of {len(pairs)} pairs"


@pytest.mark.parametrize("block", TEN["settings"]["blocks"])
def test_the_row_of_a_block_after_ten_epochs(block: str) -> None:
    cells = (f"`{block}`", *accuracies(TEN, block), str(TEN["settings"]["seeds"]))
    assert f"| {' | '.join(cells)} |" in PAGE


@pytest.mark.parametrize("block", FIFTY["settings"]["blocks"])
def test_the_row_of_a_block_after_fifty_epochs(block: str) -> None:
    errors = map(shown, by_recipe(FIFTY, "test_calibration_error", block))
    cells = (f"`{block}`", *accuracies(FIFTY, block), *errors, str(FIFTY["settings"]["seeds"]))
    assert f"| {' | '.join(cells)} |" in PAGE


def test_pairs_and_commits() -> None:
    assert in_front(TEN) in PAGE
    assert in_front(FIFTY) in PAGE
    (commit,) = FIFTY["commits"]
    for whole in (TEN["environment"]["commit"], commit):
        assert f"commit {whole[:7]}" in PAGE
