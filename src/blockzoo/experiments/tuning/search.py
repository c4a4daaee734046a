"""Quasi-random search over a few numbers, resumable.

A search is a list of points, fixed before anything is tried: one that is known to work, then the
first of one scrambled Sobol sequence, so that all searches over one space try the same points, and
a longer search begins with the shorter one. A try is put into an SQLite file, in one transaction,
when it has ended; a process that is killed loses the try in hand and nothing else, and the next one
begins there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from blockzoo.core.errors import DivergenceError, InputError
from blockzoo.core.ranges import TRIALS
from blockzoo.experiments.tuning.tries import HopelessTry, Point, Report, Space, Try

if TYPE_CHECKING:
    from blockzoo.experiments.tuning.optuna_study import KeptStudy

INSTALL = "pip install 'blockzoo[tune]'"


@dataclass(frozen=True, kw_only=True)
class Search:
    """A search for the highest value, kept in the SQLite file `path` under `name`.

    `start` is tried first, be it in the space or not: what is found is never worse. `space` holds
    the lowest and the highest value of each number; points are spread evenly over their logarithms,
    or over the values themselves where the lowest is 0. A try is stopped after a step, from
    `first_stop` on and before `last_step`, if its best value so far is below the median that
    complete tries had at that step.
    """

    path: Path
    name: str
    start: Point
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
        points = self.points(tries)
        with _optuna().opened(self.path, self.name, self.first_stop) as study:
            kept = study.tries()
            for index, point in enumerate(points):
                if index not in kept:
                    kept[index] = self._try(study, index, point, objective)
                    study.keep(kept[index])
                if on_try is not None:
                    on_try(kept[index])
        return tuple(kept[index] for index in range(len(points)))

    def points(self, count: int) -> tuple[Point, ...]:
        """Return the first points; raises `InputError` as `check_search` does."""
        check_search(count)
        others = sobol_points(self.space, count - 1) if count > 1 else ()
        return (self.start, *others)

    def _try(
        self,
        study: KeptStudy,
        index: int,
        point: Point,
        objective: Callable[[Point, Report], tuple[float, float]],
    ) -> Try:
        curve: dict[int, float] = {}

        def report(step: int, value: float) -> None:
            curve[step] = value
            # At its last step a try has cost all that it will, so it is let end.
            if step < self.last_step and study.hopeless(curve):
                raise HopelessTry

        # The same dictionary that `report` goes on filling.
        attempt = partial(Try, index=index, point=point, curve=curve)
        try:
            value, tie_breaker = objective(point, report)
        except HopelessTry:
            return attempt(state="stopped")
        except DivergenceError as error:
            return attempt(state="diverged", reason=str(error))
        return attempt(state="complete", value=value, tie_breaker=tie_breaker)


def sobol_points(space: Space, count: int) -> tuple[Point, ...]:
    """Return the first points of the scrambled Sobol sequence over `space`, on its scales.

    Raises `InputError` for fewer than one, and where Optuna is not installed.

    >>> points = sobol_points({"learning_rate": (0.01, 1.0)}, 4)
    >>> len(points), points[:2] == sobol_points({"learning_rate": (0.01, 1.0)}, 2)
    (4, True)
    """
    check_search(count)
    points: tuple[Point, ...] = _optuna().sobol_points(space, count)
    return points


def check_search(tries: int) -> None:
    """Raise `InputError` for a number of tries out of range, and where Optuna is not installed."""
    TRIALS.checked("trials", tries)
    if find_spec("optuna") is None:
        raise InputError(f"tuning needs Optuna: {INSTALL}")


def _optuna() -> ModuleType:
    """Return the door to Optuna."""
    # An optional package, which takes a second to import.
    from blockzoo.experiments.tuning import optuna_study

    return optuna_study
