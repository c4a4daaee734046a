from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from blockzoo.cli.actions.choices import chosen_seeds
from blockzoo.cli.actions.requests import chosen_resident, sweep_request
from blockzoo.cli.app import app
from blockzoo.cli.option_groups import TrainingOptions
from blockzoo.cli.sweep_options import SweepOptions
from blockzoo.core.errors import InputError, UnknownNameError
from blockzoo.core.position import POSITIONS, Position
from blockzoo.core.ranges import SEEDS
from blockzoo.experiments.protocol import get_protocol
from blockzoo.experiments.sweep import run as sweep_module
from blockzoo.experiments.train import train_placement
from blockzoo.experiments.tuning import trial
from blockzoo.experiments.tuning import tune as tune_module
from blockzoo.results.records import TrainingRecord
from blockzoo.results.store.database import Store
from blockzoo.scaffold.placement import Placement
from blockzoo.training.loggers import LogTo
from blockzoo.training.run_options import RunOptions
from blockzoo.training.settings import TrainingSettings

TINY = [
    "Identity", "-p", "mid", "--width", "4", "--depth", "1", "--epochs", "1", "--precision", "fp32",
    "--device", "cpu", "--protocol", "quick", "--seeds", "1",
]  # fmt: skip
COMMANDS = {
    "train": ["train"],
    "sweep": ["sweep", "--no-plots", "--only", "training"],
    "tune": ["tune", "--trials", "1"],
}


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stderr


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def trained() -> list[TrainingRecord]:
    with Store("results") as store:
        records = store.records(kind="training")
    return [record for record in records if isinstance(record, TrainingRecord)]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("option", "flip"), [([], False), (["--flip"], True), (["--no-flip"], False)]
)
def test_the_first_line_says_whether_images_are_flipped_and_so_does_the_record(
    command: str, option: list[str], flip: bool, tiny_npz: Path
) -> None:
    chosen = [*COMMANDS[command], *TINY, "--dataset", str(tiny_npz), *option]
    status, errors = run(*chosen)
    said = "flipped left to right at random" if flip else "not flipped"
    assert status == 0, errors
    assert errors.splitlines()[0] == (
        f"data: tiny, 3 classes, 60 images to train on and 30 to test on, 3x8x8, {said}"
    )
    assert [record.recipe["flip"] for record in trained()] == [flip]


def test_what_is_not_given_is_as_in_the_protocol() -> None:
    request = sweep_request(TrainingOptions(blocks=["RepMixer"]), seeds=None)
    v1 = get_protocol("v1")
    assert request.protocol == v1.changed(blocks=("RepMixer",))
    assert request.protocol.label == "v1"
    assert request.options == RunOptions(checkpoints=Path("results/checkpoints"))
    assert (request.device, request.compiled, request.skip_bad_images) == ("auto", False, False)


def test_what_is_given_is_changed() -> None:
    chosen = SweepOptions(
        blocks=["RepMixer", "Identity"],
        positions=["late", "early"],
        protocol="quick",
        dataset="cifar10",
        skip_bad_images=True,
        robustness=True,
        epochs=3,
        batch_size=8,
        learning_rate=0.5,
        precision="fp32",
        channels_last=True,
        context="Identity",
        depth=1,
        width=8,
        stem="large",
        device="cpu",
        resident="no",
        log=["csv", "csv"],
        results="kept/store.db",
        experiment_name="a",
        notes="b",
        resume=False,
        on_oom="fail",
        save_weights=True,
        latency_budget_s=0.5,
        latency_processes=7,
    )
    request = sweep_request(chosen, seeds=(4, 5))
    protocol, recipe = request.protocol, request.protocol.recipe
    assert (protocol.blocks, protocol.positions) == (
        ("RepMixer", "Identity"),
        (Position.EARLY, Position.LATE),
    )
    assert (protocol.seeds, protocol.dataset) == ((4, 5), "cifar10")
    assert (protocol.latency_budget_s, protocol.latency_processes) == (0.5, 7)
    assert (protocol.context, protocol.depth, protocol.width) == ("Identity", 1, 8)
    assert protocol.scaffold(classes=2, input_shape=(3, 8, 8)).stem_kind == "large"
    assert (recipe.epochs, recipe.batch_size, recipe.learning_rate) == (3, 8, 0.5)
    assert (recipe.precision, recipe.channels_last) == ("fp32", True)
    assert (request.skip_bad_images, request.device) == (True, "cpu")
    assert request.options == RunOptions(
        robustness=True,
        resume=False,
        resident=False,
        on_oom="fail",
        experiment_name="a",
        notes="b",
        checkpoints=Path("kept/checkpoints"),
        save_weights=Path("kept/weights"),
        log_to=LogTo(folder=Path("kept/logs"), loggers=("csv",)),
    )


def test_blocks_are_the_protocols_only_where_a_command_says_so() -> None:
    with pytest.raises(InputError, match="no block given"):
        sweep_request(TrainingOptions(), seeds=None)
    request = sweep_request(TrainingOptions(protocol="quick"), seeds=None, protocols_blocks=True)
    assert request.protocol == get_protocol("quick")
    assert request.protocol.positions == POSITIONS


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_shared_reaches_every_training(
    command: str, tiny_npz: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[RunOptions] = []

    def spy(
        placement: Placement, settings: TrainingSettings, options: RunOptions, **listeners: Any
    ) -> TrainingRecord:
        asked.append(options)
        return train_placement(placement, settings, options, **listeners)

    for module in (sweep_module, tune_module, trial):
        monkeypatch.setattr(module, "train_placement", spy)
    options = ["--dataset", str(tiny_npz), "--stem", "large", "--resident", "no"]
    options += ["--no-resume", "--on-oom", "fail", "--save-weights"]
    assert run(*COMMANDS[command], *TINY, *options)[0] == 0
    assert {(o.resident, o.resume, o.on_oom) for o in asked} == {(False, False, "fail")}
    assert {o.checkpoints for o in asked} == {Path("results/checkpoints")}
    assert list(Path("results/checkpoints").iterdir()) == []
    assert [record.weights_path for record in trained()] == list(
        map(str, Path("results/weights").iterdir())
    )
    assert {record.scaffold.stem for record in trained()} == {"large"}
    assert len(asked) == {"train": 1, "sweep": 1, "tune": 2}[command]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--stem", "huge"], "stem is 'huge'; it must be auto, small, half or large"),
        (["--seeds", "0"], "--seeds is 0; it must be 1 or more"),
        (["--seeds", "10001"], "--seeds is 10001; it must be within 1..10000"),
        (["--resident", "1"], "unknown --resident '1'; allowed: auto, yes, no"),
        (
            ["--log", "csv", "--log", "tensorbord"],
            "unknown logger 'tensorbord'; did you mean tensorboard?",
        ),
    ],
)
def test_bad_values_are_one_line_before_anything_is_done(
    command: str, arguments: list[str], line: str
) -> None:
    assert run(*COMMANDS[command], *TINY, *arguments) == (2, f"error: {line}\n")
    assert not Path("results").exists()


def test_residence_changes_no_number(tiny_npz: Path) -> None:
    curves = []
    for answer in ("yes", "no"):
        options = ["--dataset", str(tiny_npz), "--resident", answer, "--results", answer]
        assert run("train", *TINY, *options)[0] == 0
        with Store(answer) as store:
            (record,) = store.records(kind="training")
        assert isinstance(record, TrainingRecord)
        curves.append((record.trial_id, record.test_loss, record.epochs[0].train_loss))
    assert curves[0] == curves[1]


def test_no_number_of_seeds_reaches_that_of_the_tuning() -> None:
    assert chosen_seeds(3, first=7) == (7, 8, 9)
    assert trial.TUNING_SEED not in chosen_seeds(int(SEEDS.most))


def test_the_answers_on_residence() -> None:
    assert [chosen_resident(name) for name in ("auto", "yes", "no")] == ["auto", True, False]
    with pytest.raises(UnknownNameError, match="unknown --resident 'ye'; did you mean yes"):
        chosen_resident("ye")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_training_is_logged_below_the_results(command: str, tiny_npz: Path) -> None:
    options = ["--dataset", str(tiny_npz), "--log", "csv", "--log", "csv"]
    assert run(*COMMANDS[command], *TINY, *options)[0] == 0
    (record,) = trained()
    logs = {path.name: path for path in Path("results/logs/csv").iterdir()}
    seeds = {"train": ["0"], "sweep": ["0"], "tune": ["0", "10000"]}[command]
    assert sorted(name.split("-seed")[1].split("-")[0] for name in logs) == seeds
    with (logs[f"Identity-mid-tiny-seed0-{record.trial_id[:8]}"] / "metrics.csv").open() as file:
        epoch, end = csv.DictReader(file)
    assert float(epoch["val_loss"]) == record.epochs[0].val_loss
    assert float(end["test_loss"]) == record.test_loss
    for name, path in logs.items():
        assert ("test_loss" in (path / "metrics.csv").read_text()) == ("seed0-" in name)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", ["tensorboard", "mlflow", "wandb"])
def test_a_logger_without_its_package_is_one_line_before_anything_is_done(
    command: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("blockzoo.training.loggers.find_spec", lambda package: None)
    status, errors = run(*COMMANDS[command], *TINY, "--log", "csv", "--log", name)
    assert status == 2
    assert errors.startswith("error: logging to ")
    assert errors.endswith(f" needs its package: pip install 'blockzoo[{name}]'\n")
    assert errors.count("\n") == 1
    assert not Path("results").exists()
