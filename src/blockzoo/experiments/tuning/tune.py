"""The tuned track: every block gets the same number of tries at what it may be trained best with.

That is learning rate, weight decay and drop path.

One recipe for all may suit one block more than another. In the tuned track each block is trained
with the values that did best for it on validation, all blocks having tried the same points with
the same stopping rule. The test images cannot play a part: they are taken out of the data set
before the first try. Tries are trained with `TUNING_SEED`, which no reported training may use.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from blockzoo.blocks import get_block
from blockzoo.core.errors import InputError
from blockzoo.core.position import Position
from blockzoo.data import ImageDataset
from blockzoo.data.residence import Residence
from blockzoo.experiments.protocol import Protocol
from blockzoo.experiments.train import train_block, training_trial_id
from blockzoo.experiments.tuning.search import Point, Report, Search, Try, best_of
from blockzoo.experiments.tuning.trial import (
    TUNING_SEED,
    TunedNetwork,
    search_space,
    tuned_to,
    without_test,
)
from blockzoo.results.records import EpochMetrics, TrainingRecord
from blockzoo.training.checkpoint import remove_checkpoint
from blockzoo.training.loggers import LogTo
from blockzoo.training.recipe import Recipe

TRIALS = 16
"""A power of two, for which Sobol points are spread best."""

STOPPING_FRACTION = 1 / 3
TUNING_FILE = "tuning.db"


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """What `trials` told about one block at one position under `protocol`, the default track."""

    block: str
    position: Position
    protocol: Protocol
    trials: tuple[Try, ...]

    @property
    def best(self) -> Try:
        """The trial of the highest validation accuracy; raises `DivergenceError` without any."""
        return best_of(self.trials)

    @property
    def recipe(self) -> Recipe:
        """The protocol's recipe with the chosen values."""
        return self.tuned.recipe

    @property
    def tuned(self) -> Protocol:
        """The protocol with the chosen values; its label is not that of the tuned track."""
        return tuned_to(self.protocol, self.best.point)

    @property
    def label(self) -> str:
        """The protocol that records of the tuned track carry."""
        return tuned_label(self.protocol, len(self.trials))

    def summary(self) -> dict[str, object]:
        """Return what records of the tuned track say about the tuning, under `tuning`."""
        return {
            "trials": len(self.trials),
            "stopped": sum(trial.state == "stopped" for trial in self.trials),
            "diverged": sum(trial.state == "diverged" for trial in self.trials),
            "chosen_trial": self.best.index,
            "val_accuracy": self.best.value,
            "seed": TUNING_SEED,
            "space": {name: list(ends) for name, ends in search_space(self.protocol).items()},
        }


def tuned_label(protocol: Protocol, trials: int) -> str:
    """Return `v1+tuned`, or `v1+tuned8` where not the default number of trials was spent.

    Budgets are told apart because records of one label are compared with each other.
    """
    return f"{protocol.label}+tuned" + (str(trials) if trials != TRIALS else "")


def tune_block(
    block: str,
    position: Position | str,
    *,
    protocol: Protocol,
    dataset: ImageDataset,
    file: Path,
    trials: int = TRIALS,
    device: str = "auto",
    resident: Residence = "auto",
    compiled: bool = False,
    on_trial: Callable[[Try], None] | None = None,
    on_epoch: Callable[[EpochMetrics], None] | None = None,
    checkpoints: Path | None = None,
    resume: bool = True,
    on_oom: Literal["split", "fail"] = "split",
    log_to: LogTo | None = None,
) -> Tuning:
    """Try `trials` points for `block` at `position` and return how each did on validation.

    Each point is trained by the protocol's recipe, and stopped after a third of the epochs or
    later if it is behind the median. `file` is an SQLite file that keeps every finished trial: the
    same call continues where it was stopped, a larger number of trials goes on from a smaller one.
    `checkpoints`, `resume` and `on_oom` are as in `train_block`; with a checkpoint the trial in
    hand goes on after its last epoch. The loggers of `log_to` are told of every trial's epochs;
    there is no test to tell them of.

    Raises `InputError` where Optuna is missing, `ResultsError` when `file` cannot be used, and what
    `train_block` raises, but a trial that diverges only counts as one without a result.
    """
    network = TunedNetwork(
        block=get_block(block).name,
        position=Position.parse(str(position)),
        protocol=protocol,
        blind=without_test(dataset),
        device=device,
        compiled=compiled,
    )

    def objective(point: Point, report: Report) -> tuple[float, float]:
        return network.merit(
            point,
            report,
            on_epoch,
            resident=resident,
            checkpoints=checkpoints,
            resume=resume,
            on_oom=on_oom,
            log_to=log_to and replace(log_to, tuning=True),
        )

    def ended(trial: Try) -> None:
        if checkpoints is not None:
            remove_checkpoint(checkpoints, network.trial_id(trial.point))
        if on_trial is not None:
            on_trial(trial)

    epochs = protocol.recipe.epochs
    search = Search(
        path=file,
        name=network.search_name,
        space=search_space(protocol),
        first_stop=math.ceil(epochs * STOPPING_FRACTION),
        last_step=epochs,
    )
    found = search.run(objective, trials, on_try=ended)
    return Tuning(block=network.block, position=network.position, protocol=protocol, trials=found)


def train_tuned(
    tuning: Tuning,
    *,
    dataset: ImageDataset,
    seed: int,
    device: str = "auto",
    resident: Residence = "auto",
    compiled: bool = False,
    on_epoch: Callable[[EpochMetrics], None] | None = None,
    checkpoints: Path | None = None,
    resume: bool = True,
    on_oom: Literal["split", "fail"] = "split",
    save_weights: Path | None = None,
    log_to: LogTo | None = None,
    experiment_name: str = "",
    notes: str = "",
    robustness: bool = False,
) -> TrainingRecord:
    """Train with the chosen values and a fresh seed, and read the test set once, at the end.

    The record is of the protocol `tuning.label`; its recipe holds the chosen values and, under
    `tuning`, how they were chosen; the rest is as in `train_block`. Raises `InputError` for the
    seed of the tuning and what `train_block` raises.
    """
    _check_fresh(seed)
    record = train_block(
        tuning.block,
        tuning.position,
        protocol=tuning.label,
        resident=resident,
        progress=False,
        on_epoch=on_epoch,
        checkpoints=checkpoints,
        resume=resume,
        on_oom=on_oom,
        save_weights=save_weights,
        log_to=log_to,
        experiment_name=experiment_name,
        notes=notes,
        robustness=robustness,
        **tuning.tuned.training_settings(dataset, seed=seed, device=device, compiled=compiled),
    )
    return record.model_copy(update={"recipe": {**record.recipe, "tuning": tuning.summary()}})


def tuned_trial_id(
    tuning: Tuning,
    *,
    dataset: ImageDataset,
    seed: int,
    device: str = "auto",
    compiled: bool = False,
) -> str:
    """Return the identity of the record that `train_tuned` would return, without training."""
    _check_fresh(seed)
    settings = tuning.tuned.training_settings(dataset, seed=seed, device=device, compiled=compiled)
    return training_trial_id(tuning.block, tuning.position, protocol=tuning.label, **settings)


def _check_fresh(seed: int) -> None:
    if seed == TUNING_SEED:
        raise InputError(f"seed {seed} is that of the tuning; the tuned track needs fresh seeds")
