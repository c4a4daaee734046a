from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from blockzoo.executors import Executor, InProcessExecutor, Outcome, Task, as_completed


class TwoThreads(Executor):
    capacity = 2

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(2)

    def submit(self, function: Callable[[Task], Outcome], task: Task) -> Future[Outcome]:
        return self._pool.submit(function, task)


@pytest.mark.parametrize("executor", [InProcessExecutor(), TwoThreads()])
def test_every_task_comes_back_with_its_own_outcome(executor: Executor) -> None:
    finished = {task: future.result() for task, future in as_completed(executor, abs, range(-5, 5))}
    assert finished == {number: abs(number) for number in range(-5, 5)}


def test_an_exception_stays_in_its_future() -> None:
    outcomes = dict(as_completed(InProcessExecutor(), lambda n: 1 // n, [1, 0, 2]))
    assert isinstance(outcomes[0].exception(), ZeroDivisionError)
    assert outcomes[2].result() == 0


def test_interrupting_a_task_stops_the_driver() -> None:
    def interrupted(_: int) -> int:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(as_completed(InProcessExecutor(), interrupted, [1]))


def test_no_more_tasks_are_drawn_than_the_executor_can_hold() -> None:
    drawn: list[int] = []

    def tasks() -> Iterator[int]:
        for number in range(6):
            drawn.append(number)
            yield number

    for done, _ in enumerate(as_completed(InProcessExecutor(), abs, tasks()), start=1):
        assert len(drawn) == done
