from __future__ import annotations

import importlib
import os
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from blockzoo.core.errors import InputError, UnknownNameError
from blockzoo.training import loggers
from blockzoo.training.loggers import LOGGERS, LogTo, OpenLogger, Run, open_logger

RUN = Run(
    block="blocks/own.py:Mine",
    position="mid",
    dataset="hf:mnist@32",
    seed=3,
    trial_id="0123456789abcdef" * 2,
    settings={"recipe": {"epochs": 2}},
)


def tell(opened: OpenLogger, *epochs: int) -> None:
    for epoch in epochs:
        opened.logger.log_metrics({"epoch": epoch, "val_loss": 1 / epoch}, epoch)
        opened.logger.save()


def test_a_run_has_a_name_for_people_and_one_for_its_folder() -> None:
    assert RUN.name == "blocks/own.py:Mine-mid-hf:mnist@32-seed3"
    assert RUN.folder_name == "blocks_own.py_Mine-mid-hf_mnist_32-seed3-01234567"
    assert RUN.all_settings["recipe"] == {"epochs": 2}
    assert RUN.all_settings["seed"] == 3


def test_an_unknown_logger_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="unknown logger 'tensorbord'; did you mean tensorb"):
        LogTo(folder=Path(), loggers=("csv", "tensorbord"))
    with pytest.raises(UnknownNameError, match="allowed: csv, tensorboard, mlflow, wandb"):
        LogTo(folder=Path(), loggers=("xyz",))


@pytest.mark.parametrize(
    ("name", "title"),
    [("tensorboard", "TensorBoard"), ("mlflow", "MLflow"), ("wandb", "Weights & Biases")],
)
def test_a_missing_package_is_named_with_its_extra(
    name: str, title: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loggers, "find_spec", lambda package: None)
    with pytest.raises(InputError) as caught:
        LogTo(folder=Path(), loggers=("csv", name))
    assert str(caught.value) == (
        f"logging to {title} needs its package: pip install 'blockzoo[{name}]'"
    )
    assert LogTo(folder=Path(), loggers=("csv",)).loggers == ("csv",)


def test_a_folder_of_that_name_is_no_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "no_such_package").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    assert not loggers._installed("no_such_package")
    assert loggers._installed("lightning")


def test_every_logger_can_be_opened() -> None:
    assert set(loggers._OPENERS) == set(LOGGERS)


def test_a_variable_of_the_environment_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOME_VARIABLE", raising=False)
    with loggers._environment_kept("SOME_VARIABLE"):
        os.environ["SOME_VARIABLE"] = "set"
    assert "SOME_VARIABLE" not in os.environ
    monkeypatch.setenv("SOME_VARIABLE", "mine")
    with loggers._environment_kept("SOME_VARIABLE"):
        os.environ["SOME_VARIABLE"] = "set"
    assert os.environ["SOME_VARIABLE"] == "mine"


@pytest.mark.parametrize(
    ("mode", "resumed", "resume", "epochs"),
    [
        (None, True, None, set()),
        ("offline", True, None, set()),
        ("online", False, None, set()),
        ("online", True, "allow", {1, 2}),
    ],
)
def test_wandb_goes_on_where_the_user_has_it_online_and_starts_anew_elsewhere(
    mode: str | None,
    resumed: bool,
    resume: str | None,
    epochs: set[int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: dict[str, Any] = {}
    codes: list[int] = []
    run = SimpleNamespace(
        summary={"epoch": 2},
        define_metric=lambda *_, **__: None,
        finish=lambda exit_code: codes.append(exit_code),
    )

    def init(**options: Any) -> SimpleNamespace:
        asked.update(options)
        return run

    fake = SimpleNamespace(init=init, Settings=dict)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.setattr("lightning.pytorch.loggers.wandb._WANDB_AVAILABLE", True)
    if mode is None:
        monkeypatch.delenv("WANDB_MODE", raising=False)
    else:
        monkeypatch.setenv("WANDB_MODE", mode)
    opened = open_logger("wandb", tmp_path, RUN, resumed=resumed)
    assert opened.epochs == epochs
    assert (asked["mode"], asked["resume"]) == (mode or "offline", resume)
    assert (asked["id"], asked["name"], asked["dir"]) == (RUN.trial_id, RUN.name, tmp_path)
    opened.close("success")
    opened.close("failed")
    assert codes == [0, 1]


@pytest.mark.parametrize("server", [None, "http://server"])
def test_files_of_mlflow_are_beside_its_database_unless_there_is_a_server(
    server: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str | None]] = []

    def create(name: str, artifact_location: str | None) -> int:
        asked.append((name, artifact_location))
        return 7

    client = SimpleNamespace(get_experiment_by_name=lambda name: None, create_experiment=create)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    if server is None:
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    else:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    place: Any = client
    assert loggers._mlflow_experiment(place, tmp_path) == "7"
    expected = None if server else (tmp_path / "artifacts").as_uri()
    assert asked == [("mine", expected)]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # other people's
def test_mlflow_works_without_a_server_and_a_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    from mlflow.tracking import MlflowClient

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    logs = tmp_path / "results" / "logs"
    open_logger("mlflow", logs, RUN, resumed=False)  # killed before its first epoch
    opened = open_logger("mlflow", logs, RUN, resumed=False)
    tell(opened, 1, 2)
    opened.close("failed")
    again = open_logger("mlflow", logs, RUN, resumed=True)
    assert again.epochs == {1, 2}
    tell(again, 3)
    again.close("success")
    fresh = open_logger("mlflow", logs, RUN, resumed=False)
    assert fresh.epochs == frozenset()
    fresh.close("success")
    client = MlflowClient(f"sqlite:///{logs}/mlflow/mlflow.db")
    experiment = client.get_experiment_by_name("blockzoo")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"])
    assert [(run.info.run_name, run.info.status) for run in runs] == [(RUN.name, "FINISHED")] * 2
    assert runs[0].data.params["recipe/epochs"] == "2"
    history = client.get_metric_history(runs[0].info.run_id, "val_loss")
    assert [(metric.step, metric.value) for metric in history] == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert "MLFLOW_TRACKING_URI" not in os.environ
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # other people's
def test_wandb_works_offline_and_a_run_that_goes_on_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")

    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.chdir(tmp_path)
    logs = tmp_path / "results" / "logs"
    other = open_logger("wandb", logs, replace(RUN, trial_id="f" * 32), resumed=False)
    other.close("success")
    for resumed in (False, True):
        opened = open_logger("wandb", logs, RUN, resumed=resumed)
        assert opened.epochs == frozenset()
        tell(opened, 1, 2)
        run: Any = opened.logger
        assert run.experiment.config["recipe"] == {"epochs": 2}
        assert run.experiment.summary["val_loss"] == 0.5
        opened.close("failed" if not resumed else "success")
    names = sorted(path.name[-32:] for path in (logs / "wandb").glob("offline-run-*"))
    assert names == [RUN.trial_id, "f" * 32]
    assert "WANDB_MODE" not in os.environ
    assert [path.name for path in tmp_path.iterdir()] == ["results"]
