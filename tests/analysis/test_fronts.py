"""Accuracy against cost: who is on the front and how surely, who dominates, who is best below."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from blockzoo.analysis.fronts import Candidate, CostLimits, CostName, Front, as_cost, fronts
from blockzoo.core.errors import InputError
from blockzoo.core.position import Position
from blockzoo.results.records import FormCost, Record, TrainingRecord
from tests.record_samples import cost, latency, training


def block(
    name: str,
    accuracy: float,
    macs: int,
    *,
    deviation: float = 0.004,
    seeds: int = 8,
    **changes: Any,
) -> list[Record]:
    shared = np.random.default_rng(0).normal(0, 0.01, seeds)
    own = np.random.default_rng(len(name)).normal(0, deviation, seeds)
    own -= own.mean()
    counted = FormCost(params_total=macs // 10, params_trainable=macs // 10, macs=macs)
    return [
        *(
            training(f"{name} {s}", name, seed=s, test_accuracy=accuracy + shared[s] + own[s])
            for s in range(seeds)
        ),
        cost(f"c {name}", name, deploy=counted),
        latency(f"l {name}", name, baseline="Base", **{"median_ms": macs / 100, **changes}),
    ]


def front(*records: list[Record], of: CostName = "macs", **limits: float) -> Front:
    (found,) = fronts([r for each in records for r in each], of, limits=CostLimits(**limits))
    return found


def by_name(found: Front) -> dict[str, Candidate]:
    return {each.block: each for each in found.candidates}


CHEAP = block("Cheap", 0.80, 100)
GOOD = block("Good", 0.90, 200)
WASTE = block("Waste", 0.85, 400)


def test_what_is_cheap_or_good_is_on_the_front_and_what_wastes_is_dominated() -> None:
    found = front(CHEAP, GOOD, WASTE)
    assert [each.block for each in found.candidates] == ["Cheap", "Good", "Waste"]
    candidates = by_name(found)
    assert [each.on_front for each in found.candidates] == [True, True, False]
    assert [candidates[name].probability for name in ("Cheap", "Good", "Waste")] == [1, 1, 0]
    assert candidates["Waste"].dominated_by == ("Good mid",)
    assert candidates["Good"].dominated_by == ()


def test_of_two_that_cost_the_same_each_is_on_the_front_as_often_as_it_is_better() -> None:
    alike = block("Alike", 0.9002, 200, deviation=0.004)
    candidates = by_name(front(GOOD, alike))
    both = candidates["Good"].probability + candidates["Alike"].probability
    assert both == pytest.approx(1.0, abs=0.01)
    assert 0.4 < candidates["Alike"].probability < 0.8
    assert candidates["Good"].dominated_by == ()


def test_a_seed_moves_all_blocks_together() -> None:
    """Seeds deviate by a point, the two blocks differ by 0.3 at every one of them."""
    better = block("Better", 0.903, 200, deviation=0.0)
    candidates = by_name(front(block("Good", 0.90, 200, deviation=0.0), better))
    assert (candidates["Better"].probability, candidates["Good"].probability) == (1.0, 0.0)


def test_a_ratio_that_is_not_sure_makes_a_front_that_is_not() -> None:
    slow = block("Slow", 0.80, 100, ratio=1.02, ratio_interval=(0.92, 1.13))
    fast = block("Fast", 0.90, 100, ratio=1.0, ratio_interval=(0.99, 1.01))
    found = front(slow, fast, of="latency")
    assert found.timed.startswith("ratio to Base, batch 1, fp32, eager")
    candidates = by_name(found)
    assert candidates["Fast"].probability == 1.0
    assert 0.2 < candidates["Slow"].probability < 0.5
    assert not candidates["Slow"].on_front


def test_the_best_within_limits_is_sought_among_those_within() -> None:
    found = by_name(front(CHEAP, GOOD, WASTE, max_macs=150))
    assert [found[name].within for name in ("Cheap", "Good", "Waste")] == [True, False, False]
    assert [found[name].best_probability for name in ("Cheap", "Good", "Waste")] == [1, 0, 0]
    nobody = front(CHEAP, GOOD, max_macs=1)
    assert {each.best_probability for each in nobody.candidates} == {0}
    both = by_name(front(CHEAP, GOOD, max_latency_ms=2.0, max_params=20, max_memory_mb=2.5))
    assert [each.within for each in both.values()] == [True, True]
    assert both["Good"].best_probability == 1.0


def test_what_lacks_a_cost_is_left_out_and_named() -> None:
    lost: list[Record] = [r for r in block("Lost", 0.9, 1) if isinstance(r, TrainingRecord)]
    found = front(GOOD, lost)
    assert ([each.block for each in found.candidates], found.left_out) == (["Good"], ("Lost mid",))


def test_latencies_of_another_way_of_running_are_not_mixed_in() -> None:
    other = block("Other", 0.9, 100, backend="openvino")
    assert front(CHEAP, GOOD, other, of="latency").left_out == ("Other mid",)


def test_a_network_that_is_the_same_at_two_positions_is_one_candidate() -> None:
    everywhere = [r.model_copy(update={"positions": (Position.EARLY, Position.MID)}) for r in CHEAP]
    found = by_name(front(everywhere, GOOD))
    assert (found["Cheap"].name, found["Good"].name) == ("Cheap early/mid", "Good mid")
    assert found["Cheap"].on_front


def test_two_seeds_dominate_nobody() -> None:
    found = by_name(front(block("Good", 0.9, 200, seeds=2), block("Waste", 0.5, 400, seeds=2)))
    assert (found["Waste"].dominated_by, found["Waste"].judged) == ((), False)


@pytest.mark.parametrize(
    "changes",
    [
        {"scaffold": CHEAP[0].scaffold.model_copy(update={"width": 7})},
        {"block_fingerprint": "edited since"},
    ],
)
def test_costs_of_another_scaffold_or_structure_are_not_this_networks(
    changes: dict[str, Any],
) -> None:
    other = [
        r if isinstance(r, TrainingRecord) else r.model_copy(update=changes)
        for r in block("Other", 0.9, 100)
    ]
    for of in ("macs", "latency"):
        assert front(CHEAP, other, of=as_cost(of)).left_out == ("Other mid",)


def test_positions_are_chosen_and_costs_have_names() -> None:
    records = [*CHEAP, *GOOD]
    assert fronts(records, "macs", positions=[Position.LATE]) == []
    assert len(fronts(records, "macs", positions=[Position.MID])[0].candidates) == 2
    assert as_cost("memory") == "memory"
    with pytest.raises(InputError, match="cost is 'flops'; allowed: latency, macs"):
        as_cost("flops")


def test_the_band_holds_the_front_and_rises_with_cost() -> None:
    found = front(CHEAP, GOOD, WASTE)
    costs = [each.cost for each in found.attained]
    assert [costs[0], costs[-1]] == pytest.approx([100, 400])
    assert costs == sorted(costs)
    at = {each.cost: each for each in found.attained}
    first, second = at[100], at[200]
    assert first.median == pytest.approx(by_name(found)["Cheap"].accuracy.mean, abs=0.002)
    assert second.median == pytest.approx(by_name(found)["Good"].accuracy.mean, abs=0.002)
    for each in found.attained:
        assert each.low <= each.lower <= each.median <= each.upper <= each.high  # type: ignore[operator]
    medians = [each.median for each in found.attained]
    assert medians == sorted(medians)  # type: ignore[type-var]


def test_blocks_of_few_seeds_are_in_no_band() -> None:
    found = front(block("Lone", 0.9, 100, seeds=2))
    assert found.attained == ()
    assert len(found.candidates) == 1
