"""Trials made again: what is right agrees, whatever was altered is caught, and as often as said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from blockzoo.data import load_dataset
from blockzoo.experiments import verify
from blockzoo.experiments.profile import CostSettings, profile_blocks
from blockzoo.experiments.protocol import get_protocol
from blockzoo.experiments.rerun import Rerunner, protocol_of
from blockzoo.experiments.train import train_placement
from blockzoo.experiments.verify import RerunRequest, verify_records
from blockzoo.results.answers import answers_of, packed
from blockzoo.results.records import AnyRecord, TrainingRecord
from blockzoo.results.submissions.consistency import contradictions, gaps
from blockzoo.results.submissions.verification import Rerun, Verification
from blockzoo.scaffold.placement import Placement
from blockzoo.stats.detection import detection_probability
from blockzoo.training.optimisation import step_of
from tests.record_samples import training

PROTOCOL = get_protocol("quick3").changed(width=4, depth=1, epochs=1, context="Identity")
SEEDS = (0, 1, 2, 3)


@pytest.fixture(scope="module")
def records() -> list[AnyRecord]:
    """Four trainings and the cost of one block, as a sweep makes them."""
    data = load_dataset("digits@16")
    scaffold = PROTOCOL.scaffold(classes=data.num_classes, input_shape=data.image_shape)
    placement = Placement.of("ConvBNAct", "mid", scaffold)
    made: list[AnyRecord] = [
        train_placement(
            placement, PROTOCOL.training_settings(data, seed=seed, device="cpu", compiled=False)
        )
        for seed in SEEDS
    ]
    settings = CostSettings(
        training_batch_size=PROTOCOL.recipe.batch_size, training_step=step_of(PROTOCOL.recipe)
    )
    return [*made, *profile_blocks(["ConvBNAct"], ["mid"], config=scaffold, settings=settings)]


def verified(records: Sequence[AnyRecord], sample: int = 9) -> Verification:
    return verify_records(records, RerunRequest(sample=sample, sample_seed=0)).verification


def changed(records: Sequence[AnyRecord], index: int = 0, **changes: Any) -> list[AnyRecord]:
    made = [*records]
    made[index] = made[index].model_copy(update=changes)
    return made


def rerun(records: Sequence[AnyRecord], index: int = 0) -> Rerun:
    return Rerunner(records=records).rerun(records[index])


def test_right_records_agree_bit_for_bit(records: list[AnyRecord]) -> None:
    found = verified(records)
    assert found.faults == ()
    assert [each.result for each in found.reruns] == ["equal"] * 5
    assert all(each.same_platform for each in found.reruns)
    assert (found.records, found.drawn_from, found.agrees) == (5, 5, True)


def better_answers(record: TrainingRecord) -> dict[str, Any]:
    """Return a higher accuracy, with answers that make it."""
    bits = answers_of(record)
    assert bits is not None
    bits = bits | (np.arange(len(bits)) < 40)
    return {"test_accuracy": float(bits.mean()), "test_correct": packed(bits)}


def test_an_altered_accuracy_is_caught_though_its_answers_agree(records: list[AnyRecord]) -> None:
    first = records[0]
    assert isinstance(first, TrainingRecord)
    altered = changed(records, **better_answers(first))
    found = rerun(altered)
    assert found.result == "differs"
    assert "should be the same bits" in found.detail


def test_an_altered_cost_is_caught(records: list[AnyRecord]) -> None:
    found = rerun(changed(records, 4, training_macs=1), 4)
    assert (found.result, found.detail) == ("differs", "training_macs should be exactly the same")


def another_commit_of_torch(record: AnyRecord) -> dict[str, Any]:
    return {"environment": record.environment.model_copy(update={"torch": "1.0.0"})}


def test_elsewhere_what_lies_within_other_seeds_agrees(records: list[AnyRecord]) -> None:
    first = records[0]
    assert isinstance(first, TrainingRecord) and first.test_loss is not None
    other = another_commit_of_torch(first) | {"test_loss": first.test_loss * 1.0001}
    found = rerun(changed(records, **other))
    assert (found.result, found.same_platform) == ("within", False)
    assert "by 3 other seeds" in found.detail


def test_elsewhere_what_lies_far_from_other_seeds_is_caught(records: list[AnyRecord]) -> None:
    alike = [
        each.model_copy(update={"test_accuracy": 0.2 + 0.001 * each.seed})
        for each in records
        if isinstance(each, TrainingRecord)
    ]
    told = changed(alike, **another_commit_of_torch(alike[0]) | {"test_accuracy": 0.95})
    assert rerun(told).result == "differs"


def test_elsewhere_few_seeds_tell_nothing(records: list[AnyRecord]) -> None:
    first = records[0]
    assert isinstance(first, TrainingRecord)
    other = another_commit_of_torch(first) | {"test_loss": 9.0}
    found = rerun(changed(records[:2], **other))
    assert found.result == "not told"
    assert "it takes 3" in found.detail


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": 77}, "its id is not that of the seed, recipe and protocol"),
        ({"protocol": "quick3"}, "its id is not that of"),
        ({"block": "Identity"}, "its block is not the Identity built here"),
        ({"block_fingerprint": "f" * 32}, "its block is not the ConvBNAct built here"),
        ({"trial_id": "0" * 32}, "its id is not that of"),
        ({"recipe": {"epochs": "many"}}, "recipe"),
    ],
)
def test_a_record_that_is_not_of_what_it_says_is_caught(
    records: list[AnyRecord], change: dict[str, Any], said: str
) -> None:
    if "recipe" in change:
        kept = records[0]
        assert isinstance(kept, TrainingRecord)
        change = {"recipe": {**kept.recipe, "learning_rate": 1.0}}
        said = "its id is not that of"
    found = verified(changed(records, **change), sample=0)
    assert len(found.faults) == 1
    assert said in found.faults[0]
    assert not found.agrees


def test_an_edited_environment_is_caught(records: list[AnyRecord]) -> None:
    edited = records[0].environment.model_copy(update={"physical_cores": 10_000})
    (line,) = contradictions(changed(records, environment=edited))
    assert "physical_cores is 10000, above cores" in line
    assert list(contradictions(records)) == []


def test_a_missing_failure_is_caught(records: list[AnyRecord]) -> None:
    assert gaps(records) == []
    assert [gap.seed for gap in gaps([records[0], *records[2:]])] == [1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"block": "evil.py:Evil"}, "its block, baseline or context is not one of the zoo"),
        ({"dataset": "/etc"}, "its data set is not a published one"),
        ({"dataset_fingerprint": "other"}, "digits@16 here holds other images"),
        ({"schema_version": 1}, "an identity of an older BlockZoo"),
    ],
)
def test_what_cannot_be_known_is_said_and_nothing_of_it_runs(
    records: list[AnyRecord], change: dict[str, Any], said: str
) -> None:
    found = verify_records(changed(records, **change), RerunRequest(sample=0, sample_seed=0))
    ((reason, count),) = found.unknown.items()
    assert count == 1
    assert said in reason
    assert found.verification.drawn_from == 4


def test_failures_are_not_drawn(records: list[AnyRecord]) -> None:
    failed = changed(records, status="failed", reason="NaN")
    found = verify_records(failed, RerunRequest(sample=0, sample_seed=0))
    assert found.not_rerun == {"it failed": 1}


def test_the_same_seed_draws_the_same_and_none_draws_by_chance(
    records: list[AnyRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "_reruns", lambda _, drawn, __: tuple(map(told, drawn)))
    first, again = (verified(order, 2).reruns for order in (records, records[::-1]))
    assert first == again
    seeds = {verify_records(records, RerunRequest(sample=1)).verification.sample_seed for _ in "ab"}
    assert len(seeds) == 2


def told(record: AnyRecord) -> Rerun:
    return Rerun(trial_id=record.trial_id, label="", result="equal", same_platform=True, detail="")


@pytest.mark.parametrize(("results", "false", "sample"), [(30, 3, 5), (30, 1, 10), (12, 6, 2)])
def test_a_sample_catches_false_results_as_often_as_is_said(
    results: int, false: int, sample: int
) -> None:
    kept: list[AnyRecord] = [training(f"t{number}") for number in range(results)]
    draws, caught = 4000, 0
    for seed in range(draws):
        drawn = verify._drawn(kept, sample, seed)
        caught += any(int(each.trial_id[1:]) < false for each in drawn)
    said = detection_probability(results, false, sample)
    assert caught / draws == pytest.approx(said, abs=4 * (said * (1 - said) / draws) ** 0.5)


def test_the_protocol_of_a_record_is_found_by_its_label(records: list[AnyRecord]) -> None:
    first = records[0]
    assert isinstance(first, TrainingRecord)
    assert protocol_of(first) == replace(PROTOCOL, seeds=get_protocol("quick3").seeds)
    assert protocol_of(first.model_copy(update={"protocol": "quick3~000000"})) is None
    assert protocol_of(first.model_copy(update={"protocol": "mine"})) is None
