from __future__ import annotations

import pytest
import torch

from blockzoo.measure.timing.clocks import fixed_threads, timer_of


def test_a_call_on_the_cpu_is_made_as_often_as_asked_and_timed() -> None:
    calls: list[int] = []
    assert timer_of(torch.device("cpu"))(lambda: calls.append(1), 5) > 0
    assert len(calls) == 5


def test_threads_come_back_also_after_an_error() -> None:
    before = torch.get_num_threads()
    seen: list[int] = []

    def fail_within() -> None:
        with fixed_threads(before + 1):
            seen.append(torch.get_num_threads())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_within()
    assert (seen, torch.get_num_threads()) == ([before + 1], before)
