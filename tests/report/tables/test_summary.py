"""The summary as a table: what stands in its cells, and what must not stand there unmarked."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from blockzoo.analysis.summary import summarize
from blockzoo.report.tables.summary import summary_table
from blockzoo.results.records import Record
from blockzoo.results.table.frame import results_frame
from tests.analysis.test_summary import two_sessions
from tests.record_samples import latency, training


def table_of(*records: Record) -> Table:
    return summary_table(summarize(results_frame(records)))


def cells(table: Table, title: str) -> list[str]:
    (column,) = [column for column in table.columns if column.header == title]
    return [str(cell) for cell in column.cells]


def text_of(table: Table) -> str:
    console = Console(width=250)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


def test_failed_seeds_stand_beside_the_mean_of_the_others() -> None:
    lost = [training(f"f{s}", seed=s, status="failed", reason="diverged") for s in range(3, 10)]
    table = table_of(*(training(f"t{seed}", seed=seed) for seed in range(3)), *lost)
    assert cells(table, "seeds") == ["3 (7 of 10 failed)"]


def test_medians_of_two_environments_are_marked_and_the_ratio_decides() -> None:
    table = table_of(*two_sessions())
    assert cells(table, "ratio") == ["0.900 (0.880 to 0.920)", "1.000"]
    assert cells(table, "verdict") == ["faster", "baseline"]
    assert cells(table, "latency ms") == [
        "5.000 (4.500 to 5.500) [1]",
        "4.000 (3.900 to 4.100) [2]",
    ]
    told = " ".join(text_of(table).split())
    assert "ratio: to B, timed beside it" in told
    assert "timed apart, so compare ratios, not ms" in told
    assert "[1] torch 2.15.0; [2] torch 2.16.0" in told


def test_sessions_that_differ_in_nothing_known_are_told_once() -> None:
    sessions = [latency(name, name, session=name) for name in ("A", "B")]
    table = table_of(training("1", "A"), training("2", "B"), *sessions)
    assert cells(table, "latency ms")[1].endswith("[2]")
    assert "[1] [2] torch" in " ".join(text_of(table).split())


def test_medians_of_one_session_have_no_marks() -> None:
    table = table_of(training("1", "A"), training("2", "B"), latency("a"), latency("b", "B"))
    assert cells(table, "latency ms") == ["5.000 (4.500 to 5.500)"] * 2


def test_what_differs_between_groups_of_one_name_is_in_the_first_cell() -> None:
    table = table_of(training("1"), training("2", seed=1, precision="bf16"))
    assert sorted(cells(table, "data")) == ["digits, quick (bf16)", "digits, quick (fp32)"]


def test_two_seeds_have_no_interval_and_the_table_says_so() -> None:
    table = table_of(*(training(f"t{seed}", seed=seed) for seed in range(2)))
    assert cells(table, "accuracy %") == ["75.00"]
    assert "2 seeds: no conclusion on accuracy possible, it takes 3" in text_of(table)
    three = table_of(*(training(f"t{seed}", seed=seed) for seed in range(3)))
    assert cells(three, "accuracy %") == ["75.00 (75.00 to 75.00)"]
    assert "no conclusion" not in text_of(three)
