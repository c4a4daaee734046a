"""Rankings as people read them."""

from __future__ import annotations

import pytest

from blockzoo.analysis.ranks import agreements, rankings
from blockzoo.report.tables.ranks import agreement_lines, ranking_table
from tests.record_samples import training
from tests.report.tables.reading import drawn

ACCURACIES = {"Best": 0.95, "ABlockWhoseNameIsRatherLong": 0.90, "Like": 0.9002, "Last": 0.80}


def shown(width: int, seeds: int = 4, position: str = "mid") -> str:
    records = [
        training(
            f"{block} {seed}",
            block,
            (position,),
            seed=seed,
            test_accuracy=accuracy + 0.001 * ((seed * (3 + row)) % 4),
        )
        for row, (block, accuracy) in enumerate(ACCURACIES.items())
        for seed in range(seeds)
    ]
    return drawn(ranking_table(rankings(records)[0]), width)


def test_ranks_ties_and_what_they_rest_on_are_shown() -> None:
    lines = shown(120).splitlines()
    assert lines[0].strip() == "Ranks at mid: digits, quick"
    assert lines[1].split() == [
        "rank",
        "block",
        "accuracy",
        "%",
        "95%",
        "interval",
        "seeds",
        "ties",
    ]
    assert lines[2].split()[:3] == ["1", "Best", "95.15"]
    assert [line.split()[-1] for line in lines[2:6]] == ["a", "b", "b", "c"]
    assert lines[3].split()[:3] == ["2", "to", "3"]
    assert "Holm over 6 pairs" in "".join(lines[6:])


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_digits_are_never_cut(width: int) -> None:
    text = shown(width)
    assert all(f"{number}" in text for number in ("95.15", "90.17", "80.10"))
    assert ("not shown at" in text) == (width < 66)


def test_few_seeds_say_that_nothing_is_known() -> None:
    text = " ".join(shown(120, seeds=2).split())
    assert "fewer than 3 seeds of 4 blocks: nothing is known of them" in text
    assert "1 to 4" in text


def test_agreement_is_said_with_its_interval_where_it_has_one() -> None:
    records = [
        training(f"{b} {seed} {p}", f"B{b}", (p,), seed=seed, test_accuracy=0.5 + 0.05 * b)
        for b in range(6)
        for seed in range(3)
        for p in ("early", "late")
    ]
    assert agreement_lines(agreements(rankings(records))) == [
        "early and late (digits, quick): Kendall's tau 1.00 (1.00 to 1.00), 6 blocks"
    ]
