"""Rankings of trainings on the same terms: intervals of ranks, ties, agreement by one thing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from blockzoo.analysis.ranks import Ranking, agreements, rankings
from blockzoo.core.position import Position
from blockzoo.results.records import TrainingRecord
from tests.record_samples import training

SKILLS = {"Best": 0.95, "Second": 0.90, "Like": 0.90, "Last": 0.80}


def trained(
    skills: dict[str, float], seeds: int = 8, deviation: float = 0.004, **changes: Any
) -> list[TrainingRecord]:
    noise = np.random.default_rng(len(changes)).normal(0, deviation, (len(skills), seeds))
    noise -= noise.mean(axis=1, keepdims=True)
    return [
        training(
            f"{block} {seed} {changes}",
            block,
            changes.get("positions", ("mid",)),
            seed=seed,
            test_accuracy=skill + noise[row, seed],
            **{name: value for name, value in changes.items() if name != "positions"},
        )
        for row, (block, skill) in enumerate(skills.items())
        for seed in range(seeds)
    ]


def test_a_rank_is_how_many_are_surely_better_and_ties_share_a_group() -> None:
    (ranking,) = rankings(trained(SKILLS))
    assert (ranking.terms.title, ranking.position) == (("digits", "quick"), Position.MID)
    found = {row.block: (row.best, row.worst, row.groups) for row in ranking.rows}
    assert found == {
        "Best": (1, 1, (1,)),
        "Second": (2, 3, (2,)),
        "Like": (2, 3, (2,)),
        "Last": (4, 4, (3,)),
    }
    assert [row.accuracy.n for row in ranking.rows] == [8] * 4
    assert ranking.rows[0].block == "Best"


def test_a_rank_does_not_depend_on_blocks_that_are_left_out() -> None:
    without = {name: skill for name, skill in SKILLS.items() if name != "Best"}
    rows = {row.block: row for row in rankings(trained(without))[0].rows}
    assert (rows["Second"].best, rows["Second"].worst) == (1, 2)
    assert (rows["Last"].best, rows["Last"].worst) == (3, 3)


def test_failed_seeds_are_counted_and_pairs_are_of_common_seeds() -> None:
    records = trained({"A": 0.9, "B": 0.8}, seeds=4)
    records.append(training("lost", "A", seed=9, status="failed", reason="diverged"))
    records.append(training("more", "B", seed=7, test_accuracy=0.99))
    first, second = rankings(records)[0].rows
    assert (first.block, first.failed, first.accuracy.n, second.accuracy.n) == ("A", 1, 4, 5)
    assert (first.best, second.best) == (1, 2)


def test_two_seeds_rank_nobody_and_one_block_is_no_ranking() -> None:
    (ranking,) = rankings(trained(SKILLS, seeds=2))
    assert {(row.best, row.worst) for row in ranking.rows} == {(1, 4)}
    assert {row.groups for row in ranking.rows} == {(1,)}
    assert rankings(trained({"A": 0.9})) == []
    assert rankings([]) == []


def test_other_terms_are_other_rankings_told_apart_in_words() -> None:
    found = rankings([*trained(SKILLS), *trained(SKILLS, precision="bf16")])
    assert sorted(each.variant for each in found) == ["bf16", "fp32"]


def test_a_network_that_is_the_same_at_two_positions_is_ranked_at_both() -> None:
    found = rankings(trained(SKILLS, positions=("early", "mid")))
    assert [each.position for each in found] == [Position.EARLY, Position.MID]


@pytest.mark.parametrize(
    ("changes", "by"),
    [
        ({"positions": ("late",)}, "position"),
        ({"dataset": "cifar10", "protocol": "quick~abc"}, "data"),
        ({"protocol": "lite", "recipe": {"epochs": 5}}, "protocol"),
        ({"precision": "bf16"}, "device"),
    ],
)
def test_rankings_that_differ_in_one_thing_are_held_against_each_other(
    changes: dict[str, Any], by: str
) -> None:
    turned = dict(zip(SKILLS, reversed(SKILLS.values()), strict=True))
    found = rankings([*trained(SKILLS), *trained(turned, **changes)])
    (pair,) = agreements(found)
    assert (pair.by, pair.agreement.n) == (by, 4)
    assert pair.agreement.tau < 0
    assert (pair.agreement.low, pair.agreement.high) == (None, None)


def test_rankings_that_differ_in_two_things_or_share_two_blocks_are_not() -> None:
    both = trained(SKILLS, positions=("late",), precision="bf16")
    assert agreements(rankings([*trained(SKILLS), *both])) == []
    few = trained({"Best": 0.9, "Second": 0.8, "Other": 0.7}, positions=("late",))
    assert agreements(rankings([*trained(SKILLS), *few])) == []


def test_no_ranking_is_the_average_of_others() -> None:
    """A block that is best twice is best at each, and has no rank over both."""
    found: list[Ranking] = rankings([*trained(SKILLS), *trained(SKILLS, positions=("late",))])
    assert [each.rows[0].block for each in found] == ["Best", "Best"]
