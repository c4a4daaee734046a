"""A sweep in shards, each with a store of its own: together they are the sweep in one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from blockzoo.experiments.sweep.choice import Choice, Shard
from blockzoo.experiments.sweep.run import run_sweep
from blockzoo.results.records import LatencyRecord, Record
from blockzoo.results.store.database import Store
from tests.experiments.sweep.test_run import request_of

SHARDS = 3
_TIMES = {
    *("created_at", "training_seconds", "images_per_s", "peak_memory_bytes"),
    *("epochs", "environment"),
}


def _content(record: Record) -> dict[str, Any]:
    """Return the record without what a clock, a sampler or a machine's load says."""
    values = record.model_dump(mode="json")
    # In the order in which trials ended, which is another one among several drivers.
    values["asked"] = sorted(values["asked"])
    if isinstance(record, LatencyRecord):  # all that it found is a time
        names = ("trial_id", "block", "positions", "asked", "status", "scaffold")
        return {name: values[name] for name in names}
    kept = {name: value for name, value in values.items() if name not in _TIMES}
    epochs = values.get("epochs") or []
    learned = ("epoch", "train_loss", "val_loss", "val_accuracy")
    return {**kept, "learned": [{name: each[name] for name in learned} for each in epochs]}


def test_shards_merged_are_the_sweep_in_one_record_by_record(
    tiny_npz: Path, tmp_path: Path
) -> None:
    request = request_of(tiny_npz, "ResNetBasicBlock", "Identity", "ConvBNAct")
    with Store(tmp_path / "whole", create=True) as whole:
        assert run_sweep(request, whole).failed == 0
        expected = {record.trial_id: _content(record) for record in whole.records()}
    with Store(tmp_path / "merged", create=True) as merged:
        ran = []
        for index in range(1, SHARDS + 1):
            part = replace(request, choice=Choice(shard=Shard(index=index, count=SHARDS)))
            with Store(tmp_path / f"shard {index}", create=True) as store:
                ran.append(run_sweep(part, store).ran)
                # A shard that is run again has nothing left to do.
                assert run_sweep(part, store).ran == 0
                merged.put_all(store.records())
        assert {record.trial_id: _content(record) for record in merged.records()} == expected
        # And a sweep into all of them together finds nothing to do.
        assert run_sweep(request, merged).ran == 0
    assert all(ran)
