"""What a record refuses, however it is made; reading and importing are tested with the store."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from pydantic import ValidationError

from blockzoo.results.records import CostRecord
from tests.record_samples import START, cost, latency, training


@pytest.mark.parametrize("accuracy", [-0.1, 1.1, 7.5, float("inf"), float("nan")])
def test_a_changed_copy_is_checked_as_a_new_record_is(accuracy: float) -> None:
    with pytest.raises(ValidationError):
        training(test_accuracy=accuracy)
    with pytest.raises(ValidationError):
        training().model_copy(update={"test_accuracy": accuracy})
    assert training().model_copy(update={"test_accuracy": 0.5}) == training(test_accuracy=0.5)


def test_what_an_error_said_is_kept_escaped_and_can_always_be_written() -> None:
    said = {"status": "failed", "reason": "\x1b[2J\ud800", "traceback": "a\n\tb\udcff\x07"}
    for record in (CostRecord(**cost().model_dump() | said), cost().model_copy(update=said)):
        assert record.reason == r"\x1b[2J\ud800"
        assert record.traceback == "a\n\tb\\udcff\\x07"
        assert type(record).model_validate_json(record.model_dump_json()) == record


def test_a_time_without_a_zone_is_of_utc() -> None:
    assert cost(created_at=START.replace(tzinfo=None)) == cost()
    assert cost(created_at=datetime(9999, 12, 31, tzinfo=timezone.utc)).created_at.year == 9999


def test_losses_alone_may_be_infinite() -> None:
    assert training(val_loss=float("inf")).val_loss == float("inf")
    with pytest.raises(ValidationError):
        latency(median_ms=float("inf"))
