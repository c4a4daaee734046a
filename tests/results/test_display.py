"""Records show four to eight facts in a line and in a table, whatever they hold."""

from __future__ import annotations

import pytest

from blockzoo import Environment, MemoryUse, Record, RobustnessMetrics
from blockzoo.core.position import Position
from tests import record_samples
from tests.shown_cells import SCRIPT, cells_of

RECORDS = [record_samples.cost(), record_samples.latency(), record_samples.training()]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.kind)
def test_a_record_is_one_line_of_a_few_facts(record: Record) -> None:
    assert repr(record) == str(record)
    assert len(repr(record)) < 300
    assert 4 <= len(record._facts()) <= 8
    assert cells_of(record)[:5] == [type(record).__name__, "block", "A", "position", "mid"]


def test_a_training_says_what_of_and_how_well() -> None:
    assert repr(record_samples.training(seed=3)) == (
        "<TrainingRecord: block A, position mid, dataset digits, protocol quick, seed 3, "
        "val accuracy 80.00%, test accuracy 75.00%, trained 12.5 s>"
    )


def test_a_latency_says_how_it_was_run_and_against_what() -> None:
    record = record_samples.latency(
        median_ms=3.25, interval_ms=(3.2, 3.3), ratio=0.5, ratio_interval=(0.49, 0.51),
        baseline="B", verdict="faster", flags=("noisy", "drift"), backend="compile", threads=2,
        form="folded",
    )  # fmt: skip
    assert "median 3.25 ms [3.2, 3.3], ratio 0.5 [0.49, 0.51] x B, verdict faster" in repr(record)
    assert "compile, 2 thread(s), cpu, flags noisy, drift>" in repr(record)


def test_a_baseline_has_no_ratio_to_itself() -> None:
    record = record_samples.latency(ratio=1.0, ratio_interval=(1.0, 1.0), verdict="baseline")
    assert "ratio" not in repr(record)


def test_a_failed_record_says_why_and_nothing_else() -> None:
    record = record_samples.training(
        status="failed", reason="loss is nan\nat epoch 3", test_accuracy=None, val_accuracy=None
    )
    assert repr(record).endswith("seed 0, failed loss is nan>")


def test_all_positions_that_were_asked_for_are_named() -> None:
    record = record_samples.cost(positions=("early", "mid", "late"))
    assert "position early/mid/late," in repr(record)
    assert "position late," in repr(record.model_copy(update={"asked": (Position.LATE,)}))


def test_names_and_reasons_with_markup_are_text() -> None:
    record = record_samples.training(block=SCRIPT, status="failed", reason=SCRIPT)
    assert "<script" not in record._repr_html_()
    assert cells_of(record).count(SCRIPT) == 2


def test_parts_of_records_are_short_too() -> None:
    environment: Environment = record_samples.ENVIRONMENT
    assert "processor Some CPU, cores 2, threads 1" in repr(environment)
    assert repr(record_samples.SCAFFOLD).startswith("<ScaffoldSettings: context ResNetBasicBlock")
    (epoch,) = record_samples.training().epochs
    assert repr(epoch).startswith("<EpochMetrics: epoch 1, train loss 1, val loss 0.5")
    use = MemoryUse(
        batch_size=1, peak_bytes=2_000_000, parameters_bytes=1_500_000, gradients_bytes=0,
        optimizer_bytes=0, activations_bytes=400_000, temporaries_bytes=100_000,
    )  # fmt: skip
    assert repr(use).startswith("<MemoryUse: peak 2.0 MB, batch 1, parameters 1.5 MB")
    robust = RobustnessMetrics(
        corruption_accuracy={"jpeg": (0.5,)}, mean_corruption_accuracy=0.5, shift_accuracy=0.75,
        shift_consistency=0.9, resolution_accuracy={"1.25": None, "0.75": 0.25},
    )  # fmt: skip
    assert repr(robust).endswith("shift consistency 90.00%, at scale 0.75 25.00%>")
    assert all("\n" not in repr(it) for it in (environment, epoch, use, robust))
