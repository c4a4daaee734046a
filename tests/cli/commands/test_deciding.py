"""`ranks`, `specialisation`, `front`, `curves` and `exported` over a store, as commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from blockzoo.results.records import Record
from blockzoo.results.store.database import Store
from tests.cli.commands.running import run
from tests.record_samples import cost, latency, training

POSITIONS = ("early", "mid", "late")
SKILLS = {
    "ResNetBasicBlock": (0.80, 0.80, 0.80),
    "Early": (0.86, 0.79, 0.78),
    "Late": (0.70, 0.71, 0.77),
    "Poor": (0.50, 0.51, 0.50),
    "Mixed": (0.60, 0.66, 0.70),
}


def records() -> list[Record]:
    made: list[Record] = []
    for row, (block, skills) in enumerate(SKILLS.items()):
        for position, skill in zip(POSITIONS, skills, strict=True):
            for seed in range(4):
                accuracy = skill + 0.002 * ((seed * (row + 2)) % 3) + 0.01 * seed
                name = f"{block} {position} {seed}"
                made.append(training(name, block, (position,), seed=seed, test_accuracy=accuracy))
            made.append(cost(f"c {block} {position}", block, (position,)))
            made.append(latency(f"l {block} {position}", block, (position,), session="s"))
    return made


@pytest.fixture(autouse=True)
def _store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    with Store("results", create=True) as store:
        store.put_all(records())


def test_ranks_at_each_position_and_how_far_they_agree() -> None:
    status, output, _ = run("ranks")
    assert status == 0
    assert [f"Ranks at {p}: digits, quick" in output for p in POSITIONS] == [True] * 3
    assert "early and late (digits, quick): Kendall's tau 0.80" in output


def test_where_blocks_belong_as_a_table_and_a_heat_map() -> None:
    status, output, _ = run("specialisation", "--plot", "positions.png")
    assert status == 0
    (early,) = [line for line in output.splitlines() if line.strip().startswith("Early")]
    assert early.rstrip().endswith("early specialist")
    assert Path("positions.png").stat().st_size > 10_000


def test_what_accuracy_costs_and_who_is_best_within_limits() -> None:
    status, output, _ = run("front", "--max-latency-ms", "6", "-p", "early", "--plot", "front.svg")
    assert status == 0
    assert "best with latency_ms up to 6: Early early" in output
    assert "Accuracy against latency ratio: digits, quick" in output
    assert Path("front.svg").is_file()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["front", "--cost", "flops"], "cost is 'flops'; allowed: latency, macs, params"),
        (["front", "--max-params", "0"], "--max-params is 0"),
        (["front", "-p", "middle"], "middle"),
        (["front", "--plot", "a.pdf"], "pdf"),
        (["front", "--cost", "energy"], "holds no block with both accuracy and energy"),
        (["specialisation", "--margin", "0"], "--margin is 0"),
        (["curves", "--over", "time"], "unknown axis 'time'"),
        (["curves", "--of", "test_accuracy"], "unknown measure of an epoch 'test_accuracy'"),
        (["curves", "--over", "budget"], "results holds no block at two budgets"),
        (["curves", "--plot", "a.pdf"], "pdf"),
        (["exported"], "--dataset is missing; name the data"),
        (["exported", "--dataset", "digits"], "results holds no training with its weights"),
        (["exported", "--dataset", "digits", "--precision", "int8"], "nothing can be run so: int8"),
        (["exported", "--dataset", "digits", "--backend", "none"], "unknown backend 'none'"),
    ],
)
def test_wrong_use_is_one_line(arguments: list[str], told: str) -> None:
    status, _, error = run(*arguments)
    assert status == 2
    assert told in " ".join(error.split())
    assert len(error.splitlines()) == 1


def test_how_blocks_learn_as_a_table_and_a_figure() -> None:
    status, output, _ = run("curves", "-p", "mid", "--plot", "curves.png")
    assert status == 0
    assert "digits, quick: validation accuracy, %" in output
    # All samples learn alike: a mean of 80% whose interval has no width.
    assert output.count("80.00 to 80.00") == len(SKILLS)
    assert Path("curves.png").stat().st_size > 10_000


def test_trainings_without_epochs_have_no_learning_curve() -> None:
    with Store("bare", create=True) as store:
        store.put(training("bare", "A", epochs=()))
    status, output, error = run("curves", "bare")
    assert (status, output) == (2, "")
    assert "bare holds no training with epochs" in " ".join(error.split())


def test_accuracy_over_budgets() -> None:
    with Store("results") as store:
        for budget, accuracy in (("0.5x", 0.60), ("2x", 0.70)):
            for seed in range(3):
                name = f"{budget} {seed}"
                block = f"Mixed[expansion={len(budget)}]"
                store.put(
                    training(
                        name,
                        block,
                        seed=seed,
                        protocol=f"v1+macs@{budget}",
                        test_accuracy=accuracy + 0.01 * seed,
                    )
                )
    status, output, _ = run("curves", "--over", "budget", "--plot", "budgets.svg")
    assert status == 0
    (row,) = [line.split() for line in output.splitlines() if "Mixed" in line]
    # Mean of 70, 71, 72; t(2, 0.975) x 1 / sqrt 3 is 2.48.
    assert row == ["mid", "Mixed", "3", "0.5", "61.00", "2", "71.00", "68.52", "to", "73.48"]
    assert Path("budgets.svg").is_file()


@pytest.mark.parametrize("command", ["ranks", "specialisation", "front"])
def test_a_store_that_is_not_there_is_named(command: str) -> None:
    status, _, error = run(command, "nowhere")
    assert status == 1
    assert "nowhere" in error


@pytest.mark.parametrize("command", ["ranks", "specialisation", "front"])
def test_a_store_with_nothing_to_decide_says_so(command: str) -> None:
    with Store("empty", create=True) as store:
        store.put(training("t", "A"))
    status, output, error = run(command, "empty")
    assert (status, output) == (2, "")
    assert "empty holds no" in " ".join(error.split())
