"""Scaling end to end on small networks: what is varied, what is drawn, and bad input."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import blockzoo.cli  # noqa: F401 - adds the commands
from blockzoo.cli.app import app
from blockzoo.core.errors import InputError
from blockzoo.experiments.scaling import best_throughput, measure_scaling
from blockzoo.measure.timing.settings import LatencySettings
from blockzoo.report.figures.scaling_plot import scaling_figure
from blockzoo.scaffold.net import ScaffoldConfig

SMALL = ScaffoldConfig(width=8, depth=1)
FAST = LatencySettings(
    processes=0,
    min_rounds=3,
    rounds_max=3,
    min_seconds=0.0,
    warmup_calls=1,
    warmup_max_s=0.01,
    budget_s=5.0,
)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["scaling", *arguments])


def test_each_value_is_a_session_of_all_blocks() -> None:
    blocks = ["ResNetBasicBlock", "ConvBNAct"]
    told: list[float] = []
    records = measure_scaling(
        blocks,
        "mid",
        "resolution",
        [16, 24],
        config=SMALL,
        settings=FAST,
        progress=lambda fraction, text: told.append(fraction),
    )
    found = [(record.block, record.scaffold.input_shape) for record in records]
    assert found == [(block, (3, size, size)) for size in (16, 24) for block in blocks]
    assert all(record.status == "ok" for record in records)
    assert told == sorted(told)
    assert told[-1] <= 1.0
    figure = scaling_figure(records, "resolution")
    assert figure.get_suptitle() == "Speed and rank by resolution, mid stage"
    assert [axes.get_xlabel() for axes in figure.axes] == [
        "height and width of the input (pixels)"
    ] * 2


def test_threads_and_batches_are_recorded_as_varied() -> None:
    by_batch = measure_scaling(
        ["ConvBNAct"], "mid", "batch_size", [1, 2], config=SMALL, settings=FAST
    )
    assert [record.batch_size for record in by_batch] == [1, 2]
    by_threads = measure_scaling(
        ["ConvBNAct"], "mid", "threads", [1, 2], config=SMALL, settings=FAST
    )
    assert [record.threads for record in by_threads] == [1, 2]


def test_the_best_batch_is_measured_in_full() -> None:
    found = best_throughput("ConvBNAct", "mid", config=SMALL, settings=FAST, largest_batch=2)
    assert [point.batch_size for point in found.search.points] == [1, 2]
    assert found.record.batch_size == found.search.best.batch_size
    assert found.record.status == "ok"


def test_no_values_are_refused() -> None:
    with pytest.raises(InputError, match="values of threads are"):
        measure_scaling(["ConvBNAct"], "mid", "threads", [])


def test_the_command_ranks_and_draws(tmp_path: Path) -> None:
    plot = tmp_path / "scaling.svg"
    result = run(
        *("ConvBNAct", "ResNetBottleneck", "--protocol", "quick", "--batch-sizes", "1,2"),
        *(
            "--budget",
            "0.2",
            "--processes",
            "0",
            "--plot",
            str(plot),
            "--output",
            str(tmp_path / "rows.csv"),
        ),
    )
    assert result.exit_code == 0, result.output
    assert "Images per second (rank) by batch" in result.stdout
    assert "Kendall's tau of the rankings at batch size 1 and 2" in result.stdout
    assert "pairs reversed with intervals apart at both: " in result.stdout
    assert plot.read_text().lstrip().startswith("<?xml")
    assert (tmp_path / "rows.csv").read_text().count("ConvBNAct") > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "0 of --batch-sizes, --resolutions and --threads given"),
        (["--threads", "1", "--resolutions", "32"], "2 of --batch-sizes"),
        (["--batch-sizes", "1,x"], "batch_size is '1,x'; write whole numbers"),
        (["--batch-sizes", "0,1"], "batch_size is 0; it must be 1 or more"),
        (["--batch-sizes", "1", "--plot", "x.gif"], "figure format is 'gif'"),
        (["--throughput", "--threads", "1"], "--throughput chooses the batch size itself"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], message: str) -> None:
    result = run("ConvBNAct", *arguments)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert message in result.stderr
