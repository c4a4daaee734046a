"""Trainings on a Ray cluster: with a module that stands in for Ray, and with Ray itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from blockzoo.core.errors import BlockZooError, InputError
from blockzoo.core.processes import Send
from blockzoo.experiments.execution import ray_executor
from blockzoo.experiments.execution.executors import ExecutorChoice, executor_for
from blockzoo.experiments.execution.ray_executor import RayExecutor, facts_here
from blockzoo.experiments.execution.ray_worker import RayPlace, RayWorker
from blockzoo.experiments.execution.user_blocks import TrialLimits
from tests.experiments.execution.fake_ray import FakeRay


def tenfold(number: int, send: Send) -> int:
    """Say the number and return ten times as much; 3 raises."""
    send(("seen", number))
    if number == 3:
        raise InputError("three")
    return 10 * number


@contextmanager
def cluster(
    monkeypatch: pytest.MonkeyPatch, fake: FakeRay, **options: Any
) -> Iterator[RayExecutor]:
    if not fake.answers:
        fake.answers = [facts_here("cpu")]
    monkeypatch.setattr(ray_executor, "_imported", lambda: fake)
    # Actors of this process change nothing of it.
    monkeypatch.setattr(os, "chdir", lambda folder: None)
    with RayExecutor(**options) as executor:
        yield executor


def test_jobs_return_send_and_raise_as_they_would_here(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[object] = []
    fake = FakeRay()
    with cluster(monkeypatch, fake, workers=2, address="auto") as executor:
        futures = [executor.stream(tenfold, number, heard.append) for number in (1, 2, 3)]
        assert [future.exception() is None for future in futures] == [True, True, False]
        assert [future.result() for future in futures[:2]] == [10, 20]
        with pytest.raises(InputError, match=r"^three$"):
            futures[2].result()
        assert executor.submit(abs, -4).result() == 4
    assert sorted(heard) == [("seen", 1), ("seen", 2), ("seen", 3)]  # type: ignore[type-var]
    assert fake.begun[0]["address"] == "auto"
    assert "include_dashboard" not in fake.begun[0]
    assert fake.begun[-1] == {}


def test_ray_restarts_and_retries_nothing_and_has_threads_by_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = FakeRay(cores=4)
    torch.set_num_threads(2)
    with cluster(monkeypatch, fake, workers=2) as executor:
        assert executor.capacity == 2
        executor.submit(abs, 1).result()
    (worker,) = [each for each in fake.options if "max_restarts" in each]
    told = {name: worker[name] for name in ("max_restarts", "max_task_retries", "num_cpus")}
    assert told == {"max_restarts": 0, "max_task_retries": 0, "num_cpus": 2}
    # One of its own has neither a dashboard nor a long path.
    assert fake.begun[0]["include_dashboard"] is False
    assert len(fake.begun[0]["_temp_dir"]) < 40
    assert not Path(fake.begun[0]["_temp_dir"]).exists()
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0" if "ray" in sys.modules else True
    fake = FakeRay(cores=6)
    with cluster(monkeypatch, fake) as executor:
        assert executor.capacity == 3


def test_a_job_whose_worker_dies_is_tried_twice_more(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeRay(dies=2)
    with cluster(monkeypatch, fake, workers=1) as executor:
        assert executor.stream(tenfold, 1, lambda _: None).result() == 10
        fake.dies = 3
        error = executor.stream(tenfold, 2, lambda _: None).exception()
        assert executor.stream(tenfold, 2, lambda _: None).result() == 20
    assert isinstance(error, BlockZooError)
    assert str(error) == (
        "the worker that ran it died (The actor died unexpectedly), 3 times in a row"
    )
    assert len(fake.killed) == 5


def test_a_job_over_its_time_limit_fails_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeRay(hangs=True)
    limits = TrialLimits(time_s={"training": 9.0})
    with cluster(monkeypatch, fake, workers=1, limits=limits) as executor:
        error = executor.stream(tenfold, 1, lambda _: None).exception()
    assert str(error) == (
        "the worker that ran it was still running after 9 s, the time limit; stopped"
    )
    assert len(fake.killed) == 1


def test_latencies_hold_all_of_this_node(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeRay()
    with cluster(monkeypatch, fake, workers=1) as executor, executor.alone():
        held = fake.options[-1]
        assert held == {"scheduling_strategy": 1, "num_cpus": 2.0, "num_gpus": 0}
    assert fake.killed == [fake.actors[-1]]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"python": "3.11.1"}, "python 3.11.1, the driver"),
        ({"torch": "2.0.0"}, "torch 2.0.0, the driver"),
        ({"blockzoo": "0.1 abc"}, "blockzoo 0.1 abc, the driver"),
        ({"device": "NVIDIA H200"}, "device NVIDIA H200, the driver cpu"),
    ],
)
def test_a_mixed_cluster_is_refused(
    change: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeRay(answers=[replace(facts_here("cpu"), **change)])
    with (
        pytest.raises(InputError, match=f"^node 10.0.0.2 has {said}.*; install the same on all"),
        cluster(monkeypatch, fake, workers=1),
    ):
        pass
    assert fake.begun[-1] == {}  # it was left


def test_without_ray_a_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(InputError, match=r"executor ray needs .*pip install 'blockzoo\[ray\]'"),
        executor_for(ExecutorChoice(name="ray"), "cpu"),
    ):
        pass


def test_a_number_of_a_gpu_is_refused() -> None:
    with pytest.raises(InputError, match="device is cuda:1; with Ray it is cpu or cuda"):
        RayExecutor(device="cuda:1")


class _Unsendable(Exception):
    def __init__(self) -> None:
        super().__init__("no way", lambda: None)


def _raises_it(_: None, send: Send) -> None:
    raise _Unsendable


def test_an_error_that_cannot_be_sent_is_its_line() -> None:
    threads = torch.get_num_threads()
    place = RayPlace(threads=threads, device="cpu", folder=str(Path.cwd()), path=())
    raised: Any = RayWorker(place, lambda ref: None).run(_raises_it, None, None, 1)
    assert type(raised.error) is BlockZooError
    assert "no way" in str(raised.error)
    assert "_Unsendable" in raised.traceback


def whose(_: None, send: Send) -> tuple[int, int, str]:
    """Return the process, its threads and its folder."""
    send("here")
    return os.getpid(), torch.get_num_threads(), str(Path.cwd())


@pytest.mark.slow
@pytest.mark.timeout(600)  # Ray takes seconds to start, and far longer on a busy machine
def test_a_cluster_of_this_machine_runs_jobs_in_other_processes() -> None:
    pytest.importorskip("ray")
    heard: list[object] = []
    with RayExecutor(workers=1) as executor:
        first = executor.stream(whose, None, heard.append).result()
        failed = executor.stream(tenfold, 3, heard.append).exception()
        again = executor.stream(whose, None, heard.append).result()
    assert first == again == (first[0], 1, str(Path.cwd()))
    assert first[0] != os.getpid()
    assert (type(failed), str(failed)) == (InputError, "three")
    assert heard == ["here", ("seen", 3), "here"]


def test_nothing_connects_to_ray_unasked() -> None:
    """As a thread of a sweep that was stopped would, which still waits for an actor."""
    pytest.importorskip("ray")
    code = (
        "from blockzoo.experiments.execution.ray_executor import _imported\n"
        "ray = _imported()\n"
        "try:\n    ray.wait([])\nexcept ray.exceptions.RaySystemError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Ray has not been started yet" in done.stdout


def test_no_cluster_at_an_address_is_one_line() -> None:
    pytest.importorskip("ray")
    with (
        pytest.raises(InputError, match=r"^no Ray cluster can be used at auto: [^\n]+$"),
        RayExecutor(address="auto", workers=1),
    ):
        pass
