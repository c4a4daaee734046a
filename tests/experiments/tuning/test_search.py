from __future__ import annotations

import math
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from blockzoo.core.errors import DivergenceError, InputError, ResultsError
from blockzoo.experiments.tuning import search as search_module
from blockzoo.experiments.tuning.search import Search, sobol_points
from blockzoo.experiments.tuning.tries import Point, Report, Try, best_of

SPACE = {"rate": (2e-4, 2e-2), "decay": (1e-4, 1e-1)}
START = {"rate": 5e-3, "decay": 0.0}  # a recipe without decay lies outside of the space
STEPS = 6


def search_in(folder: Path, name: str = "one") -> Search:
    return Search(
        path=folder / "tuning.db",
        name=name,
        start=START,
        space=SPACE,
        first_stop=2,
        last_step=STEPS,
    )


class Objective:
    """Best at a rate of 2e-3, diverging above 1e-2; counts its calls, may be interrupted."""

    def __init__(self, *, stop_at: int | None = None) -> None:
        self.calls: list[Point] = []
        self._stop_at = stop_at

    def __call__(self, point: Point, report: Report) -> tuple[float, float]:
        if len(self.calls) == self._stop_at:
            raise KeyboardInterrupt
        self.calls.append(point)
        if point["rate"] > 1e-2:
            raise DivergenceError("the loss is nan")
        value = -abs(math.log(point["rate"] / 2e-3))
        for step in range(1, STEPS + 1):
            report(step, value - (STEPS - step))
        return value, 0.0


def test_points_are_the_same_each_time_and_a_longer_list_begins_with_the_shorter() -> None:
    assert sobol_points(SPACE, 4) == sobol_points(SPACE, 16)[:4]


@pytest.mark.parametrize("count", [1, 2, 9])
def test_the_first_point_is_the_known_one_and_is_kept_as_it_is(tmp_path: Path, count: int) -> None:
    search = search_in(tmp_path)
    assert search.points(count) == (START, *sobol_points(SPACE, 8)[: count - 1])
    tried = search.run(Objective(), count)
    assert search.run(_never, count) == tried  # from the file
    assert tried[0].point == START


def test_what_is_found_is_never_worse_than_the_known_point(tmp_path: Path) -> None:
    """Elsewhere everything diverges."""

    def objective(point: Point, report: Report) -> tuple[float, float]:
        if point != START:
            raise DivergenceError("the loss is nan")
        return 0.5, 0.0

    assert best_of(search_in(tmp_path).run(objective, 5)).point == START


def test_points_fill_the_space_evenly_on_the_logarithm() -> None:
    points = sobol_points(SPACE, 16)
    for name, (low, high) in SPACE.items():
        # 16 Sobol points have one in each sixteenth of every axis.
        share = [math.log(point[name] / low) / math.log(high / low) for point in points]
        assert sorted(int(16 * part) for part in share) == list(range(16))


def test_a_number_that_may_be_zero_is_spread_evenly_over_its_values() -> None:
    points = sobol_points({**SPACE, "drop": (0.0, 0.32)}, 16)
    assert sorted(int(16 * point["drop"] / 0.32) for point in points) == list(range(16))


def test_no_points_and_no_optuna_are_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="trials is 0; it must be 1 or more"):
        sobol_points(SPACE, 0)
    monkeypatch.setattr(search_module, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"tuning needs Optuna: pip install 'blockzoo\[tune\]'"):
        sobol_points(SPACE, 1)


def test_tries_end_complete_stopped_or_diverged_and_the_best_is_complete(tmp_path: Path) -> None:
    objective = Objective()
    tries = search_in(tmp_path).run(objective, 12)
    assert [found.point for found in tries] == [START, *sobol_points(SPACE, 11)]
    assert objective.calls == [found.point for found in tries]
    assert {found.state for found in tries} == {"complete", "stopped", "diverged"}
    for found in tries:
        if found.state == "complete":
            assert (found.steps, found.value) == (
                STEPS,
                -abs(math.log(found.point["rate"] / 2e-3)),
            )
        if found.state == "stopped":
            assert 2 <= found.steps < STEPS
            assert found.value is None
        assert (found.reason == "the loss is nan") == (found.state == "diverged")
    best = best_of(tries)
    assert best.value == max(found.value for found in tries if found.value is not None)


def test_the_first_four_that_complete_are_never_stopped(tmp_path: Path) -> None:
    tries = search_in(tmp_path).run(Objective(), 12)
    until = [found.index for found in tries if found.state == "complete"][3]
    assert all(found.state != "stopped" for found in tries[: until + 1])


@pytest.mark.parametrize("after", [0, 2, 7])
def test_an_interrupted_search_goes_on_as_if_it_had_not_been(tmp_path: Path, after: int) -> None:
    whole = search_in(tmp_path / "whole").run(Objective(), 12)
    with pytest.raises(KeyboardInterrupt):
        search_in(tmp_path / "cut").run(Objective(stop_at=after), 12)
    rest = Objective()
    resumed = search_in(tmp_path / "cut").run(rest, 12)
    assert resumed == whole
    assert best_of(resumed) == best_of(whole)
    assert len(rest.calls) == 12 - after


def test_more_tries_go_on_from_fewer_and_fewer_are_the_first_of_more(tmp_path: Path) -> None:
    search = search_in(tmp_path)
    four = search.run(Objective(), 4)
    more = Objective()
    twelve = search.run(more, 12)
    assert len(more.calls) == 8
    seen: list[Try] = []
    assert search.run(_never, 4, on_try=seen.append) == four == twelve[:4] == tuple(seen)


def test_searches_of_other_names_in_one_file_know_nothing_of_each_other(tmp_path: Path) -> None:
    search_in(tmp_path, "one").run(Objective(), 2)
    other = Objective()
    search_in(tmp_path, "two").run(other, 2)
    assert len(other.calls) == 2


def test_equal_values_are_decided_by_the_tie_breaker_and_then_the_first() -> None:
    def tried(index: int, value: float | None, tie: float = 0.0) -> Try:
        state = "complete" if value is not None else "stopped"
        return Try(index=index, point={}, state=state, value=value, tie_breaker=tie)  # type: ignore[arg-type]

    assert best_of((tried(0, 0.5), tried(1, 0.9, -2.0), tried(2, 0.9, -1.0))).index == 2
    assert best_of((tried(0, None), tried(1, 0.9), tried(2, 0.9))).index == 1


def test_a_search_without_any_result_says_why(tmp_path: Path) -> None:
    def diverge(point: Point, report: Report) -> tuple[float, float]:
        raise DivergenceError("the loss is inf")

    tries = search_in(tmp_path).run(diverge, 2)
    with pytest.raises(DivergenceError, match=r"none of 2 trials came to its end.*loss is inf"):
        best_of(tries)


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "tuning.db").write_text("hello " * 100)
    with pytest.raises(ResultsError, match=r"tuning\.db cannot be used to keep the tuning: "):
        search_in(tmp_path).run(_never, 1)


_RUN = """
import sys
from pathlib import Path
from tests.experiments.tuning.test_search import Objective, search_in
print("ready", flush=True)
search_in(Path(sys.argv[1])).run(Objective(), 32)
"""


@pytest.mark.slow
def test_a_search_killed_again_and_again_from_the_making_of_its_file_on_is_whole(
    tmp_path: Path,
) -> None:
    delays = np.random.default_rng(0).uniform(0.2, 2.0, 10)
    for delay_s in delays:
        command = [sys.executable, "-c", _RUN, str(tmp_path / "cut")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(delay_s)
            process.kill()
    whole = search_in(tmp_path / "whole").run(Objective(), 32)
    assert search_in(tmp_path / "cut").run(Objective(), 32) == whole


def _never(point: Point, report: Callable[[int, float], None]) -> tuple[float, float]:
    raise AssertionError("tried again")
