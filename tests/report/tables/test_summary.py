"""The summary as a table: what stands in its cells, and what must not stand there unmarked."""

from __future__ import annotations

from blockzoo.analysis.summary import summarize
from blockzoo.report.tables.fitting import FittedTable
from blockzoo.report.tables.summary import summary_table
from blockzoo.results.records import Record
from blockzoo.results.table.frame import results_frame
from tests.analysis.test_summary import two_sessions
from tests.record_samples import latency, training
from tests.report.tables.reading import column_of, drawn


def table_of(*records: Record) -> FittedTable:
    return summary_table(summarize(results_frame(records)))


def test_failed_seeds_stand_beside_the_mean_of_the_others() -> None:
    lost = [training(f"f{s}", seed=s, status="failed", reason="diverged") for s in range(3, 10)]
    table = table_of(*(training(f"t{seed}", seed=seed) for seed in range(3)), *lost)
    assert column_of(table, "seeds") == ["3 (7 of 10 failed)"]


def test_medians_of_two_environments_are_marked_and_the_ratio_decides() -> None:
    table = table_of(*two_sessions())
    assert column_of(table, "ratio") == ["0.900 (0.880 to 0.920)", "1.000"]
    assert column_of(table, "verdict") == ["faster", "baseline"]
    assert column_of(table, "latency ms") == [
        "5.000 (4.500 to 5.500) [1]",
        "4.000 (3.900 to 4.100) [2]",
    ]
    told = " ".join(drawn(table, 250).split())
    assert "ratio: to B, timed beside it" in told
    assert "timed apart, so compare ratios, not ms" in told
    assert "[1] torch 2.15.0; [2] torch 2.16.0" in told


def test_sessions_that_differ_in_nothing_known_are_told_once() -> None:
    sessions = [latency(name, name, session=name) for name in ("A", "B")]
    table = table_of(training("1", "A"), training("2", "B"), *sessions)
    assert column_of(table, "latency ms")[1].endswith("[2]")
    assert "[1] [2] torch" in " ".join(drawn(table, 250).split())


def test_medians_of_one_session_have_no_marks() -> None:
    table = table_of(training("1", "A"), training("2", "B"), latency("a"), latency("b", "B"))
    assert column_of(table, "latency ms") == ["5.000 (4.500 to 5.500)"] * 2


def test_why_verdicts_are_undecided_stands_below_them() -> None:
    why = "noisy and under 1 ms"
    timed = [
        *(latency(name, name, verdict="undecided", verdict_reason=why) for name in "AB"),
        latency("C", "C"),
    ]
    table = table_of(*(training(f"t{name}", name) for name in "ABC"), *timed)
    assert "undecided (2): noisy and under 1 ms" in " ".join(drawn(table, 250).split())


def test_accuracies_on_validation_images_are_said_to_be_so() -> None:
    early, late = training("1", "A", test_accuracy=None), training("2", "B")
    assert "accuracy: on validation images" in drawn(table_of(early), 250)
    told = " ".join(drawn(table_of(early, late), 250).split())
    assert "accuracy of rows without one of the test set: on validation images" in told
    assert "validation" not in drawn(table_of(late), 250)


def test_data_of_no_protocol_end_in_no_comma() -> None:
    rows = results_frame([training("1")]).assign(protocol="")  # as the early version wrote them
    assert column_of(summary_table(summarize(rows)), "data") == ["digits"]


def test_what_differs_between_groups_of_one_name_is_in_the_first_cell() -> None:
    table = table_of(training("1"), training("2", seed=1, precision="bf16"))
    assert sorted(column_of(table, "data")) == ["digits, quick (bf16)", "digits, quick (fp32)"]


def test_two_seeds_have_no_interval_and_the_table_says_so() -> None:
    table = table_of(*(training(f"t{seed}", seed=seed) for seed in range(2)))
    assert column_of(table, "accuracy %") == ["75.00"]
    assert "2 seeds: no conclusion on accuracy possible, it takes 3" in drawn(table, 250)
    three = table_of(*(training(f"t{seed}", seed=seed) for seed in range(3)))
    assert column_of(three, "accuracy %") == ["75.00 (75.00 to 75.00)"]
    assert "no conclusion" not in drawn(three, 250)
