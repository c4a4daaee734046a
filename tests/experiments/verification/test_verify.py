"""Trials made again: what is right agrees, whatever was altered is caught, and as often as said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from blockzoo.experiments.protocol import get_protocol
from blockzoo.experiments.trial_identity import training_trial_id
from blockzoo.experiments.verification import verify
from blockzoo.experiments.verification.claims import (
    Claims,
    UnknownError,
    placement_of,
    protocol_of,
)
from blockzoo.experiments.verification.rerun import Rerunner, Tolerance
from blockzoo.experiments.verification.verify import Verified, VerifyRequest, verify_records
from blockzoo.results.answers import answers_of, packed
from blockzoo.results.records import AnyRecord, LatencyRecord, TrainingRecord
from blockzoo.results.submissions.consistency import contradictions, gaps
from blockzoo.results.submissions.verification import Rerun
from blockzoo.stats.detection import detection_probability
from tests.experiments.verification.tiny import (
    FIRST,
    PROTOCOL,
    SECOND,
    SEEDS,
    counted,
    failure,
    swept,
    timed,
    trained,
)
from tests.record_samples import ENVIRONMENT, training

OTHER_TORCH = {"torch": "1.0.0"}
LEARNED = (
    *("best_epoch", "val_loss", "val_accuracy", "test_loss", "test_accuracy", "epochs"),
    *("test_correct", "test_logits_sha256", "test_class_accuracy", "test_calibration_error"),
)


def changed(record: AnyRecord, **changes: Any) -> list[AnyRecord]:
    """Return all records, one of them changed."""
    altered = record.model_copy(update=changes)
    return [altered if each.trial_id == record.trial_id else each for each in swept()]


def elsewhere(record: AnyRecord, **changes: Any) -> dict[str, Any]:
    """Return the changes with another torch in the environment."""
    return {"environment": record.environment.model_copy(update=OTHER_TORCH), **changes}


def verified(records: Sequence[AnyRecord], sample: int = 0) -> Verified:
    return verify_records(records, VerifyRequest(sample=sample, sample_seed=0))


def faults(records: Sequence[AnyRecord]) -> tuple[str, ...]:
    return verified(records).verification.faults


def rerun(records: Sequence[AnyRecord], of: AnyRecord, **tolerance: float) -> Rerun:
    """Return what comes of one of the records."""
    rerunner = Rerunner(records=records, claims=Claims(), tolerance=Tolerance(**tolerance))
    (told,) = (each for each in records if each.trial_id == of.trial_id)
    assert isinstance(told, TrainingRecord | LatencyRecord)
    rerunner.require_rerunnable(told)
    return rerunner.rerun(told)


def test_what_a_sweep_left_agrees() -> None:
    found = verified(swept(), sample=99)
    made = found.verification
    assert made.failures == ()
    assert (made.records, made.counted, made.drawn_from) == (12, 2, 7)
    assert [each.result for each in made.reruns] == ["equal"] * 7
    assert all(each.same_platform for each in made.reruns)
    assert found.not_rerun.pop("it failed") == 1
    assert found.not_rerun.pop("it is a baseline, or was timed without one") == 1
    ((reason, count),) = found.not_rerun.items()
    assert (count, reason.startswith("it was timed in 1 processes, whose interval")) == (1, True)
    assert not found.unknown


def with_better_answers(record: TrainingRecord) -> dict[str, Any]:
    """Return a higher accuracy, with answers that make it."""
    bits = answers_of(record)
    assert bits is not None
    bits = bits | (np.arange(len(bits)) < 40)
    return {"test_accuracy": float(bits.mean()), "test_correct": packed(bits)}


def learned(record: TrainingRecord) -> Mapping[str, Any]:
    """Return the results of a training, to be told as those of another."""
    return {name: getattr(record, name) for name in LEARNED}


@pytest.mark.parametrize(
    "falsified",
    [
        pytest.param(lambda: with_better_answers(trained(FIRST, 0)), id="an altered accuracy"),
        pytest.param(lambda: learned(trained(SECOND, 0)), id="a swapped block"),
        pytest.param(lambda: learned(trained(FIRST, 1)), id="a wrong seed"),
        pytest.param(lambda: {"test_logits_sha256": "0" * 64}, id="other logits"),
    ],
)
def test_results_that_another_training_made_are_caught_though_nothing_contradicts_them(
    falsified: Any,
) -> None:
    records = changed(trained(FIRST, 0), **falsified())
    assert faults(records) == ()
    assert list(contradictions(records)) == []
    found = rerun(records, trained(FIRST, 0))
    assert found.result == "differs"
    assert "should be the same bits on the same platform" in found.detail


def test_an_altered_cost_is_caught_without_a_sample() -> None:
    (line,) = faults(changed(counted(FIRST), training_macs=1))
    assert line.endswith(f"cost {FIRST} mid: counted again, it has another training_macs")
    assert verified(changed(counted(FIRST), training_macs=1)).verification.counted == 1


def test_an_altered_latency_is_caught_on_the_same_kind_of_device() -> None:
    false = changed(timed(SECOND), ratio=90.0, ratio_interval=(89.0, 91.0))
    found = rerun(false, timed(SECOND), ratio=5.0)
    assert found.result == "differs"
    assert found.detail.startswith("ratio 89.000 to 91.000 told, ")


def test_a_latency_agrees_within_the_tolerance() -> None:
    assert rerun(swept(), timed(SECOND), ratio=5.0).result == "within"


def test_a_latency_of_three_processes_needs_no_tolerance() -> None:
    told = timed(SECOND)
    rerunner = Rerunner(records=swept(), claims=Claims())
    with pytest.raises(UnknownError, match="it was timed in 1 processes"):
        rerunner.require_rerunnable(told)
    rerunner.require_rerunnable(told.model_copy(update={"process_counts": (9, 9, 9)}))


def test_latencies_of_another_kind_of_device_are_not_timed() -> None:
    other = timed(SECOND).environment.model_copy(update={"processor": "Faster CPU"})
    with pytest.raises(UnknownError, match=r"another kind of device \(processor\)"):
        rerun(changed(timed(SECOND), environment=other), timed(SECOND), ratio=5.0)


def test_elsewhere_what_lies_within_other_seeds_agrees() -> None:
    first = trained(FIRST, 0)
    loss = (first.test_loss or 0.0) * 1.0001
    found = rerun(changed(first, **elsewhere(first, test_loss=loss)), first)
    assert (found.result, found.same_platform) == ("within", False)
    assert "by 3 other seeds" in found.detail


def test_elsewhere_what_lies_far_from_other_seeds_is_caught() -> None:
    alike = [
        each.model_copy(update={"test_accuracy": 0.2 + 0.001 * each.seed})
        if isinstance(each, TrainingRecord)
        else each
        for each in changed(trained(FIRST, 0), **elsewhere(trained(FIRST, 0)))
    ]
    assert rerun(alike, trained(FIRST, 0)).result == "differs"


@pytest.mark.parametrize(("tolerance", "result"), [(0.01, "differs"), (0.03, "within")])
def test_elsewhere_a_tolerance_says_how_far_accuracies_may_lie_apart(
    tolerance: float, result: str
) -> None:
    first = trained(FIRST, 0)
    assert first.test_accuracy is not None
    told = elsewhere(first, test_accuracy=first.test_accuracy + 0.02)
    found = rerun(changed(first, **told), first, accuracy=tolerance)
    assert (found.result, found.same_platform) == (result, False)


def test_elsewhere_a_training_with_few_seeds_is_not_drawn() -> None:
    first = trained(FIRST, 0)
    other = changed(first, **elsewhere(first))
    few = [each for each in other if getattr(each, "seed", 0) < 2]
    found = verified(few)
    (reason,) = (each for each in found.not_rerun if "another platform" in each)
    assert reason.endswith("or on a GPU, and has 1 other seeds; it takes 3, or a tolerance")
    request = VerifyRequest(tolerance=Tolerance(accuracy=0.01))
    drawn_from = verify_records(few, request).verification.drawn_from
    assert drawn_from == found.verification.drawn_from + 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": 77}, "its id is not that of the seed, recipe and protocol"),
        ({"protocol": "quick3"}, "its id is not that of"),
        ({"block": SECOND}, f"its block is not the {SECOND} built here"),
        ({"block_fingerprint": "f" * 32}, f"its block is not the {FIRST} built here"),
        ({"block_fingerprint": ""}, f"its block is not the {FIRST} built here"),
        ({"trial_id": "0" * 32}, "its id is not that of"),
        ({"warp": 1.0}, "its recipe has settings that there are not"),
        ({"schedule": "zigzag"}, "its recipe cannot be"),
        ({"precision": "fp8"}, "nothing is trained in fp8, its precision"),
        ({"device": "abacus"}, "it cannot be trained so: device 'abacus' is not available"),
        ({"device": "cuda:7"}, "its id is not that of"),
    ],
)
def test_a_training_that_is_not_of_what_it_says_is_caught(
    change: dict[str, Any], said: str
) -> None:
    first = trained(FIRST, 0)
    if not change.keys() <= {*TrainingRecord.model_fields}:
        change = {"recipe": {**first.recipe, **change}}
    (line,) = faults(changed(first, **change))
    assert said in line


@pytest.mark.parametrize(
    ("of", "change"),
    [(counted, {"block": SECOND}), (counted, {"trial_id": "0" * 32})],
)
def test_a_cost_that_is_not_of_what_it_says_is_caught(of: Any, change: dict[str, Any]) -> None:
    (line,) = faults(changed(of(FIRST), **change))
    assert "its block is not" in line or "its id is not that of the network" in line


def test_an_environment_that_cannot_be_is_caught() -> None:
    edited = trained(FIRST, 0).environment.model_copy(update={"accelerator": "H200"})
    (line,) = contradictions(changed(trained(FIRST, 0), environment=edited))
    assert "the result is of the CPU, and names the GPU H200" in line
    assert list(contradictions(swept())) == []


def test_an_edited_environment_of_a_timing_is_caught_though_it_can_be() -> None:
    edited = timed(SECOND).environment.model_copy(update={"processor": "Faster CPU"})
    records = changed(timed(SECOND), environment=edited)
    (line,) = faults(records)
    assert line.endswith("its id is not that of its environment and session")
    (other,) = contradictions(records)
    assert "others of its session have another processor" in other


def test_timings_with_other_settings_are_not_identified() -> None:
    records = [each.model_copy(update={"trial_id": f"{n}" * 32}) for n, each in enumerate(both())]
    ((reason, count),) = verified(records).unknown.items()
    assert (count, "none of the usual ones" in reason) == (2, True)


def both() -> list[AnyRecord]:
    return [timed(FIRST), timed(SECOND)]


def test_a_missing_failure_is_caught() -> None:
    assert gaps(swept()) == []
    without = [each for each in swept() if each.trial_id != failure().trial_id]
    (gap,) = gaps(without)
    assert gap.line == (
        f"missing: {SECOND} at mid, {PROTOCOL.label} on digits@16, seed {failure().seed}: "
        "neither a result nor a failure"
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"block": "evil.py:Evil"}, "its block, baseline or context is not one of the zoo"),
        ({"dataset": "/etc"}, "its data set is not a published one"),
        ({"dataset_fingerprint": "other"}, "digits@16 here holds other images"),
        ({"schema_version": 1}, "an identity of an older BlockZoo"),
        # Of a changed protocol: the label is a digest, and records do not keep the split.
        ({"recipe": {"learning_rate": 1.0}}, f"records do not say all that {PROTOCOL.label} has"),
    ],
)
def test_what_cannot_be_known_is_said_and_nothing_of_it_runs(
    change: dict[str, Any], said: str
) -> None:
    first = trained(FIRST, 0)
    if "recipe" in change:
        change = {"recipe": {**first.recipe, **change["recipe"]}}
    found = verified(changed(first, **change))
    ((reason, count),) = found.unknown.items()
    assert count == 1
    assert said in reason
    assert found.verification.drawn_from == 6


def test_what_a_gpu_trained_is_identified_without_one() -> None:
    first, claims = trained(FIRST, 0), Claims()
    placement = placement_of(first)
    settings = replace(claims.training_settings(first, placement), device="cuda:0")
    there = {"device": "cuda:0", "trial_id": training_trial_id(placement, settings)}
    records = [first.model_copy(update=there)]
    found = verified(records)
    assert found.verification.faults == ()
    assert found.not_rerun == {"it was trained on cuda:0": 1}
    (line,) = faults([records[0].model_copy(update={"seed": 1})])
    assert "its id is not that of the seed" in line


def test_what_fails_here_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("no kernel")

    monkeypatch.setattr("blockzoo.experiments.verification.rerun.train_placement", fails)
    found = rerun(swept(), trained(FIRST, 0))
    assert found.result == "differs"
    assert found.detail.startswith("it failed here: RuntimeError: no kernel")


def test_the_same_seed_draws_the_same_and_none_draws_by_chance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(verify, "_reruns", lambda _, drawn, __: tuple(map(told, drawn)))
    first, again = (verified(order, 3).verification.reruns for order in (swept(), swept()[::-1]))
    assert len(first) == 3
    assert first == again
    seeds = {verify_records((), VerifyRequest(sample=1)).verification.sample_seed for _ in "ab"}
    assert len(seeds) == 2


def told(record: AnyRecord) -> Rerun:
    return Rerun(trial_id=record.trial_id, label="", result="equal", same_platform=True, detail="")


@pytest.mark.parametrize(("results", "false", "sample"), [(30, 3, 5), (30, 1, 10), (12, 6, 2)])
def test_a_sample_catches_false_results_as_often_as_is_said(
    results: int, false: int, sample: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole checks, in which making a trial again tells whether it is false."""
    kept = [training(f"t{number}") for number in range(results)]

    def again(_: Rerunner, record: AnyRecord) -> Rerun:
        is_false = int(record.trial_id[1:]) < false
        return told(record).model_copy(update={"result": "differs" if is_false else "equal"})

    monkeypatch.setattr(Claims, "check", lambda *_: None)
    monkeypatch.setattr(Rerunner, "require_rerunnable", lambda *_: None)
    monkeypatch.setattr(Rerunner, "rerun", again)
    monkeypatch.setattr(Rerunner, "environment_of", lambda *_: ENVIRONMENT)
    checks, caught = 2000, 0
    for seed in range(checks):
        request = VerifyRequest(sample=sample, sample_seed=seed)
        caught += not verify_records(kept, request).verification.agrees
    said = detection_probability(results, false, sample)
    assert caught / checks == pytest.approx(said, abs=4 * (said * (1 - said) / checks) ** 0.5)


def test_the_protocol_of_a_record_is_found_by_its_label() -> None:
    first = trained(FIRST, 0)
    found = protocol_of(first)
    assert found is not None
    assert found.label == PROTOCOL.label
    assert replace(found, seeds=SEEDS).recipe.epochs == 1
    assert protocol_of(first.model_copy(update={"protocol": "quick3~000000"})) is None
    assert protocol_of(first.model_copy(update={"protocol": "mine"})) is None
    assert protocol_of(first.model_copy(update={"protocol": "quick3"})) != get_protocol("quick3")
