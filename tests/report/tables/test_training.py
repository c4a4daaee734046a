"""What is said of trainings: the figures asked for are in the tables, and right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from blockzoo.analysis.summary import summarize
from blockzoo.cli.app import app
from blockzoo.report.tables.fitting import FittedTable
from blockzoo.report.tables.summary import summary_table
from blockzoo.report.tables.training import robustness_tables, time_table
from blockzoo.results.records import Record, RobustnessMetrics
from blockzoo.results.store.database import Store
from blockzoo.results.store.engines import STORE_NAME
from blockzoo.results.table.frame import results_frame
from tests.record_samples import cost, training
from tests.report.tables.reading import column_of

Lines = Callable[[FittedTable], list[list[str]]]


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Lines:
    """Print a table and return the words of each of its lines."""

    def read(table: FittedTable) -> list[list[str]]:
        Console(width=200).print(table)
        return [line.split() for line in capsys.readouterr().out.splitlines()]

    return read


def stood(accuracy: float) -> RobustnessMetrics:
    return RobustnessMetrics(
        corruption_accuracy={"gaussian_noise": (accuracy, accuracy / 2), "jpeg": (0.5, 0.25)},
        mean_corruption_accuracy=0.375,
        shift_accuracy=0.625,
        shift_consistency=0.875,
        resolution_accuracy={"0.75": 0.4375, "1.5": None},
    )


def seeds() -> list[Record]:
    first = training("first", seed=0, robustness=stood(0.75))
    return [first, cost(), training("second", seed=1, robustness=stood(0.25))]


def test_each_training_has_its_accuracies_on_changed_images(lines: Lines) -> None:
    found = lines(robustness_tables(seeds())[0])
    assert found[1][-5:] == ["shift", "at", "0.75x", "at", "1.5x"]
    rows = [f"digits, quick A mid {seed} 75.00 37.50 62.50 87.50 43.75 -" for seed in (0, 1)]
    assert [" ".join(line) for line in found[2:4]] == rows


def test_severities_are_averaged_over_seeds(lines: Lines) -> None:
    found = [" ".join(line) for line in lines(robustness_tables(seeds())[1])]
    assert found[1:] == [
        "data block position seeds corruption 1 2 mean",
        "digits, quick A mid 2 gaussian noise 50.00 25.00 37.50",
        "digits, quick A mid 2 jpeg 50.00 25.00 37.50",
    ]


def test_without_such_a_test_there_is_no_table() -> None:
    assert robustness_tables([cost(), training(robustness=None)]) == []


def test_times_are_told_or_said_not_to_be_reached(lines: Lines) -> None:
    found = lines(time_table([training(), cost()], (0.5, 0.805)))
    assert found[1][-4:] == ["50", "%", "80.5", "%"]
    assert found[2] == ["digits,", "quick", "A", "mid", "1", "6.0", "-"]


@pytest.mark.parametrize(
    ("records", "shown"), [(seeds(), True), ([training(robustness=None)], False)]
)
def test_the_summary_tells_robustness_where_there_is_any(
    records: Sequence[Record], shown: bool, lines: Lines
) -> None:
    summary = summarize(results_frame(records))
    found = lines(summary_table(summary))
    assert ("corrupted" in found[1]) is shown
    if shown:
        assert summary["corruption_accuracy"].tolist() == [0.375]
        assert summary["shift_consistency"].tolist() == [0.875]
        assert found[2][found[2].index("75.00") + 1 :][:2] == ["37.50", "87.50"]


def results(*options: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["results", *options])
    return result.exit_code, result.stdout, result.stderr


def test_the_command_adds_tables_on_request(tmp_path: Path) -> None:
    with Store(tmp_path / STORE_NAME, create=True) as store:
        store.put_all(seeds())
    plain = results(str(tmp_path))
    status, output, _ = results(str(tmp_path), "--robustness", "--time-to", "0.5")
    assert status == plain[0] == 0
    assert output.startswith(plain[1])
    titles = ("on changed images", "by severity", "Seconds to validation")
    assert [title in output for title in titles] == [True] * 3
    assert [title in plain[1] for title in titles] == [False] * 3


def test_what_cannot_be_told_is_one_line(tmp_path: Path) -> None:
    with Store(tmp_path / STORE_NAME, create=True) as store:
        store.put(training(robustness=None))
    status, _, error = results(str(tmp_path), "--time-to", "50")
    assert (status, "--time-to is 50; it must be above 0 and at most 1" in error) == (2, True)
    status, _, error = results(str(tmp_path), "--robustness")
    assert (status, error.count("\n")) == (2, 1)
    assert "was tested so; train with --robustness" in error


def test_means_over_seeds_tell_the_seeds_that_failed_and_what_sets_groups_apart() -> None:
    lost = [
        training(f"f{seed}", seed=seed, status="failed", reason="diverged", robustness=None)
        for seed in range(3, 10)
    ]
    records = [*(training(f"t{seed}", seed=seed) for seed in range(3)), *lost]
    other = training("bf16", precision="bf16")
    for table in (robustness_tables([*records, other])[1], time_table([*records, other], [0.5])):
        assert column_of(table, "data") == ["digits, quick (bf16)", "digits, quick (fp32)"]
        assert column_of(table, "seeds") == ["1", "3 (7 of 10 failed)"]
