"""What a sweep counts as done."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from blockzoo.experiments.protocol import get_protocol
from blockzoo.experiments.sweep.choice import Choice, Shard
from blockzoo.experiments.sweep.plan import SweepRequest, Trial, make_plan
from blockzoo.results.records import AnyRecord
from blockzoo.results.store.database import Store
from blockzoo.results.store.reading import parse_listed
from blockzoo.scaffold.placement import Fingerprints, Placement
from tests import record_samples
from tests.record_samples import training

_REASON = "attribute 'rows' of Identity is an iterator"


def _request(*blocks: str) -> SweepRequest:
    quick = get_protocol("quick").changed(
        blocks=blocks, positions=("mid",), seeds=(0,), width=4, depth=1
    )
    return SweepRequest(protocol=quick, device="cpu")


def _missing(request: SweepRequest, store: Store) -> list[str]:
    return [trial.label for trial in make_plan(request, store).trials]


@pytest.fixture
def full_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store that holds whatever is asked for."""
    with Store(tmp_path, create=True) as store:
        trials: tuple[Trial, ...] = make_plan(_request("ConvBNAct", "Identity"), store).trials
        ids = {identity for trial in trials for identity in trial.trial_ids}
        monkeypatch.setattr(store, "ok_ids", lambda among: ids.intersection(among))
        return store


@pytest.fixture
def unsure_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    sure = Placement.fingerprints.fget  # type: ignore[attr-defined]

    def fingerprints(placement: Placement) -> Fingerprints:
        found: Fingerprints = sure(placement)
        named = placement.spec.name == "Identity"
        return replace(found, unsure=(_REASON,)) if named else found

    monkeypatch.setattr(Placement, "fingerprints", property(fingerprints))


def test_what_is_stored_is_done(full_store: Store) -> None:
    assert _missing(_request("ConvBNAct", "Identity"), full_store) == []


@pytest.mark.usefixtures("unsure_identity")
def test_a_block_that_may_have_changed_unseen_is_measured_anew_unless_told_not_to(
    full_store: Store,
) -> None:
    request = _request("ConvBNAct", "Identity")
    assert make_plan(request, full_store).unsure == {"Identity": (_REASON,)}
    assert _missing(request, full_store) == [
        "cost Identity mid",
        "latency Identity mid",
        "training Identity mid, seed 0",
    ]
    trusting = replace(request, trust_unsure=True)
    assert make_plan(trusting, full_store).unsure == {}
    assert _missing(trusting, full_store) == []


@pytest.mark.usefixtures("unsure_identity")
def test_all_latencies_are_anew_where_the_baseline_may_have_changed(full_store: Store) -> None:
    request = _request("Identity", "ConvBNAct")
    assert "latency 2 blocks mid" in _missing(request, full_store)


def test_a_plan_reads_of_a_store_its_own_trials_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = _request("Identity")
    with Store(tmp_path, create=True) as store:
        store.put_all([training(f"other {seed}", seed=seed) for seed in range(30)])
        (wanted,) = {
            identity
            for trial in make_plan(request, store).trials
            if trial.kind == "training"
            for identity in trial.trial_ids
        }
        store.put(training(wanted))
        read: list[str] = []

        def counted(payload: str, *, location: str) -> AnyRecord:
            record = parse_listed(payload, location=location)
            read.append(record.trial_id)
            return record

        monkeypatch.setattr("blockzoo.results.store.database.parse_listed", counted)
        plan = make_plan(request, store)
    assert read == [wanted]
    assert plan.done == 1


_THREE_SEEDS = {"positions": ("early", "mid", "late"), "seeds": (0, 1, 2), "width": 4, "depth": 1}


def _grid() -> SweepRequest:
    blocks = ("ResNetBasicBlock", "ConvBNAct", "Identity")
    return SweepRequest(
        protocol=get_protocol("quick").changed(blocks=blocks, **_THREE_SEEDS), device="cpu"
    )


def _sharded(request: SweepRequest, count: int, **by: float) -> list[SweepRequest]:
    shards = [Shard(index=index, count=count) for index in range(1, count + 1)]
    return [
        replace(request, choice=Choice(shard=shard, seconds_of_training=by)) for shard in shards
    ]


def test_all_blocks_at_all_positions_at_one_seed_come_before_the_next_seed(tmp_path: Path) -> None:
    with Store(tmp_path, create=True) as store:
        trials = make_plan(_grid(), store).trials
    trainings = [trial for trial in trials if trial.kind == "training"]
    seeds = [trial.seed for trial in trainings]
    # ResNetBasicBlock in its own context is one network at the three positions.
    assert seeds == [0] * 7 + [1] * 7 + [2] * 7
    first = [(str(trial.position), trial.blocks[0]) for trial in trainings[:7]]
    assert first == [(str(trial.position), trial.blocks[0]) for trial in trainings[7:14]]


@pytest.mark.parametrize("count", [1, 2, 4, 40])
def test_shards_are_disjoint_and_together_the_whole(tmp_path: Path, count: int) -> None:
    with Store(tmp_path, create=True) as store:
        whole = make_plan(_grid(), store)
        parts = [make_plan(request, store) for request in _sharded(_grid(), count)]
    dealt = [trial for plan in parts for trial in plan.trials]
    assert len(dealt) == len(whole.trials)
    assert {*dealt} == {*whole.trials}
    # In the order of the whole, so that every shard has its part of one seed first.
    places = {trial: place for place, trial in enumerate(whole.trials)}
    for plan in parts:
        order = [places[trial] for trial in plan.trials]
        assert order == sorted(order)
    # All know where else each result is wanted.
    assert all(plan.asked == whole.asked for plan in parts)


def test_a_shard_does_not_depend_on_what_its_store_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = _sharded(_grid(), 3)
    with Store(tmp_path, create=True) as store:
        parts = [make_plan(request, store).trials for request in requests]
        (latencies,) = [
            part for part in parts if any(t.kind == "latency" and t.position == "mid" for t in part)
        ][:1]
        kept = next(t for t in latencies if t.kind == "latency" and t.position == "mid")
        trained = next(t for t in parts[0] if t.kind == "training")
        # All that one session timed but one block, and one training.
        there = {*kept.trial_ids[:-1], *trained.trial_ids}
        monkeypatch.setattr(store, "ok_ids", lambda among: there.intersection(among))
        again = [make_plan(request, store).trials for request in requests]
    assert [len(part) for part in again] == [len(part) - (trained in part) for part in parts]
    (mid,) = [t for part in again for t in part if t.kind == "latency" and t.position == "mid"]
    assert mid.blocks == kept.blocks[-1:]
    assert [mid in part for part in again] == [kept in part for part in parts]


def test_shards_are_balanced_by_what_trainings_take(tmp_path: Path) -> None:
    by = {"ResNetBasicBlock": 600.0, "ConvBNAct": 300.0, "Identity": 10.0}
    with Store(tmp_path, create=True) as store:
        parts = [make_plan(request, store).trials for request in _sharded(_grid(), 2, **by)]
    loads = [
        sum(by[trial.blocks[0]] for trial in part if trial.kind == "training") for part in parts
    ]
    # 3 x (600 + 3 x 300 + 3 x 10) s in all.
    assert sum(loads) == 4590
    assert abs(loads[0] - loads[1]) < 600


def test_only_some_kinds(tmp_path: Path) -> None:
    request = replace(_request("ConvBNAct"), choice=Choice(only=("cost", "latency")))
    with Store(tmp_path, create=True) as store:
        assert _missing(request, store) == ["cost ConvBNAct mid", "latency ConvBNAct mid"]


def test_what_failed_is_tried_again_unless_told_not_to(tmp_path: Path) -> None:
    request = _request("ConvBNAct", "Identity")
    with Store(tmp_path, create=True) as store:
        trials = make_plan(request, store).trials
        (cost, *_), (latency,) = (
            [trial for trial in trials if trial.kind == kind] for kind in ("cost", "latency")
        )
        store.put(record_samples.cost(cost.trial_ids[0], status="failed", reason="no"))
        store.put(record_samples.latency(latency.trial_ids[1], status="failed", reason="no"))
        again = make_plan(request, store)
        left = make_plan(replace(request, choice=Choice(retry_failed=False)), store)
        assert {trial.trial_ids for trial in again.trials} == {each.trial_ids for each in trials}
        # The session is still needed for the other block.
        assert len(left.trials) == len(trials) - 1
        assert [t.blocks for t in left.trials if t.kind == "latency"] == [("ConvBNAct",)]
        assert (left.failed, left.done) == (1, 0)
        store.put(record_samples.latency(latency.trial_ids[0]))
        left = make_plan(replace(request, choice=Choice(retry_failed=False)), store)
        assert (len(left.trials), left.failed, left.done) == (len(trials) - 2, 2, 0)
