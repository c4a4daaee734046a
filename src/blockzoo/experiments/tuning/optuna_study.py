"""The door to Optuna: tries kept in its SQLite file, its median rule, its Sobol points.

Imported only where a search is run, for Optuna is an optional package.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.exceptions import StorageInternalError
from optuna.pruners import MedianPruner
from optuna.storages import RDBStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from blockzoo.core.errors import ResultsError, one_line
from blockzoo.core.files import make_folder
from blockzoo.experiments.tuning.tries import Point, Space, State, Try
from blockzoo.results.store.database import BUSY_TIMEOUT_S

SEQUENCE_SEED = 0
STARTUP_TRIES = 4
"""Tries that must have run to their end before one is stopped early."""
_INDEX, _TIE, _REASON = "index", "tie_breaker", "reason"
_ANY_VALUE = FloatDistribution(0.0, 1e300)
_STATES: dict[State, TrialState] = {
    "complete": TrialState.COMPLETE,
    "stopped": TrialState.PRUNED,
    "diverged": TrialState.FAIL,
}

# Else it logs every trial, into the bar that shows them.
optuna.logging.set_verbosity(optuna.logging.WARNING)


class KeptStudy:
    """The tries of one search in its file. Raises `ResultsError` where the file cannot be used."""

    def __init__(self, path: Path, study: Study, first_stop: int) -> None:
        self._path, self._study = path, study
        self._pruner = MedianPruner(n_startup_trials=STARTUP_TRIES, n_warmup_steps=first_stop)

    def tries(self) -> dict[int, Try]:
        """Return the tries that the file holds, by index."""
        with _clear_faults(self._path):
            # Two processes may have tried the same point; the first to end counts, put in last.
            newest_first = reversed(self._study.get_trials(deepcopy=False))
        return {trial.user_attrs[_INDEX]: _as_try(trial) for trial in newest_first}

    def keep(self, attempt: Try) -> None:
        """Put a try that has ended into the file, in one transaction."""
        attributes: dict[str, object] = {_INDEX: attempt.index}
        if attempt.state == "complete":
            attributes[_TIE] = attempt.tie_breaker
        if attempt.state == "diverged":
            attributes[_REASON] = attempt.reason
        trial = create_trial(
            state=_STATES[attempt.state],
            value=attempt.value,
            params=dict(attempt.point),
            # Wide: the recipe's own values may lie outside of the space.
            distributions=dict.fromkeys(attempt.point, _ANY_VALUE),
            intermediate_values=dict(attempt.curve),
            user_attrs=attributes,
        )
        with _clear_faults(self._path):
            self._study.add_trial(trial)

    def hopeless(self, curve: Mapping[int, float]) -> bool:
        """Tell whether a try with that curve so far is behind the median of the complete ones."""
        # Never put into the file: the rule only reads its values.
        running = create_trial(state=TrialState.RUNNING, intermediate_values=dict(curve))
        return self._pruner.prune(self._study, running)


@contextmanager
def opened(path: Path, name: str, first_stop: int) -> Iterator[KeptStudy]:
    """Open the search of that name in the file, or begin it there."""
    make_folder(path.parent)
    with _clear_faults(path):
        # No pool: an open connection of a process that is killed would hold the file.
        options = {"poolclass": NullPool, "connect_args": {"timeout": BUSY_TIMEOUT_S}}
        storage = RDBStorage(f"sqlite:///{path.absolute()}", engine_kwargs=options)
    try:
        with _clear_faults(path):
            study = optuna.create_study(
                storage=storage, study_name=name, direction="maximize", load_if_exists=True
            )
        yield KeptStudy(path, study, first_stop)
    finally:
        storage.remove_session()
        storage.engine.dispose()


def sobol_points(space: Space, count: int) -> tuple[Point, ...]:
    """Return the first points of the scrambled Sobol sequence over `space`, on its scales."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the sampler's interface may change, says Optuna
        sampler = optuna.samplers.QMCSampler(qmc_type="sobol", scramble=True, seed=SEQUENCE_SEED)
        study = optuna.create_study(sampler=sampler)
        # The sampler takes the space from the trials it finds, and the first point at random.
        start = {name: low for name, (low, _) in space.items()}
        study.add_trial(create_trial(value=0.0, params=start, distributions=_distributions(space)))
        return tuple(study.ask(_distributions(space)).params for _ in range(count))


@contextmanager
def _clear_faults(path: Path) -> Iterator[None]:
    """Turn errors of the database into `ResultsError` naming the file."""
    try:
        yield
    except (SQLAlchemyError, StorageInternalError, RuntimeError) as error:
        cause = error.__cause__ or error
        text = one_line(getattr(cause, "orig", cause))
        raise ResultsError(f"{path} cannot be used to keep the tuning: {text}") from error


def _distributions(space: Space) -> dict[str, BaseDistribution]:
    return {name: FloatDistribution(low, high, log=low > 0) for name, (low, high) in space.items()}


def _as_try(trial: FrozenTrial) -> Try:
    state = next(name for name, kept in _STATES.items() if kept == trial.state)
    return Try(
        index=trial.user_attrs[_INDEX],
        point=trial.params,
        state=state,
        value=trial.value if state == "complete" else None,
        tie_breaker=trial.user_attrs.get(_TIE, 0.0),
        curve=trial.intermediate_values,
        reason=trial.user_attrs.get(_REASON, ""),
    )
