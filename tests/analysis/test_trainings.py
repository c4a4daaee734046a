from __future__ import annotations

from typing import Any

import pytest

from blockzoo.analysis.trainings import Seeds, by_seeds
from blockzoo.results.records import TrainingRecord
from tests.record_samples import SCAFFOLD, after, training

FAILED: dict[str, Any] = {"status": "failed", "reason": "no", "block_fingerprint": ""}


def ids(groups: list[Seeds[TrainingRecord]]) -> list[list[str]]:
    return [[record.trial_id for record in seeds.records] for seeds in groups]


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
    groups = by_seeds(records)
    assert ids(groups) == [["other"], ["first", "second"], ["late"], ["block"], ["protocol"]]
    assert [seeds.failed for seeds in groups] == [0, 1, 0, 0, 0]


def test_the_newest_of_a_seed_and_of_a_structure_counts() -> None:
    records = [
        training("new", seed=0, created_at=after(3)),
        training("old", seed=0, created_at=after(2)),
        training("before", seed=1, created_at=after(1), block_fingerprint="earlier"),
    ]
    assert ids(by_seeds(records)) == [["new"]]
    assert by_seeds([]) == []


@pytest.mark.parametrize(
    "change",
    [
        {"dataset_fingerprint": "another"},
        {"precision": "bf16"},
        {"channels_last": True},
        {"device": "cuda"},
        {"compiled": True},
        {"micro_batch_size": 16},
        {"scaffold": SCAFFOLD.model_copy(update={"width": 32})},
        {"scaffold": SCAFFOLD.model_copy(update={"context": "Identity"})},
        {"scaffold": SCAFFOLD.model_copy(update={"stem_bias": True})},
        {"scaffold": SCAFFOLD.model_copy(update={"stem": "large"})},
        {"schema_version": 1},
    ],
)
def test_what_was_trained_on_other_terms_is_another_group(change: dict[str, Any]) -> None:
    assert sorted(ids(by_seeds([training("a"), training("b", seed=1, **change)]))) == [["a"], ["b"]]


def test_gpus_of_one_machine_are_one_device() -> None:
    one, other = training("a", device="cuda:0"), training("b", seed=1, device="cuda:1")
    assert ids(by_seeds([one, other])) == [["a", "b"]]


def test_a_failure_that_does_not_know_its_arithmetic_counts_where_it_may_belong() -> None:
    half = [training(f"h{seed}", seed=seed, precision="bf16") for seed in range(3)]
    failures = [training(f"f{seed}", seed=seed, **FAILED) for seed in range(3, 10)]
    (alone,) = by_seeds([*half, *failures])
    assert (len(alone.records), alone.failed) == (3, 7)
    # Where there is one on its own terms, it belongs there and nowhere else.
    full, of_bf16 = by_seeds([*half, *failures, training("t")])
    assert [full.terms.precision, of_bf16.terms.precision] == ["bf16", "fp32"]
    assert [full.failed, of_bf16.failed] == [0, 7]


def test_failures_alone_have_no_mean() -> None:
    assert by_seeds([training("f", **FAILED)]) == []
