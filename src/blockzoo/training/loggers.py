"""The door to Lightning's loggers: CSV, TensorBoard, MLflow, Weights & Biases.

Each keeps what it is told below one folder, `FOLDER/csv`, `FOLDER/tensorboard`, `FOLDER/mlflow`
and `FOLDER/wandb`, unless the user's environment names a server (`MLFLOW_TRACKING_URI`,
`WANDB_MODE`). What is in files of a run is written anew when its training begins or goes on, so
that no epoch is there twice; a database or a server is asked which epochs it has.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from blockzoo.core.errors import InputError, UnknownNameError
from blockzoo.core.files import make_folder
from blockzoo.core.quiet import quiet

if TYPE_CHECKING:
    from lightning.fabric.loggers.logger import Logger
    from mlflow.tracking import MlflowClient

LOGGERS = ("csv", "tensorboard", "mlflow", "wandb")
PROJECT = "blockzoo"
"""The experiment in MLflow and the project in Weights & Biases, where the user names none."""

_TITLES = {"tensorboard": "TensorBoard", "mlflow": "MLflow", "wandb": "Weights & Biases"}
_TRIAL_TAG = "blockzoo.trial_id"
_MLFLOW_URI = "MLFLOW_TRACKING_URI"


@dataclass(frozen=True, kw_only=True)
class LogTo:
    """Which loggers are told of trainings, and the folder below which they keep it.

    Args:
        folder: Made where it is missing.
        loggers: Of "csv", "tensorboard", "mlflow" and "wandb".
        tuning: Marks trainings whose test images are stand-ins, so that no test figure is logged.

    Raises:
        UnknownNameError: For another logger.
        InputError: For a logger whose package is not installed.

    Example:
        >>> LogTo(folder=Path("logs"), loggers=("csv",)).tuning
        False
    """

    folder: Path
    loggers: tuple[str, ...]
    tuning: bool = False

    def __post_init__(self) -> None:
        for name in self.loggers:
            if name not in LOGGERS:
                raise UnknownNameError("logger", name, LOGGERS)
            if name in _TITLES and not _installed(name):
                raise InputError(
                    f"logging to {_TITLES[name]} needs its package: pip install 'blockzoo[{name}]'"
                )


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training as loggers know it; `settings`, nested or not, are shown beside its curves."""

    block: str
    position: str
    dataset: str
    seed: int
    trial_id: str
    settings: Mapping[str, object] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """A name for people, which trainings by other recipes may share."""
        return f"{self.block}-{self.position}-{self.dataset}-seed{self.seed}"

    @property
    def folder_name(self) -> str:
        """A name for its folder, which no other training has."""
        return f"{re.sub(r'[^A-Za-z0-9._+-]+', '_', self.name)}-{self.trial_id[:8]}"

    @property
    def all_settings(self) -> dict[str, object]:
        """What determines the training, by name."""
        own = ("block", "position", "dataset", "seed", "trial_id")
        return {**{name: getattr(self, name) for name in own}, **self.settings}


@dataclass(frozen=True, kw_only=True)
class OpenLogger:
    """A logger at work: the epochs it has from before, and what ends it ("success", "failed")."""

    logger: Logger
    close: Callable[[str], None]
    epochs: frozenset[int] = frozenset()


def open_logger(name: str, folder: Path, run: Run, *, resumed: bool) -> OpenLogger:
    """Return the logger of that name for `run`, whose training starts or, `resumed`, goes on.

    Raises whatever the logger raises.
    """
    make_folder(folder / name)
    return _OPENERS[name](folder / name, run, resumed)


def _csv(folder: Path, run: Run, resumed: bool) -> OpenLogger:
    from lightning.fabric.loggers.csv_logs import CSVLogger

    del resumed
    _remove(folder / run.folder_name, "metrics.csv")
    logger = CSVLogger(folder, name="", version=run.folder_name)
    return OpenLogger(logger=logger, close=logger.finalize)


def _tensorboard(folder: Path, run: Run, resumed: bool) -> OpenLogger:
    from lightning.fabric.loggers.tensorboard import TensorBoardLogger

    del resumed
    _remove(folder / run.folder_name, "events.out.tfevents.*")
    logger = TensorBoardLogger(folder, name="", version=run.folder_name)
    return OpenLogger(logger=logger, close=logger.finalize)


def _mlflow(folder: Path, run: Run, resumed: bool) -> OpenLogger:
    from lightning.pytorch.loggers import MLFlowLogger
    from mlflow.tracking import MlflowClient

    uri = os.environ.get(_MLFLOW_URI) or f"sqlite:///{(folder / 'mlflow.db').absolute()}"
    with quiet(), _environment_kept(_MLFLOW_URI):
        client = MlflowClient(uri)
        experiment = _mlflow_experiment(client, folder)
        run_id, epochs = _mlflow_last_run(client, experiment, run)
        if run_id is None or (epochs and not resumed):
            tags = {_TRIAL_TAG: run.trial_id}
            run_id = client.create_run(experiment, tags=tags, run_name=run.name).info.run_id
            epochs = frozenset()
        client.update_run(run_id, status="RUNNING")
        logger = MLFlowLogger(tracking_uri=uri, run_id=run_id)
        logger.log_hyperparams(run.all_settings)
    return OpenLogger(logger=logger, close=logger.finalize, epochs=epochs)


def _mlflow_experiment(client: MlflowClient, folder: Path) -> str:
    """Return the id of the experiment, made if it is not there; local files lie in `folder`."""
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
    experiment = client.get_experiment_by_name(name)
    if experiment is not None:
        return str(experiment.experiment_id)
    local = None if _MLFLOW_URI in os.environ else (folder / "artifacts").absolute().as_uri()
    return str(client.create_experiment(name, artifact_location=local))


def _mlflow_last_run(
    client: MlflowClient, experiment: str, run: Run
) -> tuple[str | None, frozenset[int]]:
    """Return the id and the epochs of the last run of that trial, if there is one."""
    runs = client.search_runs(
        [experiment],
        filter_string=f"tags.`{_TRIAL_TAG}` = '{run.trial_id}'",
        order_by=["attributes.start_time DESC"],
        max_results=1,
    )
    if not runs:
        return None, frozenset()
    run_id = runs[0].info.run_id
    return run_id, frozenset(metric.step for metric in client.get_metric_history(run_id, "epoch"))


def _wandb(folder: Path, run: Run, resumed: bool) -> OpenLogger:
    import wandb
    from lightning.pytorch.loggers import WandbLogger

    mode = os.environ.get("WANDB_MODE", "offline")
    local = mode in ("offline", "dryrun")
    if local:  # an offline run cannot be added to
        for old in folder.glob(f"offline-run-*-{run.trial_id}"):
            shutil.rmtree(old)
    experiment = wandb.init(
        project=os.environ.get("WANDB_PROJECT", PROJECT),
        name=run.name,
        id=run.trial_id,
        dir=folder.parent,  # in which it makes the folder "wandb"
        mode=mode,
        config=run.all_settings,
        resume="allow" if resumed and not local else None,
        settings=wandb.Settings(silent=True, console="off"),
    )
    # Else curves are drawn over wandb's own count of calls.
    experiment.define_metric("*", step_metric="epoch")
    last = 0 if local or not resumed else int(experiment.summary.get("epoch") or 0)

    def close(status: str) -> None:
        experiment.finish(exit_code=int(status != "success"))

    logger = WandbLogger(experiment=experiment)
    return OpenLogger(logger=logger, close=close, epochs=frozenset(range(1, last + 1)))


_OPENERS: Mapping[str, Callable[[Path, Run, bool], OpenLogger]] = {
    "csv": _csv,
    "tensorboard": _tensorboard,
    "mlflow": _mlflow,
    "wandb": _wandb,
}


def _installed(package: str) -> bool:
    """Tell whether there is such a package, and not only a folder of that name here."""
    spec = find_spec(package)
    return spec is not None and spec.origin is not None


def _remove(folder: Path, pattern: str) -> None:
    for path in folder.glob(pattern):
        path.unlink()


@contextmanager
def _environment_kept(name: str) -> Iterator[None]:
    """Give an environment variable back as it was: MLflow sets one for later processes."""
    before = os.environ.get(name)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before
