from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from blockzoo.results.records import TrainingRecord
from blockzoo.results.store.database import Store
from tests.cli.commands.running import run

OPTIONS = [
    "-p", "mid", "--width", "4", "--depth", "1", "--epochs", "1", "--protocol", "quick",
    "--precision", "fp32", "--device", "cpu", "--latency-budget", "0.05",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_from_nothing_to_a_sentence_and_nothing_is_run_twice(tiny_npz: Path) -> None:
    arguments = ("compare", "Identity", "--dataset", str(tiny_npz), *OPTIONS, "--seeds", "3")
    status, _, planned = run(*arguments, "--dry-run")
    assert status == 0
    assert (
        "Identity against ResNetBasicBlock: 1 comparison at each position, judged together"
        in planned
    )
    with Store("results") as store:
        assert store.records() == []
    status, output, told = run(*arguments)
    assert status == 0
    assert "9 trials to run (2 costs, 1 session of latencies, 6 trainings), 0 are there" in told
    (sentence,) = [line for line in output.splitlines() if line.startswith("On ")]
    assert "protocol quick~" in sentence
    assert "3 paired seeds" in sentence
    assert "for new images" in " ".join(output.split())
    again = run(*arguments)
    assert again[0] == 0
    assert "0 trials to run, " in again[2]
    assert output.splitlines()[-1] in again[1]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "name your block first"),
        (["--all"], "name your block first"),
        (["Identity", "--seeds", "1"], "one seed is given; a difference needs two or more"),
        (["Identity", "--margin", "0"], "--margin is 0"),
        (["Identity", "Identity"], "a block is named twice"),
        (["Identity", "--seeds", "2", "--until-decided"], "give one of --seeds, --until-decided"),
        (["Identity", "--seeds", "2", "--time-budget", "1"], "give one of --seeds"),
        (["Identit"], "Identity"),
        (
            ["Identity", "--match", "flops"],
            "'flops' names no budget; write macs, params, latency, or",
        ),
        (
            ["Identity", "--match", "macs@"],
            "'macs@' names no budget; write macs, params, latency, or",
        ),
        (["Identity", "--match", "macs@0x"], "budget is 0; it must be above 0"),
        (
            ["Identity", "--match", "macs", "--protocol", "v1+params"],
            "the protocol names a track; leave out --match",
        ),
    ],
)
def test_wrong_use_is_one_line_before_anything_runs(arguments: list[str], told: str) -> None:
    status, _, error = run("compare", *arguments)
    assert status == 2
    assert told in error
    assert not Path("results").exists()


def test_a_time_budget_plans_the_seeds(tiny_npz: Path) -> None:
    arguments = ("compare", "Identity", "--dataset", str(tiny_npz), *OPTIONS, "--dry-run")
    (short, long) = (run(*arguments, "--time-budget", hours)[2] for hours in ("0.0001", "10"))
    assert "judged together; 2 seeds\n" in short
    assert "judged together; 100 seeds\n" in long


def test_at_equal_cost_blocks_are_fitted_and_what_cannot_be_is_a_row(tiny_npz: Path) -> None:
    blocks = ("InvertedResidual", "MobileOneBlock", "Identity")
    options = ("--dataset", str(tiny_npz), *OPTIONS, "--width", "16", "--seeds", "2")
    status, output, told = run(
        "compare", *blocks, *options, "--match", "macs", "--match", "macs@2x", "--match", "macs@1x"
    )
    assert status == 0
    assert "Stages fitted to 2 of the context block's, MMACs" in told
    assert output.count("stages of 1 times the context block's macs:") == 1
    assert "Identity cannot reach the target; nearest is Identity" in " ".join(output.split())
    with Store("results") as store:
        trained = {(r.block, r.protocol) for r in store.records() if isinstance(r, TrainingRecord)}
    assert {protocol.rpartition("+")[2] for _, protocol in trained} == {"macs", "macs@2x"}
    assert {block.partition("[")[0] for block, _ in trained} == {
        "InvertedResidual",
        "MobileOneBlock",
    }
    assert all("[" in block for block, _ in trained)


def test_what_is_done_is_compared_without_what_trains_and_draws() -> None:
    # A gigabyte must do for a store of a hundred thousand records; these take 250 MB.
    code = (
        "import sys, blockzoo.cli.actions.comparing\n"
        "heavy = {'lightning', 'matplotlib', 'pandas', 'pyarrow', 'sklearn'}\n"
        "print(sorted(heavy & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_dry_run_says_what_fitting_latencies_takes(tiny_npz: Path) -> None:
    options = ("--dataset", str(tiny_npz), *OPTIONS, "--latency-budget", "2")
    status, _, told = run("compare", "Identity", "--match", "latency", "--dry-run", *options)
    assert status == 0
    # Two blocks, the context and the empty scaffold: four networks of 2 s in six sessions.
    assert "2 blocks timed first at 1 position, in up to 6 sessions each, 1 min" in told
