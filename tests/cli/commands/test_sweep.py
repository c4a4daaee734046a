"""`sweep`: files, dry runs, shards, a time budget, and `sweep status`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from blockzoo.results.store.database import Store
from tests.cli.commands.running import run

FILE = """
protocol = "quick"
blocks = ["Identity", "ConvBNAct"]
positions = ["mid"]
seeds = 2
dataset = "{data}"
width = [4, 8]
depth = 1
epochs = 1
precision = "fp32"
latency_budget_s = 0.05
latency_processes = 0
"""
MADE = ["--device", "cpu", "--no-plots"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def file(tiny_npz: Path) -> str:
    Path("sweep.toml").write_text(FILE.format(data=tiny_npz))
    return "sweep.toml"


def _counts(output: str) -> list[str]:
    return [line.strip() for line in output.splitlines() if " to run, about" in line]


def test_a_dry_run_says_what_would_run_and_makes_nothing(file: str) -> None:
    status, output, _ = run("sweep", file, "--dry-run", *MADE)
    assert status == 0
    assert "(width 4) on tiny: 2 blocks, 1 position, 2 seeds" in output
    assert "(width 8) on tiny: 2 blocks, 1 position, 2 seeds" in output
    counts = [line.split(" to run")[0] for line in _counts(output)]
    assert counts == ["2 costs", "1 session of latencies", "4 trainings"] * 2
    assert "by a guess: no training of this protocol is in the store" in output
    assert "device hours" in output
    assert [path.name for path in Path().iterdir()] == ["sweep.toml"]


def test_a_dry_run_that_must_time_first_says_so_and_not_that_nothing_is_left(
    tiny_npz: Path,
) -> None:
    options = ("Identity", "-p", "mid", "--width", "4", "--depth", "1", "--dataset", str(tiny_npz))
    status, output, told = run("sweep", *options, "--protocol", "quick+latency", "--dry-run", *MADE)
    assert (status, output.strip()) == (0, "")
    assert "1 block timed first at 1 position" in told


def test_a_file_is_swept_and_then_there_is_nothing_to_do(file: str) -> None:
    status, output, told = run("sweep", file, *MADE)
    assert status == 0, told
    assert "protocol 2 of 2" in told
    with Store("results") as store:
        assert {record.scaffold.width for record in store.records(kind="training")} == {4, 8}
        assert len(store.records()) == 2 * (2 + 2 + 4)
    assert {line.split()[-1] for line in told.splitlines() if "protocol" in line} >= {"4)", "8)"}
    status, output, _ = run("sweep", file, "--dry-run", *MADE)
    assert (status, output.splitlines()[-1]) == (0, "nothing is left to run")
    assert output.count("7 trials are there") == 2
    # More seeds are expected to take what those before took.
    status, output, _ = run("sweep", file, "--dry-run", "--seeds", "4", *MADE)
    assert _counts(output) == ["4 trainings to run, about 1 min"] * 2


def test_trainings_alone_have_no_plots_and_that_is_no_error(file: str) -> None:
    status, _, told = run("sweep", file, "--only", "training", "--device", "cpu")
    assert status == 0, told
    assert "no plots: " in told
    assert Path("results/results.csv").is_file()


def test_costs_alone_have_no_table_of_a_header(file: str) -> None:
    status, output, told = run("sweep", file, "--width", "4", "--only", "cost", *MADE)
    assert (status, output) == (0, "")
    assert "nothing is trained yet; `blockzoo results list results` lists what there is" in told
    assert run("results")[:2] == (0, "")
    assert "Identity" in run("results", "list")[1]


def test_options_go_over_the_file(file: str) -> None:
    _, output, _ = run(
        "sweep", file, "--width", "6", "--seeds", "3", "-p", "late", "--dry-run", *MADE
    )
    (line,) = [line for line in output.splitlines() if " on tiny" in line]
    assert line.endswith("on tiny: 2 blocks, 1 position, 3 seeds")
    assert "width" not in line


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["sweep.toml", "Identity"], "name a sweep file alone"),
        (["none.toml"], "sweep file none.toml cannot be read: No such file"),
        (["sweep.toml", "--only", "speed"], "unknown kind of trial 'speed'"),
        (["sweep.toml", "--shard", "3/2"], "shard is 3/2; it must be i/n"),
        (["sweep.toml", "--time-budget", "0"], "--time-budget is 0"),
        (["sweep.toml", "--threads", "many"], "threads is 'many'; give a whole number or all"),
        (["status", "Identity"], "error: No such option: --device"),
    ],
)
def test_wrong_use_is_one_line_and_makes_nothing(
    arguments: list[str], told: str, file: str
) -> None:
    status, output, errors = run("sweep", *arguments, *MADE)
    assert (status, output) == (2, "")
    assert told in errors
    assert errors.count("\n") == 1
    assert [path.name for path in Path().iterdir()] == [file]


def test_a_pace_that_is_not_there_is_one_line(file: str) -> None:
    status, _, errors = run("sweep", file, "--pace-from", "nowhere", *MADE)
    assert status != 0
    assert errors.count("\n") == 1
    assert "nowhere" in errors


def test_shards_share_the_trials_out(file: str) -> None:
    found = []
    for shard in ("1/2", "2/2"):
        arguments = ("sweep", file, "--width", "4", "--shard", shard, "--results", shard[0], *MADE)
        status, output, _ = run(*arguments, "--dry-run")
        assert f", shard {shard}" in output
        status, _, errors = run(*arguments)
        assert status == 0, errors
        with Store(shard[0]) as store:
            found.append({record.trial_id for record in store.records()})
    first, second = found
    assert first
    assert second
    assert not first & second
    assert len(first | second) == 2 + 2 + 4


def test_only_what_is_asked_for_is_run(file: str) -> None:
    run("sweep", file, "--width", "4", "--only", "cost", *MADE)
    with Store("results") as store:
        assert [record.kind for record in store.records()] == ["cost", "cost"]


def test_a_time_budget_that_is_over_starts_no_more_and_is_no_failure(file: str) -> None:
    run("sweep", file, "--width", "4", "--seeds", "1", *MADE)
    # A millionth of an hour: what the store says of trainings tells that none would end.
    status, _, told = run("sweep", file, "--width", "4", "--time-budget", "0.000001", *MADE)
    assert status == 0
    assert "no time for 2 trials (2 training), which would not have ended" in told
    with Store("results") as store:
        assert len(store.records(kind="training")) == 2


def test_status_says_what_there_is(file: str) -> None:
    status, _, errors = run("sweep", "status")
    assert (status, "results" in errors) == (1, True)
    run("sweep", file, *MADE)
    status, output, _ = run("sweep", "status")
    assert status == 0
    first, second, third = output.splitlines()
    assert first == "in the store: 4 cost, 4 latency, 8 training"
    assert "on tiny, protocol 2 of 2: process" in second
    assert ", ended " in second
    assert third == "  7 of 7 trials done; 0 were there before"


def test_status_says_what_is_left_of_a_sweep_that_was_stopped(file: str) -> None:
    run("sweep", file, "--width", "4", "--time-budget", "0.000001", *MADE)
    _, output, _ = run("sweep", "status")
    assert ", stopped " in output
    assert output.splitlines()[-1].startswith("  7 left. What has ended is kept, and the same")


def test_status_says_that_a_driver_is_gone(file: str) -> None:
    run("sweep", file, "--width", "4", "--only", "cost", *MADE)
    (path,) = Path("results/progress").glob("*.json")
    state = json.loads(path.read_text())
    path.write_text(json.dumps({**state, "ended_at": None, "process_started": 1.0}))
    _, output, _ = run("sweep", "status")
    assert "that process is no longer alive; last heard at" in output


def test_a_sweep_leaves_a_log(file: str) -> None:
    run("sweep", file, "--width", "4", *MADE)
    lines = Path("results/logs/sweep.jsonl").read_text().splitlines()
    events = [json.loads(line)["event"] for line in lines]
    assert {kind: events.count(kind) for kind in sorted({*events})} == {
        "epoch": 4,
        "finished": 7,
        "planned": 1,
        "started": 7,
    }
