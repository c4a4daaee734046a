from __future__ import annotations

from blockzoo.analysis.trainings import by_seeds
from tests.record_samples import after, training


def test_seeds_of_a_cell_belong_together_and_cells_are_in_order() -> None:
    records = [
        training("late", positions=("late",)),
        training("second", seed=1),
        training("first", seed=0),
        training("other", dataset="cifar10"),
        training("protocol", protocol="v1"),
        training("block", block="B"),
        training("failed", seed=2, status="failed", reason="no"),
    ]
    assert [[record.trial_id for record in seeds] for seeds in by_seeds(records)] == [
        ["other"],
        ["first", "second"],
        ["late"],
        ["block"],
        ["protocol"],
    ]


def test_the_newest_of_a_seed_and_of_a_structure_counts() -> None:
    records = [
        training("new", seed=0, created_at=after(3)),
        training("old", seed=0, created_at=after(2)),
        training("before", seed=1, created_at=after(1), block_fingerprint="earlier"),
    ]
    assert [[record.trial_id for record in seeds] for seeds in by_seeds(records)] == [["new"]]
    assert by_seeds([]) == []
