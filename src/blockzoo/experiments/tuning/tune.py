"""The tuned track: every block gets the same number of tries at what it may be trained best with.

That is learning rate, weight decay and drop path.

One recipe for all may suit one block more than another. In the tuned track each block is trained
with the values that did best for it on validation, all blocks having tried the same points with
the same stopping rule. The first point has the recipe's own values: by validation the chosen ones
are never worse than these. The test images cannot play a part: they are taken out of the data set
before the first try. Tries are trained with `TUNING_SEED`, which no reported training may use.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from blockzoo.blocks import BlockLike
from blockzoo.core.display import Displayed, Facts, number, percent
from blockzoo.core.errors import InputError
from blockzoo.core.position import Position
from blockzoo.data import ImageDataset
from blockzoo.experiments.protocol import Protocol
from blockzoo.experiments.train import train_placement
from blockzoo.experiments.tuning.search import Search
from blockzoo.experiments.tuning.trial import (
    TUNING_SEED,
    TunedNetwork,
    recipe_point,
    search_space,
    tuned_to,
    without_test,
)
from blockzoo.experiments.tuning.tries import Point, Report, Try, best_of
from blockzoo.results.records import EpochMetrics, TrainingRecord
from blockzoo.scaffold.placement import Placement
from blockzoo.training.checkpoint import remove_checkpoint
from blockzoo.training.recipe import Recipe
from blockzoo.training.run_options import RunOptions
from blockzoo.training.settings import TrainingSettings

TRIALS = 16
"""The recipe's own values and 15 Sobol points."""

STOPPING_FRACTION = 1 / 3
TUNING_FILE = "tuning.db"


@dataclass(frozen=True, kw_only=True, repr=False)
class Tuning(Displayed):
    """What the trials of one placement showed.

    Attributes:
        placement: The network that was tuned.
        protocol: What was held fixed, of the default track.
        trials: Every point that was tried, the recipe's own values first.
    """

    placement: Placement
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

    def _facts(self) -> Facts:
        best = self.best if any(each.value is not None for each in self.trials) else None
        return {
            "block": self.placement.spec.name,
            "position": str(self.placement.position),
            "protocol": self.label,
            "trials": number(len(self.trials)),
            "val accuracy": percent(best.value) if best else None,
            "chosen": ", ".join(f"{k} {v:.4g}" for k, v in best.point.items()) if best else None,
        }

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

    >>> from blockzoo.experiments.protocol import get_protocol
    >>> tuned_label(get_protocol("v1"), 16), tuned_label(get_protocol("v1"), 8)
    ('v1+tuned', 'v1+tuned8')
    """
    return f"{protocol.label}+tuned" + (str(trials) if trials != TRIALS else "")


def tune_block(
    block: BlockLike,
    position: Position | str,
    *,
    protocol: Protocol,
    dataset: ImageDataset,
    file: Path,
    trials: int = TRIALS,
    device: str = "auto",
    options: RunOptions | None = None,
) -> Tuning:
    """Try several points for `block` at `position` and return how each did on validation.

    Each point is trained by the protocol's recipe, and stopped after a third of the epochs or later
    if it is behind the median. The same call continues where it was stopped, and a larger number of
    trials goes on from a smaller one. A trial that diverges only counts as one without a result.

    Args:
        block: A name, path, class or spec, see `get_block`.
        position: Which stage holds it: "early", "mid" or "late".
        protocol: What is held fixed.
        dataset: The images; those of the test set are taken out first.
        file: An SQLite file that keeps every finished trial.
        trials: How many points, the recipe's own among them.
        device: "auto", "cpu", "cuda" or "cuda:N".
        options: As in `train_block`; with a checkpoint the trial in hand goes on after its last
            epoch. The loggers are told of every trial's epochs; there is no test to tell them of.

    Returns:
        All trials, and the best of them.

    Raises:
        InputError: Where Optuna is missing (`blockzoo[tune]`).
        ResultsError: When `file` cannot be used.
        UnknownNameError: For a block or position that is not known.
        BlockError: When the block cannot be built, or raises in a training.

    Example:
        >>> import tempfile
        >>> from blockzoo.data import load_dataset
        >>> from blockzoo.experiments.protocol import get_protocol
        >>> protocol = get_protocol("quick").changed(epochs=1, width=4, depth=1, precision="fp32")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     tuning = tune_block(
        ...         "Identity", "mid", protocol=protocol, dataset=load_dataset("digits"),
        ...         file=Path(folder) / "tuning.db", trials=1, device="cpu",
        ...     )
        >>> tuning.best.state, sorted(tuning.best.point)
        ('complete', ['drop_path', 'learning_rate', 'weight_decay'])
    """
    network = tuned_network(block, position, protocol, dataset, device=device)
    return tune(network, file, trials=trials, options=options)


def tuned_network(
    block: BlockLike,
    position: Position | str,
    protocol: Protocol,
    dataset: ImageDataset,
    *,
    device: str = "auto",
    compiled: bool = False,
) -> TunedNetwork:
    """Return what is tuned: the block in the protocol's scaffold, on the data without their test.

    Raises `UnknownNameError` for a block or position that is not known.
    """
    scaffold = protocol.scaffold(classes=dataset.num_classes, input_shape=dataset.image_shape)
    return TunedNetwork(
        placement=Placement.of(block, position, scaffold),
        protocol=protocol,
        blind=without_test(dataset),
        device=device,
        compiled=compiled,
    )


def tune(
    network: TunedNetwork,
    file: Path,
    *,
    trials: int = TRIALS,
    options: RunOptions | None = None,
    on_trial: Callable[[Try], None] | None = None,
    on_epoch: Callable[[EpochMetrics], None] | None = None,
) -> Tuning:
    """Do what `tune_block` says; `on_trial` is called with each trial, `on_epoch` in between."""
    options = options or RunOptions()
    # A trial leaves neither weights nor figures of a test: its test images are stand-ins.
    of_trials = replace(
        options,
        save_weights=None,
        robustness=False,
        log_to=options.log_to and replace(options.log_to, tuning=True),
    )

    def objective(point: Point, report: Report) -> tuple[float, float]:
        return network.merit(point, report, of_trials, on_epoch)

    def ended(trial: Try) -> None:
        # The try is in its file by now.
        remove_checkpoint(of_trials.checkpoints, network.trial_id(trial.point))
        if on_trial is not None:
            on_trial(trial)

    protocol = network.protocol
    epochs = protocol.recipe.epochs
    search = Search(
        path=file,
        name=network.search_name,
        start=recipe_point(protocol),
        space=search_space(protocol),
        first_stop=math.ceil(epochs * STOPPING_FRACTION),
        last_step=epochs,
    )
    tries = search.run(objective, trials, on_try=ended)
    return Tuning(placement=network.placement, protocol=protocol, trials=tries)


def train_tuned(
    tuning: Tuning,
    *,
    dataset: ImageDataset,
    seed: int,
    device: str = "auto",
    compiled: bool = False,
    options: RunOptions | None = None,
    on_epoch: Callable[[EpochMetrics], None] | None = None,
) -> TrainingRecord:
    """Train with the chosen values and a fresh seed, and read the test set once, at the end.

    Args:
        tuning: What `tune_block` returned.
        dataset: The images.
        seed: Any but that of the tuning.
        device: "auto", "cpu", "cuda" or "cuda:N".
        compiled: Whether whole batches are trained by `torch.compile`.
        options: As in `train_block`.
        on_epoch: Called with the metrics of each epoch.

    Returns:
        A record of the protocol `tuning.label`. Its recipe holds the chosen values and, under
        `tuning`, how they were chosen.

    Raises:
        InputError: For the seed of the tuning.
        DivergenceError: When the loss is no longer finite, or no trial came to its end.
        BlockError: When the block raises in the training.

    Example:
        >>> from blockzoo.data import load_dataset
        >>> from blockzoo.experiments.protocol import get_protocol
        >>> protocol = get_protocol("quick").changed(epochs=1, width=4, depth=1, precision="fp32")
        >>> network = tuned_network("Identity", "mid", protocol, load_dataset("digits"))
        >>> best = Try(index=0, point={"learning_rate": 0.01}, state="complete", value=0.5)
        >>> tuning = Tuning(placement=network.placement, protocol=protocol, trials=(best,))
        >>> train_tuned(tuning, dataset=load_dataset("digits"), seed=0).recipe["learning_rate"]
        0.01
    """
    settings = tuned_settings(tuning, dataset, seed=seed, device=device, compiled=compiled)
    record = train_placement(tuning.placement, settings, options, on_epoch=on_epoch)
    return record.model_copy(update={"recipe": {**record.recipe, "tuning": tuning.summary()}})


def tuned_settings(
    tuning: Tuning, dataset: ImageDataset, *, seed: int, device: str, compiled: bool
) -> TrainingSettings:
    """Return how `train_tuned` trains with that seed; raises `InputError` for the tuning's own."""
    if seed == TUNING_SEED:
        raise InputError(f"seed {seed} is that of the tuning; the tuned track needs fresh seeds")
    settings = tuning.tuned.training_settings(dataset, seed=seed, device=device, compiled=compiled)
    return replace(settings, protocol=tuning.label)
