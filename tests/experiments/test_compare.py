"""`compare` runs what the store lacks, once, and judges exactly those trainings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import stdev
from typing import Any

import pytest

from blockzoo.analysis.compare import typical_deviation
from blockzoo.core.errors import InputError
from blockzoo.experiments.compare import (
    CompareRequest,
    compare,
    compare_request,
    could_find,
    plan_of,
    run_compare,
    within_time,
)
from blockzoo.experiments.protocol import Protocol, get_protocol
from blockzoo.experiments.sweep.pace import Pace
from blockzoo.experiments.sweep.plan import SweepRequest
from blockzoo.results.store.database import Store
from blockzoo.results.table.csv import read_results_csv
from blockzoo.stats.power import POWER, smallest_difference
from blockzoo.stats.spending import SpendingPlan
from tests.record_samples import training


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "blockzoo.db", create=True) as opened:
        yield opened


def protocol(data: Path, **changes: object) -> Protocol:
    settings = {"width": 4, "depth": 1, "epochs": 1, "precision": "fp32", "dataset": str(data)}
    times = {"latency_budget_s": 0.05, "latency_processes": 0, "positions": ("mid",)}
    return get_protocol("quick").changed(**{**settings, **times, "seeds": (0, 1), **changes})


def request_of(data: Path, **changes: Any) -> CompareRequest:
    sweep = SweepRequest(protocol=protocol(data), device="cpu")
    return compare_request(sweep, "Identity", **changes)


def test_the_context_is_the_other_where_none_is_named(tiny_npz: Path, store: Store) -> None:
    (found,) = compare("Identity", protocol=protocol(tiny_npz), store=store, device="cpu")
    assert (found.block, found.other, found.seeds) == ("Identity", "ResNetBasicBlock", (0, 1))
    assert found.new_images is not None
    assert found.cost is not None
    assert found.latency is not None
    assert found.latency.verdict == "undecided"
    assert (found.cost.macs, found.reason) == (0, "")


def test_what_is_there_is_not_run_again_and_nothing_else_is_taken(
    tiny_npz: Path, store: Store
) -> None:
    request = request_of(tiny_npz)
    assert len(plan_of(request, store).trials) == 7
    list(run_compare(request, store))
    assert plan_of(request, store).trials == ()
    # Of the same protocol's name, but trained otherwise.
    other = protocol(tiny_npz, epochs=2)
    list(
        run_compare(
            replace(
                request,
                sweep=replace(
                    request.sweep, protocol=other.changed(blocks=request.sweep.protocol.blocks)
                ),
            ),
            store,
        )
    )
    (look,) = run_compare(request, store)
    assert look.comparisons[0].seeds == (0, 1)


def test_where_nothing_is_left_to_run_the_answer_does_not_wait_for_the_csv(
    tiny_npz: Path, store: Store, tmp_path: Path
) -> None:
    csv = tmp_path / "kept" / "results.csv"
    list(run_compare(request_of(tiny_npz), store, csv_path=csv))
    assert len(read_results_csv(csv)) == 4  # two blocks, two seeds
    csv.unlink()
    (look,) = run_compare(request_of(tiny_npz), store, csv_path=csv)
    assert look.comparisons[0].seeds == (0, 1)
    assert not csv.exists()


def test_time_is_planned_by_what_trainings_of_the_protocol_took(
    tiny_npz: Path, store: Store
) -> None:
    request = request_of(tiny_npz)
    guess = Pace.of(store, request.sweep.protocol)
    assert guess.of_all is None
    list(run_compare(request, store))
    pace = Pace.of(store, request.sweep.protocol)
    assert set(pace.by_block) == {"Identity", "ResNetBasicBlock"}
    assert Pace.of(store, protocol(tiny_npz, epochs=2)).of_all is None  # another protocol's
    per_seed = sum(pace.by_block.values())
    three = within_time(request, store, 1.5 * per_seed)
    assert pace.expected_s(plan_of(three, store)) == pytest.approx(per_seed)
    assert three.planned_seeds == (0, 1, 2)
    assert within_time(request, store, 0.0).planned_seeds == (0, 1)


def test_seeds_are_added_until_all_is_decided(tiny_npz: Path, store: Store) -> None:
    plan = SpendingPlan(looks=(2, 3), levels=(0.02, 0.03))
    looks = list(run_compare(request_of(tiny_npz, looks=plan), store))
    assert [(look.seeds, look.level) for look in looks] == [(2, 0.02), (3, 0.03)]
    assert [look.comparisons[0].seeds for look in looks] == [(0, 1), (0, 1, 2)]


@pytest.mark.parametrize(
    ("others", "margin", "told"),
    [
        (("Identity",), 0.003, "Identity is compared with itself"),
        (("RepVGG",), 0.0, "margin is 0; it must be above 0"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    tiny_npz: Path, others: tuple[str, ...], margin: float, told: str
) -> None:
    with pytest.raises(InputError, match=told):
        request_of(tiny_npz, others=others, margin=margin)


def test_one_seed_is_refused(tiny_npz: Path) -> None:
    sweep = SweepRequest(protocol=protocol(tiny_npz, seeds=(0,)), device="cpu")
    with pytest.raises(InputError, match="one seed is given"):
        compare_request(sweep, "Identity")


def test_what_the_planned_seeds_could_find_is_that_of_the_power_calculation(tiny_npz: Path) -> None:
    request = request_of(tiny_npz, looks=SpendingPlan(looks=(5, 10), levels=(0.01, 0.04)))
    found = could_find(request, 0.01)
    assert found == smallest_difference(0.01, 5, 0.01, POWER)
    assert could_find(request, None) is None
    assert could_find(request_of(tiny_npz), 0.01) is None  # two seeds


def test_blocks_deviate_as_their_paired_differences_do() -> None:
    mine, theirs = [0.9, 0.92, 0.91], [0.8, 0.83, 0.80]
    records = [
        training(f"{block}{seed}", block, seed=seed, test_accuracy=accuracy)
        for block, accuracies in {"A": mine, "B": theirs}.items()
        for seed, accuracy in enumerate(accuracies)
    ]
    assert typical_deviation(records) == pytest.approx(0.01)  # of 0.10, 0.09, 0.11
    assert typical_deviation(records[1:]) is None


def test_of_many_blocks_the_median_pair_counts_whatever_seeds_they_have() -> None:
    accuracies = {
        "A": {0: 0.90, 1: 0.92, 2: 0.91, 3: 0.95},
        "B": {0: 0.80, 1: 0.83, 2: 0.80, 3: 0.81},
        "C": {1: 0.70, 2: 0.75, 3: 0.71, 4: 0.99},
        "D": {3: 0.5, 4: 0.6, 5: 0.7},  # shares three seeds with none
    }
    records = [
        training(f"{block}{seed}", block, seed=seed, test_accuracy=accuracy)
        for block, by_seed in accuracies.items()
        for seed, accuracy in by_seed.items()
    ]
    of_pairs = [
        stdev(accuracies[mine][seed] - accuracies[theirs][seed] for seed in shared)
        for mine, theirs, shared in (
            ("A", "B", range(4)),
            ("A", "C", (1, 2, 3)),
            ("B", "C", (1, 2, 3)),
        )
    ]
    assert typical_deviation(records) == pytest.approx(sorted(of_pairs)[1])
