from __future__ import annotations

from pathlib import Path

import pytest
import torch

from blockzoo.core.errors import DeviceMemoryError
from blockzoo.experiments.tuning import search, tune
from blockzoo.results.records import TrainingRecord
from blockzoo.results.store.database import Store
from blockzoo.scaffold.placement import Placement
from blockzoo.training import compilation
from blockzoo.training.run_options import RunOptions
from blockzoo.training.settings import TrainingSettings
from tests.cli.commands.running import run

OPTIONS = [
    "-p", "mid", "--width", "4", "--depth", "1", "--epochs", "1", "--protocol", "quick",
    "--precision", "fp32", "--seeds", "2", "--device", "cpu",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def trainings(protocol: str | None = None) -> list[TrainingRecord]:
    with Store("results") as store:
        records = store.records(kind="training", protocol=protocol)
    return [record for record in records if isinstance(record, TrainingRecord)]


def test_both_tracks_are_in_one_store_and_side_by_side_in_the_table(tiny_npz: Path) -> None:
    data = ["--dataset", str(tiny_npz)]
    assert run("train", "Identity", *data, *OPTIONS)[0] == 0
    (label,) = {record.protocol for record in trainings()}
    status, output, _ = run("tune", "Identity", *data, *OPTIONS, "--trials", "3")
    assert status == 0
    assert output.count("complete") == 3
    assert output.count("complete, chosen") == 1
    assert f"{label} and {label}+tuned3" in output
    tuned = trainings(f"{label}+tuned3")
    assert [record.seed for record in tuned] == [0, 1]
    for record in tuned:
        assert record.recipe["tuning"]["trials"] == 3
        assert f"{record.recipe['learning_rate']:.2e}" in output
    assert Path("results/tuning.db").exists()
    summary = run("results")[1]
    assert f"{label}+tuned3" in summary
    assert f"{label} " in summary

    again = run("tune", "Identity", *data, *OPTIONS, "--trials", "3")
    assert again[1] == output
    assert trainings(f"{label}+tuned3") == tuned


def test_all_trainings_are_compiled_on_request(
    tiny_npz: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def function(net: torch.nn.Module, *_: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("no compiler")

    monkeypatch.setattr(compilation, "_function", lambda network, kind: function)
    options = ["--dataset", str(tiny_npz), *OPTIONS, "--compile"]
    assert run("train", "Identity", *options)[0] == 0
    assert run("sweep", "Identity", *options, "--latency-budget", "0.1", "--no-plots")[0] == 0
    assert run("tune", "Identity", *options, "--trials", "1")[0] == 0
    default, tuned = (
        [record for record in trainings() if ("tuned" in record.protocol) == is_tuned]
        for is_tuned in (False, True)
    )
    # The sweep finds the trainings of `train` done.
    assert (len(default), len(tuned)) == (2, 2)
    for record in (*default, *tuned):
        assert record.notes == "not compiled: RuntimeError: no compiler"


def test_a_network_that_is_the_same_at_all_positions_is_tuned_once(tiny_npz: Path) -> None:
    everywhere = [*OPTIONS[2:], "--dataset", str(tiny_npz), "--trials", "1"]
    status, output, _ = run("tune", "ResNetBasicBlock", *everywhere)
    assert status == 0
    assert output.count("trials on validation") == 1
    assert "early/mid/late" in output
    assert len(trainings()) == 2


def test_without_optuna_it_says_what_to_install(
    tiny_npz: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "find_spec", lambda name: None)
    status, _, errors = run("tune", "Identity", *OPTIONS, "--dataset", str(tiny_npz))
    assert status == 2
    assert errors == "error: tuning needs Optuna: pip install 'blockzoo[tune]'\n"


def test_a_block_that_fails_is_named_and_the_others_go_on(tiny_npz: Path) -> None:
    options = ["-p", "early", *OPTIONS[2:], "--trials", "1", "--width", "5"]
    options += ["--dataset", str(tiny_npz)]
    status, output, errors = run("tune", "GhostBottleneckV3", "Identity", *options)
    assert status == 1
    assert "failed: " in errors
    assert "GhostBottleneckV3" in errors
    assert {record.block for record in trainings()} == {"Identity"}
    assert "Identity" in output


def test_trials_that_do_not_fit_into_memory_fail_their_block_on_request(
    tiny_npz: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(
        placement: Placement, settings: TrainingSettings, options: RunOptions, **_: object
    ) -> TrainingRecord:
        assert options.on_oom == "fail"
        raise DeviceMemoryError("a batch of 32 does not fit")

    monkeypatch.setattr(tune, "train_placement", train)
    options = ["--dataset", str(tiny_npz), *OPTIONS, "--trials", "1", "--on-oom", "fail"]
    status, output, errors = run("tune", "Identity", *options)
    assert (status, output) == (1, "")
    assert errors.splitlines()[1:] == ["failed: a batch of 32 does not fit"]
