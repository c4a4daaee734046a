"""What of a bundle contradicts itself, and which seeds it lacks."""

from __future__ import annotations

from typing import Any

import pytest

from blockzoo.results.records import AnyRecord
from blockzoo.results.submissions.consistency import contradictions, gaps
from tests.record_samples import ENVIRONMENT, after, cost, latency, training

WHOLE = training(recipe={"epochs": 1})


def test_records_that_agree_say_nothing() -> None:
    assert list(contradictions([WHOLE, cost(), latency(session="s")])) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"torch": "the best"}, "torch 'the best' is no version"),
        ({"cpu_min_mhz": 3000, "cpu_max_mhz": 2000}, "cpu_min_mhz is 3000, above cpu_max_mhz"),
        ({"cpu_mhz": 9000.0, "cpu_max_mhz": 3000}, "cpu_mhz is 9000, above cpu_max_mhz"),
        ({"memory_bytes": 0}, "memory_bytes is 0"),
        ({"accelerator": "H200"}, "is of the CPU, and names the GPU H200"),
        ({"cudnn": "9.1"}, "cuDNN and no CUDA"),
    ],
)
def test_an_environment_that_cannot_be(change: dict[str, Any], said: str) -> None:
    record = WHOLE.model_copy(update={"environment": ENVIRONMENT.model_copy(update=change)})
    (line,) = contradictions([record])
    assert line.startswith("record training, environment: ")
    assert said in line


def test_a_result_of_a_gpu_needs_one() -> None:
    (line,) = contradictions([WHOLE.model_copy(update={"device": "cuda:0"})])
    assert "of a GPU, and there is none" in line


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"recipe": {"epochs": 5}}, "its curve has 1 epochs, its recipe 5"),
        ({"best_epoch": 4}, "its best epoch, 4, is not in its curve"),
        ({"val_accuracy": 0.99}, "its validation accuracy is not that of epoch 1"),
        ({"created_at": after(1e10)}, "made in the future"),
    ],
)
def test_a_training_that_contradicts_its_curve_or_the_clock(
    change: dict[str, Any], said: str
) -> None:
    (line,) = contradictions([WHOLE.model_copy(update=change)])
    assert said in line


def test_one_session_has_one_environment() -> None:
    other = ENVIRONMENT.model_copy(update={"processor": "Faster CPU", "load_average": 3.0})
    records = [latency("a", session="s"), latency("b", session="s", environment=other)]
    assert list(contradictions(records)) == [
        "record b: others of its session have another processor"
    ]


def of_seeds(block: str, *seeds: int) -> list[AnyRecord]:
    return [training(f"{block}{seed}", block, seed=seed) for seed in seeds]


def test_a_seed_that_others_have_is_missing() -> None:
    records = [*of_seeds("A", 0, 1, 2), *of_seeds("B", 0, 2)]
    assert [gap.line for gap in gaps(records)] == [
        "missing: B at mid, quick on digits, seed 1: neither a result nor a failure"
    ]


def test_a_failure_is_not_missing() -> None:
    lost = training("lost", "B", seed=1, status="failed", reason="NaN")
    assert gaps([*of_seeds("A", 0, 1, 2), *of_seeds("B", 0, 2), lost]) == []


def test_a_seed_that_was_taken_out_of_all_is_missing_of_all() -> None:
    found = gaps([*of_seeds("A", 0, 2, 3), *of_seeds("B", 0, 2, 3)])
    assert [(gap.block, gap.seed) for gap in found] == [("A", 1), ("B", 1)]


def test_a_seed_chosen_by_hand_asks_for_no_others() -> None:
    assert gaps(of_seeds("A", 4242)) == []


def test_other_protocols_and_positions_are_other_plans() -> None:
    other = training("o", "C", seed=5, protocol="lite")
    assert gaps([*of_seeds("A", 0, 1), other]) == []
    late = training("l", "A", ("late",), seed=0)
    assert [(gap.place, gap.seed) for gap in gaps([*of_seeds("A", 0, 1), late])] == [("late", 1)]
