import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from blockzoo.core.errors import BlockZooError, InputError, UnknownNameError
from blockzoo.core.processes import Limits, Send
from blockzoo.experiments.execution import executors, pool
from blockzoo.experiments.execution.base import Executor, Listen, Outcome, Task, as_completed
from blockzoo.experiments.execution.executors import ExecutorChoice, executor_for
from blockzoo.experiments.execution.in_process import InProcessExecutor
from blockzoo.experiments.execution.pool import PoolExecutor


class TwoThreads(Executor):
    capacity = 2

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(2)

    def stream(
        self, function: Callable[[Task, Send], Outcome], task: Task, listen: Listen
    ) -> Future[Outcome]:
        return self._pool.submit(function, task, listen)


def completed(
    executor: Executor, function: Callable[[Task], Outcome], tasks: Iterable[Task]
) -> Iterator[tuple[Task, Future[Outcome]]]:
    return as_completed(executor, partial(executor.submit, function), tasks)


@pytest.mark.parametrize("executor", [InProcessExecutor(), TwoThreads()])
def test_every_task_comes_back_with_its_own_outcome(executor: Executor) -> None:
    finished = {task: future.result() for task, future in completed(executor, abs, range(-5, 5))}
    assert finished == {number: abs(number) for number in range(-5, 5)}


def test_an_exception_stays_in_its_future() -> None:
    outcomes = dict(completed(InProcessExecutor(), lambda n: 1 // n, [1, 0, 2]))
    assert isinstance(outcomes[0].exception(), ZeroDivisionError)
    assert outcomes[2].result() == 0


def test_interrupting_a_task_stops_the_driver() -> None:
    def interrupted(_: int) -> int:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(completed(InProcessExecutor(), interrupted, [1]))


def test_no_more_tasks_are_drawn_than_the_executor_can_hold() -> None:
    drawn: list[int] = []

    def tasks() -> Iterator[int]:
        for number in range(6):
            drawn.append(number)
            yield number

    for done, _ in enumerate(completed(InProcessExecutor(), abs, tasks()), start=1):
        assert len(drawn) == done


def own_process(_: int) -> tuple[int, int]:
    """Return the process's number and torch's threads in it."""
    return os.getpid(), torch.get_num_threads()


def fails_in_its_way(number: int) -> int:
    """Return ten times the number; 1 raises, 2 raises what cannot be sent, 3 kills the process."""
    if number == 1:
        raise InputError("one")
    if number == 2:
        raise UnknownNameError("thing", "two", ["too"])
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return 10 * number


def test_jobs_side_by_side_run_in_processes_that_are_kept() -> None:
    with PoolExecutor(2, threads=1) as executor:
        ran = [future.result() for _, future in completed(executor, own_process, range(6))]
    assert 1 <= len({process for process, _ in ran}) <= 2
    assert os.getpid() not in {process for process, _ in ran}
    assert {threads for _, threads in ran} == {1}


def test_an_error_or_a_death_side_by_side_is_that_of_its_job_alone() -> None:
    with PoolExecutor(2, threads=1, retries=0) as executor:
        ran = dict(completed(executor, fails_in_its_way, range(6)))
    errors = {task: future.exception() for task, future in ran.items() if future.exception()}
    assert {task: str(error) for task, error in errors.items()} == {
        1: "one",
        2: "unknown thing 'two'; did you mean too?",
        3: "the process that ran it died by SIGKILL",
    }
    assert {task: type(error) for task, error in errors.items()} == {
        1: InputError,
        2: UnknownNameError,
        3: BlockZooError,
    }
    assert {task: ran[task].result() for task in (0, 4, 5)} == {0: 0, 4: 40, 5: 50}


def test_leaving_ends_what_runs_side_by_side() -> None:
    before = set(multiprocessing.active_children())
    with PoolExecutor(1, threads=1) as executor:
        future = executor.submit(time.sleep, 1000.0)
        while not set(multiprocessing.active_children()) - before:
            time.sleep(0.01)
    assert isinstance(future.exception(), BlockZooError)
    assert str(future.exception()) == "the process that ran it was stopped"
    assert not set(multiprocessing.active_children()) - before


def test_none_side_by_side_is_refused_and_one_needs_no_process() -> None:
    with (
        pytest.raises(InputError, match="workers is 0; it must be 1 or more"),
        executor_for(ExecutorChoice(workers=0), "cpu"),
    ):
        pass
    with executor_for(ExecutorChoice(workers=1), "cpu") as executor:
        assert isinstance(executor, InProcessExecutor)
    with executor_for(ExecutorChoice(workers=3), "cpu") as executor:
        assert (type(executor), executor.capacity) == (PoolExecutor, 3)


def test_on_cuda_one_at_a_time_has_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "resolve_device", torch.device)
    with executor_for(ExecutorChoice(workers=1), "cuda:0") as executor:
        assert (type(executor), executor.capacity) == (PoolExecutor, 1)


def loses_cuda(number: int) -> tuple[int, int]:
    """Return the number and the process's; 1 makes the process believe that CUDA is gone."""
    if number == 1:
        pool._usable = lambda _: False
    return number, os.getpid()


def test_a_process_that_lost_cuda_is_replaced_and_its_outcome_kept() -> None:
    with PoolExecutor(1, threads=1) as executor:
        ran = [future.result() for _, future in completed(executor, loses_cuda, range(4))]
    assert [number for number, _ in ran] == [0, 1, 2, 3]
    first, second, third, fourth = (process for _, process in ran)
    assert first == second != third == fourth


def dies_once(marker: str) -> int:
    """Kill the process where the file is not there yet, and leave it there."""
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return os.getpid()
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def test_a_job_whose_process_dies_is_tried_again_in_another(tmp_path: Path) -> None:
    with PoolExecutor(1, threads=1) as executor:
        assert executor.submit(dies_once, str(tmp_path / "died")).result() != os.getpid()


def test_a_job_over_its_time_limit_fails_at_once() -> None:
    with PoolExecutor(1, threads=1, limits=Limits(time_s=0.2)) as executor:
        error = executor.submit(time.sleep, 1000.0).exception()
    assert str(error) == (
        "the process that ran it still running after 0.2 s, the time limit; stopped"
    )


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"name": "threads"}, "unknown executor 'threads'"),
        ({"address": "auto"}, "--address is of a Ray cluster; give --executor ray with it"),
        ({"name": "in-process", "workers": 2}, "in-process runs one training at a time, not 2"),
    ],
)
def test_a_choice_that_makes_no_sense_is_refused(choice: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        ExecutorChoice(**choice)
