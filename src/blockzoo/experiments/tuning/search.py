"""Quasi-random search over a few numbers, resumable: the door to Optuna.

A search is a list of points, fixed before anything is tried: the first of one scrambled Sobol
sequence, so that all searches over one space try the same points, and a longer search begins with
the shorter one. A try is put into Optuna's SQLite file, in one transaction, when it has ended; a
process that is killed loses the try in hand and nothing else, and the next one begins there.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from blockzoo.core.errors import DivergenceError, InputError, ResultsError, one_line
from blockzoo.core.files import make_folder
from blockzoo.results.store.database import BUSY_TIMEOUT_S

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.storages import RDBStorage
    from optuna.study import Study
    from optuna.trial import FrozenTrial, TrialState

INSTALL = "pip install 'blockzoo[tune]'"
SEQUENCE_SEED = 0
STARTUP_TRIES = 4
"""Tries that must have run to their end before one is stopped early."""

Point = Mapping[str, float]
Space = Mapping[str, tuple[float, float]]
Report = Callable[[int, float], None]
"""Called with (step, value) as a try goes on; raises `HopelessTry` when it is behind the others."""

_INDEX, _TIE, _REASON = "index", "tie_breaker", "reason"


class HopelessTry(Exception):  # noqa: N818 - no error: it unwinds a try that is stopped early
    """Raised by `Report`: the best value so far is below the median of the others at this step."""


@dataclass(frozen=True, kw_only=True)
class Try:
    """One point that was tried.

    `value` is None unless the try came to its end ("complete"); "stopped" early by the rule,
    "diverged" with its `reason`. `steps` were reported.
    """

    index: int
    point: Point
    state: Literal["complete", "stopped", "diverged"]
    value: float | None = None
    tie_breaker: float = 0.0
    steps: int = 0
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Search:
    """A search for the highest value, kept in the SQLite file `path` under `name`.

    `space` holds the lowest and the highest value of each number; points are spread evenly over
    their logarithms, or over the values themselves where the lowest is 0. A try is stopped after a
    step, from `first_stop` on and before `last_step`, if its best value so far is below the median
    that complete tries had at that step.
    """

    path: Path
    name: str
    space: Space
    first_stop: int
    last_step: int

    def run(
        self,
        objective: Callable[[Point, Report], tuple[float, float]],
        tries: int,
        *,
        on_try: Callable[[Try], None] | None = None,
    ) -> tuple[Try, ...]:
        """Try the first points, as many as `tries`, and return them in order.

        What the file holds is not tried again. `objective` maps a point to its value, and to a
        second one that decides between equals. `on_try` is called for each try, also for those
        found done. `DivergenceError` ends a try, anything else that is raised the search.
        """
        points = sobol_points(self.space, tries)
        done: list[Try] = []
        with self._study() as study:
            # Two processes may have tried the same point; the first to end counts, put in last.
            with _clear_faults(self.path):
                newest_first = reversed(study.get_trials(deepcopy=False))
            kept = {trial.user_attrs[_INDEX]: trial for trial in newest_first}
            for index, point in enumerate(points):
                if index not in kept:
                    kept[index] = self._try(study, index, point, objective)
                    with _clear_faults(self.path):
                        study.add_trial(kept[index])
                done.append(_as_try(kept[index], point))
                if on_try is not None:
                    on_try(done[-1])
        return tuple(done)

    def _try(
        self,
        study: Study,
        index: int,
        point: Point,
        objective: Callable[[Point, Report], tuple[float, float]],
    ) -> FrozenTrial:
        from optuna.trial import TrialState

        curve: dict[int, float] = {}

        def report(step: int, value: float) -> None:
            curve[step] = value
            if step < self.last_step and self._hopeless(study, curve):
                raise HopelessTry

        attributes: dict[str, object] = {_INDEX: index}
        try:
            value, attributes[_TIE] = objective(point, report)
        except HopelessTry:
            state, result = TrialState.PRUNED, None
        except DivergenceError as error:
            state, result = TrialState.FAIL, None
            attributes[_REASON] = str(error)
        else:
            state, result = TrialState.COMPLETE, value
        return _trial(self.space, point, state, result, curve, attributes)

    def _hopeless(self, study: Study, curve: dict[int, float]) -> bool:
        from optuna.pruners import MedianPruner
        from optuna.trial import TrialState

        pruner = MedianPruner(n_startup_trials=STARTUP_TRIES, n_warmup_steps=self.first_stop)
        return pruner.prune(study, _trial({}, {}, TrialState.RUNNING, None, curve, {}))

    @contextmanager
    def _study(self) -> Iterator[Study]:
        _need_optuna()
        import optuna

        make_folder(self.path.parent)
        with _clear_faults(self.path):
            storage = _storage(self.path)
        try:
            with _clear_faults(self.path):
                study = optuna.create_study(
                    storage=storage,
                    study_name=self.name,
                    direction="maximize",
                    load_if_exists=True,
                )
            yield study
        finally:
            storage.remove_session()
            storage.engine.dispose()


def best_of(tries: tuple[Try, ...]) -> Try:
    """Return the complete try of the highest value, then tie-breaker, then the first.

    Raises `DivergenceError` when none is complete.

    >>> tries = [Try(index=0, point={}, state="stopped"),
    ...          Try(index=1, point={}, state="complete", value=0.5),
    ...          Try(index=2, point={}, state="complete", value=0.5)]
    >>> best_of(tuple(tries)).index
    1
    """
    complete = [attempt for attempt in tries if attempt.value is not None]
    if not complete:
        reason = next((attempt.reason for attempt in tries if attempt.reason), "none was run")
        raise DivergenceError(f"none of {len(tries)} trials came to its end; the first: {reason}")
    return max(complete, key=lambda attempt: (attempt.value, attempt.tie_breaker, -attempt.index))


def sobol_points(space: Space, count: int) -> tuple[Point, ...]:
    """Return the first points of the scrambled Sobol sequence over `space`, on its scales.

    Raises `InputError` for fewer than one, and where Optuna is not installed.

    >>> points = sobol_points({"learning_rate": (0.01, 1.0)}, 4)
    >>> len(points), points[:2] == sobol_points({"learning_rate": (0.01, 1.0)}, 2)
    (4, True)
    """
    if count < 1:
        raise InputError(f"trials is {count}; it must be 1 or more")
    _need_optuna()
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the sampler's interface may change, says Optuna
        sampler = optuna.samplers.QMCSampler(qmc_type="sobol", scramble=True, seed=SEQUENCE_SEED)
        study = optuna.create_study(sampler=sampler)
        # The sampler takes the space from the trials it finds, and the first point at random.
        start = {name: low for name, (low, _) in space.items()}
        study.add_trial(_trial(space, start, optuna.trial.TrialState.COMPLETE, 0.0, {}, {}))
        return tuple(study.ask(_distributions(space)).params for _ in range(count))


def _need_optuna() -> None:
    """Keep Optuna quiet; raises `InputError` where it is not installed."""
    if find_spec("optuna") is None:
        raise InputError(f"tuning needs Optuna: {INSTALL}")
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)


def _storage(path: Path) -> RDBStorage:
    from optuna.storages import RDBStorage
    from sqlalchemy.pool import NullPool

    # No pool: an open connection of a process that is killed would hold the file.
    options = {"poolclass": NullPool, "connect_args": {"timeout": BUSY_TIMEOUT_S}}
    return RDBStorage(f"sqlite:///{path.absolute()}", engine_kwargs=options)


@contextmanager
def _clear_faults(path: Path) -> Iterator[None]:
    """Turn errors of the database into `ResultsError` naming the file."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, StorageInternalError, RuntimeError) as error:
        cause = error.__cause__ or error
        text = one_line(getattr(cause, "orig", cause))
        raise ResultsError(f"{path} cannot be used to keep the tuning: {text}") from error


def _distributions(space: Space) -> dict[str, BaseDistribution]:
    from optuna.distributions import FloatDistribution

    return {name: FloatDistribution(low, high, log=low > 0) for name, (low, high) in space.items()}


def _trial(
    space: Space,
    point: Point,
    state: TrialState,
    value: float | None,
    curve: Mapping[int, float],
    attributes: Mapping[str, object],
) -> FrozenTrial:
    from optuna.trial import create_trial

    return create_trial(
        state=state,
        value=value,
        params=dict(point),
        distributions=_distributions(space),
        intermediate_values=dict(curve),
        user_attrs=dict(attributes),
    )


def _as_try(trial: FrozenTrial, point: Point) -> Try:
    from optuna.trial import TrialState

    states: dict[TrialState, Literal["complete", "stopped", "diverged"]] = {
        TrialState.COMPLETE: "complete",
        TrialState.PRUNED: "stopped",
        TrialState.FAIL: "diverged",
    }
    return Try(
        index=trial.user_attrs[_INDEX],
        point=point,
        state=states[trial.state],
        value=trial.value if trial.state == TrialState.COMPLETE else None,
        tie_breaker=trial.user_attrs.get(_TIE, 0.0),
        steps=len(trial.intermediate_values),
        reason=trial.user_attrs.get(_REASON, ""),
    )
