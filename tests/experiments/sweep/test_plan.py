"""What a sweep counts as done."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from blockzoo.experiments.protocol import get_protocol
from blockzoo.experiments.sweep.plan import SweepRequest, Trial, make_plan
from blockzoo.results.records import AnyRecord
from blockzoo.results.store.database import Store
from blockzoo.results.store.reading import parse_listed
from blockzoo.scaffold.placement import Fingerprints, Placement
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
