"""The summary: what is averaged, what is kept apart, what is left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from blockzoo.analysis.summary import SUMMARY_COLUMNS, summarize, timings
from blockzoo.results.records import Record
from blockzoo.results.table.frame import load_results, results_frame
from blockzoo.stats.paired_seeds import mean_interval
from tests.record_samples import ENVIRONMENT, SCAFFOLD, after, cost, latency, training
from tests.results.table.test_csv import EARLY_HEADER, EARLY_ROW


def summary_of(*records: Record) -> pd.DataFrame:
    return summarize(results_frame(records))


def test_seeds_are_averaged_with_their_interval_beside_the_costs() -> None:
    accuracies = [0.70, 0.72, 0.77]
    seeds = [
        training(f"t{seed}", seed=seed, test_accuracy=accuracy)
        for seed, accuracy in enumerate(accuracies)
    ]
    row = summary_of(cost(), latency(), *seeds).iloc[0]
    expected = mean_interval(accuracies)
    assert (row["dataset"], row["protocol"], row["block"], row["position"]) == (
        "digits",
        "quick",
        "A",
        "mid",
    )
    assert (row["n"], row["failed"], row["accuracy_source"]) == (3, 0, "test")
    assert row["accuracy"] == pytest.approx(0.73)
    assert (row["accuracy_low"], row["accuracy_high"]) == (expected.low, expected.high)
    assert (row["flops"], row["params"], row["memory_mb"]) == (100_000, 900, 2.5)
    assert (row["latency_ms"], row["latency_low_ms"], row["latency_high_ms"]) == (5.0, 4.5, 5.5)
    assert (row["latency_batch_size"], row["latency_hardware"]) == (1, "Some CPU")


def test_one_seed_has_no_interval_and_missing_costs_are_nan() -> None:
    summary = summary_of(training())
    assert summary["accuracy"].tolist() == [0.75]
    for name in ("accuracy_low", "accuracy_high", "flops", "params", "memory_mb", "latency_ms"):
        assert summary[name].dtype == "float64"
        assert summary[name].isna().all()


def test_cells_are_in_order_and_apart() -> None:
    records = [
        training("1", "B", ("late",)),
        training("2", "B", ("mid", "early")),
        training("3", "A", protocol="v1"),
        training("4", "A"),
        training("5", "A", dataset="cifar10"),
        cost("6", "C"),
    ]
    summary = summary_of(*records)
    assert summary[["dataset", "protocol", "block", "position"]].to_numpy().tolist() == [
        ["cifar10", "quick", "A", "mid"],
        ["digits", "quick", "A", "mid"],
        ["digits", "quick", "B", "early"],
        ["digits", "quick", "B", "mid"],
        ["digits", "quick", "B", "late"],
        ["digits", "v1", "A", "mid"],
    ]


def test_failures_are_counted_and_not_averaged() -> None:
    failure: dict[str, Any] = {
        "status": "failed",
        "reason": "no",
        "test_accuracy": 0.0,
        "block_fingerprint": "",
    }
    summary = summary_of(
        training("1"),
        training("2", seed=1, **failure),
        training("3", "B", **failure),
        training("4", created_at=after(9), **failure),  # of a seed that went well before
    )
    assert summary["n"].tolist() == [1, 0]
    assert summary["failed"].tolist() == [1, 1]
    assert summary["accuracy"].tolist() == [0.75, pytest.approx(np.nan, nan_ok=True)]
    assert summary["accuracy_source"].tolist() == ["test", ""]


def test_a_seed_counts_once_and_only_in_the_newest_structure() -> None:
    old = [
        training(f"o{seed}", seed=seed, test_accuracy=0.1, block_fingerprint="old")
        for seed in range(3)
    ]
    new = [
        training("n0", test_accuracy=0.5, created_at=after(1)),
        training("n0 again", test_accuracy=0.6, created_at=after(2)),
        training("n1", seed=1, test_accuracy=0.8, created_at=after(1)),
    ]
    summary = summary_of(*new, *old)
    assert summary["n"].tolist() == [2]
    assert summary["accuracy"].tolist() == [pytest.approx(0.7)]


def test_validation_stands_in_where_test_is_missing() -> None:
    summary = summary_of(training("1", test_accuracy=None), training("2", seed=1))
    assert summary["accuracy_source"].tolist() == ["validation"]
    assert summary["accuracy"].tolist() == [0.8]


@pytest.mark.parametrize("unusual", [{"batch_size": 64}, {"cache": "cold"}])
def test_latencies_of_unusual_settings_are_left_out(unusual: dict[str, Any]) -> None:
    trainings = [training(block, block) for block in "ABC"]
    timings = [
        latency("a", "A", **unusual),
        latency("b", "B"),
        latency("c", "C"),
    ]
    summary = summary_of(*trainings, *timings)
    assert summary["latency_ms"].isna().tolist() == [True, False, False]
    assert summary["latency_low_ms"].isna().tolist() == [True, False, False]


def test_rows_from_before_there_was_a_choice_of_caches_are_hot() -> None:
    frame = results_frame(
        [training("A", "A"), training("B", "B"), latency("a", "A"), latency("b", "B")]
    )
    older = frame.assign(latency_cache=["", "hot"])
    assert summarize(older)["latency_ms"].tolist() == [5.0, 5.0]


def test_nothing_gives_an_empty_summary_of_the_right_columns() -> None:
    for records in ([], [cost()]):
        summary = summary_of(*records)
        assert list(summary.columns) == list(SUMMARY_COLUMNS)
        assert len(summary) == 0
        assert summary["accuracy"].dtype == "float64"


def test_the_early_versions_file(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    rows = [EARLY_ROW, EARLY_ROW.replace("0.71", "0.73")]
    path.write_text("\n".join([EARLY_HEADER, *rows]))
    row = summarize(load_results(path)).iloc[0]
    assert (row["n"], row["accuracy_source"], row["params"]) == (2, "validation", 1000)
    assert row["accuracy"] == pytest.approx(0.72)
    assert (row["flops"], row["latency_ms"], row["latency_hardware"]) == (5e6, 7.5, "")


def test_two_data_sets_of_one_name_are_two_groups_that_say_which() -> None:
    summary = summary_of(
        training("1", test_accuracy=0.2, dataset_fingerprint="aaaaaaaaaa"),
        training("2", seed=1, test_accuracy=0.8, dataset_fingerprint="bbbbbbbbbb"),
    )
    assert summary["accuracy"].tolist() == [0.2, 0.8]
    assert summary["n"].tolist() == [1, 1]
    assert summary["variant"].tolist() == ["data aaaaaaaa", "data bbbbbbbb"]


@pytest.mark.parametrize(
    ("change", "variants"),
    [
        ({"precision": "bf16"}, {"fp32", "bf16"}),
        ({"channels_last": True}, {"contiguous", "channels last"}),
        ({"device": "cuda"}, {"cpu", "cuda"}),
        ({"compiled": True}, {"", "compiled"}),
        ({"micro_batch_size": 8}, {"", "batches in parts of 8"}),
        ({"scaffold": SCAFFOLD.model_copy(update={"width": 32})}, {"width 16", "width 32"}),
        ({"schema_version": 1}, {"", "older identity"}),
    ],
)
def test_what_was_trained_on_other_terms_is_not_averaged(
    change: dict[str, Any], variants: set[str]
) -> None:
    summary = summary_of(training("1"), training("2", seed=1, **change))
    assert summary["n"].tolist() == [1, 1]
    assert set(summary["variant"]) == variants


def test_groups_that_are_alike_have_nothing_to_tell() -> None:
    summary = summary_of(training("1"), training("2", "B"), training("3", dataset="cifar10"))
    assert summary["variant"].tolist() == ["", "", ""]


def test_seven_of_ten_that_diverged_are_counted_whatever_arithmetic_they_would_have_had() -> None:
    well = [training(f"w{seed}", seed=seed, precision="bf16") for seed in range(3)]
    lost = [
        training(f"l{seed}", seed=seed, status="failed", reason="diverged", block_fingerprint="")
        for seed in range(3, 10)
    ]
    summary = summary_of(*well, *lost)
    assert (summary["n"].tolist(), summary["failed"].tolist()) == ([3], [7])


OTHER_SESSION = {"environment": ENVIRONMENT.model_copy(update={"torch": "2.16.0"})}


def two_sessions() -> list[Record]:
    """A took 5 ms where B took 5.56; B alone, later and with another torch, took 4."""
    return [
        training("1", "A"),
        training("2", "B"),
        latency("a", "A", median_ms=5.0, ratio=0.9, session="one"),
        latency("b", "B", median_ms=4.0, ratio=1.0, ratio_interval=None, verdict="baseline")
        .model_copy(update={**OTHER_SESSION, "session": "two", "interval_ms": (3.9, 4.1)}),
    ]  # fmt: skip


def test_blocks_of_two_sessions_are_compared_by_their_ratios() -> None:
    summary = summary_of(*two_sessions())
    assert summary["latency_ratio"].tolist() == [0.9, 1.0]
    assert summary["latency_verdict"].tolist() == ["faster", "baseline"]
    assert summary["latency_baseline"].tolist() == ["B", "B"]
    assert len(timings(summary)) == 2
    assert summary["latency_timed_with"].tolist() == ["torch 2.15.0", "torch 2.16.0"]


def test_one_session_a_position_is_comparable_but_not_two_at_one_position() -> None:
    trainings = [training(f"{b}{p}", b, (p,)) for b in "AB" for p in ("early", "mid")]
    by_position = [latency(f"l{b}{p}", b, (p,), session=p) for b in "AB" for p in ("early", "mid")]
    assert timings(summary_of(*trainings, *by_position)) == []
    by_block = [latency(f"l{b}", b, session=b) for b in "AB"]
    assert len(timings(summary_of(*trainings, *by_block))) == 2


def test_what_the_machine_does_by_itself_is_no_other_environment() -> None:
    busy = ENVIRONMENT.model_copy(update={"load_average": 3.0, "cpu_mhz": 1.0, "commit": "x"})
    records = [training("1"), training("2", "B"), latency("a"), latency("b", "B", environment=busy)]
    assert timings(summary_of(*records)) == []


def test_a_ratio_to_another_baseline_is_left_out() -> None:
    trainings = [training(block, block) for block in "ABC"]
    timed = [latency("a", "A", baseline="C"), latency("b", "B"), latency("c", "C")]
    assert summary_of(*trainings, *timed)["latency_ratio"].isna().tolist() == [True, False, False]
